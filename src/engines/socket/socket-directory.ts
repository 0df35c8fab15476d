// The private folder of the primary's socket: made when it is needed, and not left behind.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onExit } from 'signal-exit'

const PREFIX = 'strong-store-'
const SOCKET = 'socket'
const LONGEST_PATH = 100 // a little under what the system allows a socket's path

export class Folder {
  readonly path: string
  readonly #folder: string
  readonly #forget: () => void

  /** Only this user can look into it: the mode is 0700. */
  constructor () {
    const parent = join(tmpdir(), PREFIX, SOCKET).length + 6 > LONGEST_PATH ? '/tmp' : tmpdir()
    removeAbandoned(parent)
    this.#folder = mkdtempSync(join(parent, PREFIX))
    this.path = join(this.#folder, SOCKET)
    // Also for a signal that nobody but other users of that package listens to: it ends the process then, as it would have.
    this.#forget = onExit(() => { this.#remove() })
  }

  remove (): void {
    this.#forget()
    this.#remove()
  }

  #remove (): void {
    rmSync(this.#folder, { recursive: true, force: true })
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
