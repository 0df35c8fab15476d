// A private directory for a socket. Only this user can enter it, so nobody else can connect to the socket, fill its
// backlog or replace it. Linux's abstract sockets would need no directory, but any user can connect to them.
// `listener.ts` creates a new directory if it is deleted, and gives access to workers of another user.
import {
  chmodSync, chownSync, lstatSync, mkdtempSync, realpathSync, rmdirSync, statSync, unlinkSync, type Stats
} from 'node:fs'
import { lstat, readdir, rmdir, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const PREFIX = 'strong-store-'
const SOCKET = 'socket'
/** Maximum length of a socket path, in bytes. */
export const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103
/** Milliseconds after which an empty directory is considered abandoned. */
const EMPTY_MS = 60_000
const PRIVATE = 0o700
/** Others may pass through but not list or change the directory. The socket's own permissions decide who connects. */
const PASSABLE = 0o711

export class SocketDirectory {
  /** Absolute path of the socket: clients may have another working directory. */
  readonly path: string
  readonly #directory: string
  readonly #onexit = (): void => { this.remove() }

  /** Creates the directory. It is removed by `remove`, or when the process exits. */
  constructor (parent: string) {
    this.#directory = mkdtempSync(join(parent, PREFIX))
    chmodSync(this.#directory, PRIVATE) // regardless of the umask
    this.path = join(this.#directory, SOCKET)
    process.on('exit', this.#onexit)
  }

  /** Whether the socket file still exists. */
  get hasSocket (): boolean {
    try {
      return lstatSync(this.path).isSocket()
    } catch {
      return false
    }
  }

  /** Lets only that user connect. Throws EPERM if this process may not change the owner of files. */
  giveTo (uid: number): void {
    chmodSync(this.path, 0o600)
    if (uid === process.geteuid!()) return
    chownSync(this.path, uid, -1)
    chmodSync(this.#directory, PASSABLE)
  }

  remove (): void {
    process.off('exit', this.#onexit)
    try {
      if (!isOurs(lstatSync(this.#directory))) return
      if (this.hasSocket) unlinkSync(this.path)
      rmdirSync(this.#directory)
    } catch {} // it is gone, or this process dropped the privilege to remove it: another process does it later
  }
}

/** Candidate parent directories, the best first. */
export function socketParents (): string[] {
  const places = [tmpdir(), '/tmp', process.env.XDG_RUNTIME_DIR, '/dev/shm']
  const parents = places.flatMap(place => {
    try {
      const parent = place === undefined || place === '' ? undefined : realpathSync(place)
      return parent !== undefined && isShort(parent) && isSafe(parent) ? [parent] : []
    } catch {
      return [] // it does not exist
    }
  })
  return [...new Set(parents)]
}

/**
 * Removes sockets and directories left by killed processes of this user. Skips those of other users, and those that
 * cannot be removed.
 */
export async function removeAbandoned (parent: string): Promise<void> {
  const names = await readdir(parent).catch(() => []) // not every temporary directory can be listed
  for (const name of names) {
    if (!name.startsWith(PREFIX)) continue
    const directory = join(parent, name)
    const socket = join(directory, SOCKET)
    try {
      const stats = await lstat(directory)
      if (!isOurs(stats) || !await isAbandoned(socket, stats)) continue
      await unlink(socket).catch(() => {})
      await rmdir(directory)
    } catch {}
  }
}

function isOurs (stats: Stats): boolean {
  const mode = stats.mode & 0o7777
  return stats.isDirectory() && stats.uid === process.geteuid!() && (mode === PRIVATE || mode === PASSABLE)
}

function isShort (parent: string): boolean {
  return Buffer.byteLength(join(parent, `${PREFIX}XXXXXX`, SOCKET)) <= MAX_PATH_BYTES
}

/** Whether no other user can replace a file that we create in `parent`. */
function isSafe (parent: string): boolean {
  const trusted = [0, process.geteuid!(), statSync('/').uid]
  for (let directory = parent; ; directory = dirname(directory)) {
    const { uid, mode } = statSync(directory)
    const isWritable = (mode & 0o022) !== 0
    const isSticky = (mode & 0o1000) !== 0
    if (!trusted.includes(uid) || (isWritable && !isSticky)) return false
    if (directory === dirname(directory)) return true
  }
}

/** Without a socket, the owner may be about to create it, or was killed after removing it. */
async function isAbandoned (socket: string, { mtimeMs }: Stats): Promise<boolean> {
  const found = await lstat(socket).catch(() => undefined)
  if (found === undefined) return Date.now() - mtimeMs > EMPTY_MS
  return found.isSocket() && await isRefused(socket)
}

function isRefused (path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path)
    socket.on('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => { resolve(error.code === 'ECONNREFUSED') })
    socket.unref()
  })
}
