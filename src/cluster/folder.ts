// The private folder of the primary's socket: made when it is needed, and not left behind.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const PREFIX = 'strong-store-'
const SOCKET = 'socket'
const LONGEST_PATH = 100 // a little under what the system allows a socket's path
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export class Folder {
  readonly path: string
  readonly #folder: string
  readonly #remove = (): void => { rmSync(this.#folder, { recursive: true, force: true }) }

  /** Only this user can look into it: the mode is 0700. */
  constructor () {
    const parent = join(tmpdir(), PREFIX, SOCKET).length + 6 > LONGEST_PATH ? '/tmp' : tmpdir()
    removeAbandoned(parent)
    this.#folder = mkdtempSync(join(parent, PREFIX))
    this.path = join(this.#folder, SOCKET)
    process.on('exit', this.#remove)
    for (const signal of SIGNALS) process.on(signal, this.#killed)
  }

  remove (): void {
    this.#remove()
    process.off('exit', this.#remove)
    for (const signal of SIGNALS) process.off(signal, this.#killed)
  }

  // A listener stops the signal from ending the process: where nobody else listens, do what would have been done.
  readonly #killed = (signal: NodeJS.Signals): void => {
    if (process.listenerCount(signal) > 1) return
    this.remove()
    process.kill(process.pid, signal)
  }
}

/** Removes what primaries have left that were killed without notice: folders whose socket nobody listens on. */
function removeAbandoned (parent: string): void {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(PREFIX)) continue
    const socket = connect(join(parent, name, SOCKET))
    socket.on('connect', () => { socket.destroy() })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') rmSync(join(parent, name), { recursive: true, force: true })
    })
    socket.unref()
  }
}
