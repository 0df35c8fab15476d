// Listens on a socket that only one user can connect to. Moves to a new directory if the socket file is deleted.
import { randomBytes } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { StoreError } from '../../core/errors.js'
import { SocketDirectory, removeAbandoned, socketParents } from './socket-directory.js'

interface Listening {
  server: Server
  path: string
  /** Undefined on Windows, where named pipes are not files. */
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
   * The path of the socket. Starts listening on the first call, and again if the socket file is gone. Failures are not
   * cached. STORE_UNREACHABLE.
   */
  path (): Promise<string> {
    const listening = this.#listening
    if (listening !== undefined && listening.directory?.hasSocket !== false) return Promise.resolve(listening.path)
    this.#opening ??= this.#open().finally(() => { this.#opening = undefined })
    return this.#opening
  }

  /** Stops listening. Open connections stay open. */
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
      // Also handles later errors of single connections, such as EMFILE: the client notices those itself.
      server.on('error', reject)
      server.listen(path, () => { resolve(server) })
      server.unref()
    })
  }

  #explain (failures: string[]): string {
    const own = process.geteuid?.()
    const why = failures.length === 0 ? 'other users can write to every available folder' : failures.join('; ')
    return this.#uid === own
      ? `no folder is safe for the store's socket (${why}); set TMPDIR to a folder that only uid ${own} can write to`
      : `the store, which runs as uid ${own}, cannot create a socket for uid ${this.#uid} (${why}); run both as the same user, or the store's process as root`
  }

  #stop (): void {
    this.#listening?.server.close()
    this.#listening?.directory?.remove()
    this.#listening = undefined
  }
}
