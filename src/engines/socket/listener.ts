// Listens on a socket that one user of the machine can connect to, and finds a new place when that one is gone.
import { randomBytes } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { StoreError } from '../../core/errors.js'
import { SocketDirectory, removeAbandoned, socketParents } from './socket-directory.js'

interface Listening {
  server: Server
  path: string
  /** None on Windows, whose pipes have no files. */
  directory: SocketDirectory | undefined
}

export class Listener {
  readonly #uid: number
  readonly #accept: (socket: Socket) => void
  #listening: Listening | undefined
  #opening: Promise<string> | undefined
  #isClosed = false

  /** `uid`: the user that may connect. */
  constructor (uid: number, accept: (socket: Socket) => void) {
    this.#uid = uid
    this.#accept = accept
  }

  /**
   * Where it listens: from the first call on, and anew if that place is gone. A failure is not remembered.
   * STORE_UNREACHABLE.
   */
  path (): Promise<string> {
    const listening = this.#listening
    if (listening !== undefined && listening.directory?.hasSocket !== false) return Promise.resolve(listening.path)
    this.#opening ??= this.#open().finally(() => { this.#opening = undefined })
    return this.#opening
  }

  /** Connections that there are stay. */
  close (): void {
    this.#isClosed = true
    this.#stop()
  }

  async #open (): Promise<string> {
    this.#stop()
    this.#listening = process.platform === 'win32' ? await this.#openPipe() : await this.#openSocket()
    const { path } = this.#listening
    if (!this.#isClosed) return path
    this.#stop()
    throw new StoreError('STORE_CLOSED')
  }

  async #openPipe (): Promise<Listening> {
    const path = `\\\\.\\pipe\\strong-store-${process.pid}-${randomBytes(8).toString('hex')}`
    return { server: await this.#listen(path), path, directory: undefined }
  }

  async #openSocket (): Promise<Listening> {
    const failures: string[] = []
    for (const parent of socketParents()) {
      let directory: SocketDirectory | undefined
      let server: Server | undefined
      try {
        directory = new SocketDirectory(parent)
        server = await this.#listen(directory.path)
        directory.giveTo(this.#uid)
        removeAbandoned(parent).catch(() => {})
        return { server, path: directory.path, directory }
      } catch (error) {
        server?.close()
        directory?.remove()
        failures.push((error as Error).message)
      }
    }
    throw new StoreError('STORE_UNREACHABLE', this.#explain(failures))
  }

  #listen (path: string): Promise<Server> {
    return new Promise((resolve, reject) => {
      const server = createServer({ pauseOnConnect: true }, this.#accept)
      // Also for later ones, of single connections when file descriptors run out: the other side notices them.
      server.on('error', reject)
      server.listen(path, () => { resolve(server) })
      server.unref()
    })
  }

  #explain (failures: string[]): string {
    const own = process.geteuid?.()
    const why = failures.length === 0 ? 'other users could replace it in every folder there is' : failures.join('; ')
    return this.#uid === own
      ? `the store has no place for its socket (${why}); let TMPDIR name a folder that only uid ${own} can write to`
      : `the store, which runs as uid ${own}, cannot make a socket for uid ${this.#uid} (${why}); run both as one user, or the store's process as root`
  }

  #stop (): void {
    this.#listening?.server.close()
    this.#listening?.directory?.remove()
    this.#listening = undefined
  }
}
