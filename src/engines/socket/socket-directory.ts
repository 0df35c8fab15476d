// A private directory for a socket. Only this user can enter it, so that no one else can connect to the socket, fill
// its backlog or take its place. Linux's abstract sockets need no directory, but every user of the machine can
// connect to them; what a directory lacks, `listener.ts` makes up for: it listens anew when it was cleaned away, and
// hands the socket on to workers of another user.
import { chmodSync, chownSync, lstatSync, mkdtempSync, realpathSync, rmdirSync, statSync, unlinkSync, type Stats } from 'node:fs'
import { lstat, readdir, rmdir, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const PREFIX = 'strong-store-'
const SOCKET = 'socket'
/** Bytes, not characters, that a socket's path can have. */
export const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103
/** Milliseconds after which an empty directory counts as abandoned. */
const EMPTY_MS = 60_000
const PRIVATE = 0o700
/** Others may pass, but neither list nor change anything: they connect by the permissions of the socket. */
const PASSABLE = 0o711

export class SocketDirectory {
  /** Of the socket: absolute, as the processes that connect may have other working directories. */
  readonly path: string
  readonly #directory: string
  readonly #onexit = (): void => { this.remove() }

  /** Makes it. Removed by `remove`, or when the process exits. */
  constructor (parent: string) {
    this.#directory = mkdtempSync(join(parent, PREFIX))
    chmodSync(this.#directory, PRIVATE) // whatever the umask
    this.path = join(this.#directory, SOCKET)
    process.on('exit', this.#onexit)
  }

  /** Whether nobody has cleaned the socket away. */
  get hasSocket (): boolean {
    try {
      return lstatSync(this.path).isSocket()
    } catch {
      return false
    }
  }

  /** Lets that user connect, and no one else. Throws EPERM where this process may not give files to another user. */
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
    } catch {} // it is gone, or this process has given up the right to remove it: a later one does
  }
}

/** Where a directory can be made, the best place first. */
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
 * Removes what killed processes of this user have left there: sockets that nobody listens on, and their directories.
 * What belongs to others, or cannot be removed, stays.
 */
export async function removeAbandoned (parent: string): Promise<void> {
  const names = await readdir(parent).catch(() => []) // not every temporary folder can be listed
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

/** Whether no other user can put something else in the place of what we make in `parent`. */
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

/** Where there is no socket, its owner may be about to make it, or was killed when it had removed it. */
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
