// A socket at a path that users have chosen. At most one process listens there, whichever are started at once, killed
// and started again: a live socket is never replaced, one that a killed process has left always is.
//
// A process listens under a temporary name in the same directory and links it to the path, which fails where
// something is there. A socket that nobody listens on is replaced by a rename, which only the process with the claim
// to it may do: a second link, whose name is made of the path and the inode of what is to be replaced. A claim is a
// live socket as well. If its process is killed, the claim to the claim is what counts, and so on: whatever is
// killed, exactly one live process can have the last one.
import { hash, randomBytes } from 'node:crypto'
import { linkSync, lstatSync, renameSync, statSync, unlinkSync, type BigIntStats } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { StoreError } from '../../core/errors.js'
import { MAX_PATH_BYTES } from './socket-directory.js'

const PREFIX = '.strong-store-'
const NAME_LENGTH = PREFIX.length + 16
/**
 * Calls of `connect` that may be refused before a socket counts as dead: macOS refuses also where more connect than
 * it queues.
 */
const PROBES = process.platform === 'linux' ? 1 : 5
const PROBE_PAUSE_MS = 40
const BACKLOG = 4096

/** Something listens at the path already. */
export class SocketInUse extends Error {
  constructor (path: string) {
    super(`another process serves ${path}`)
  }
}

export class SocketFile {
  readonly path: string
  readonly #server: Server
  readonly #inode: bigint | undefined

  private constructor (path: string, server: Server, inode: bigint | undefined) {
    this.path = path
    this.#server = server
    this.#inode = inode
  }

  /**
   * Listens at `path`. `prepare` sets owner and mode of the socket, before anybody can find it. `owners`: the users
   * of whom a dead socket may be replaced. SocketInUse; STORE_OPTION_INVALID where something else is there; errors of
   * the file system.
   */
  static async open (
    path: string, accept: (socket: Socket) => void, owners: number[], prepare: (path: string) => void
  ): Promise<SocketFile> {
    if (process.platform === 'win32') return new SocketFile(path, await listen(path, accept), undefined)
    const temporary = join(dirname(path), PREFIX + randomBytes(8).toString('hex'))
    if (Buffer.byteLength(temporary) > MAX_PATH_BYTES) {
      throw new StoreError('STORE_OPTION_INVALID',
        `the directory of ${path} has too long a name: it can have ${MAX_PATH_BYTES - NAME_LENGTH - 1} bytes, got ${Buffer.byteLength(dirname(path))}`)
    }
    statSync(dirname(path)) // of a directory that is missing, listen would say EACCES
    const found = lookAt(path, owners)
    if (found !== undefined && await isLive(path)) throw new SocketInUse(path)
    const server = await listen(temporary, accept)
    try {
      prepare(temporary)
      const inode = inodeOf(temporary)
      while (!linked(temporary, path) && !await replace(path, temporary, owners)) {
        // something has changed at the path: look again
      }
      return new SocketFile(path, server, inode)
    } catch (error) {
      server.close()
      throw error
    } finally {
      remove(temporary)
    }
  }

  /** Whether the path still leads here. */
  get isThere (): boolean {
    return this.#inode === undefined || inodeOf(this.path) === this.#inode
  }

  /** No new connection from now on. Those that there are stay. */
  close (): void {
    // While it is live, so that no other process replaces it in between.
    if (this.#inode !== undefined && this.isThere) remove(this.path)
    this.#server.close()
  }
}

/** Puts `temporary` in the place of the dead socket at `path`; false where the place has changed since. SocketInUse. */
async function replace (path: string, temporary: string, owners: number[]): Promise<boolean> {
  const dead = lookAt(path, owners)
  if (dead === undefined) return false
  if (await isLive(path)) throw new SocketInUse(path)
  const claims: string[] = []
  for (let inode: bigint | undefined = dead.ino; ;) {
    const claim = join(dirname(path), PREFIX + hash('sha256', `${basename(path)}/${inode}`).slice(0, 16))
    claims.push(claim)
    if (linked(temporary, claim)) break
    inode = inodeOf(claim)
    if (inode === undefined) return false // that process has done its work
    if (!await isLive(claim)) continue
    await delay(Math.random() * PROBE_PAUSE_MS)
    return false
  }
  let isReplaced = false
  try {
    // Others may have replaced it since the first look. From here on nobody can but this process.
    if (lookAt(path, owners)?.ino === dead.ino && !await isLive(path)) {
      renameSync(temporary, path)
      isReplaced = true
    }
  } finally {
    // The claims of processes that were killed have to stay until the path leads elsewhere.
    for (const claim of isReplaced ? claims : claims.slice(-1)) remove(claim)
  }
  return isReplaced
}

/** What is at the path, if it may be replaced once it is dead; undefined where nothing is. STORE_OPTION_INVALID. */
function lookAt (path: string, owners: number[]): BigIntStats | undefined {
  const stats = statOf(path)
  if (stats === undefined) return undefined
  if (!stats.isSocket()) {
    throw new StoreError('STORE_OPTION_INVALID', `${path} is ${stats.isDirectory() ? 'a directory' : stats.isSymbolicLink() ? 'a symbolic link' : 'a file'}, ` +
      'not a socket; remove it, or choose another path')
  }
  if (!owners.includes(Number(stats.uid))) {
    throw new StoreError('STORE_OPTION_INVALID', `${path} is a socket of uid ${stats.uid}, not of uid ${owners.join(' or ')}; remove it, or choose another path`)
  }
  return stats
}

/** Whether somebody listens there. Throws EACCES. */
async function isLive (path: string): Promise<boolean> {
  for (let probe = 1; ; probe++) {
    const code = await new Promise<string | undefined>((resolve, reject) => {
      const socket = connect(path)
      socket.on('connect', () => {
        socket.destroy()
        resolve(undefined)
      })
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EACCES') reject(error)
        else resolve(error.code)
      })
    })
    if (code === 'ENOENT') return false
    if (code !== 'ECONNREFUSED') return true
    if (probe === PROBES) return false
    await delay(PROBE_PAUSE_MS)
  }
}

function listen (path: string, accept: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ pauseOnConnect: true }, accept)
    server.on('error', (error: NodeJS.ErrnoException) => { reject(error.code === 'EADDRINUSE' ? new SocketInUse(path) : error) })
    server.listen({ path, backlog: BACKLOG }, () => { resolve(server) })
  })
}

/** Gives a file a second name, if that is free. */
function linked (path: string, name: string): boolean {
  try {
    linkSync(path, name)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Inodes can have more digits than a number. */
function statOf (path: string): BigIntStats | undefined {
  return lstatSync(path, { throwIfNoEntry: false, bigint: true })
}

function inodeOf (path: string): bigint | undefined {
  return statOf(path)?.ino
}

function remove (path: string): void {
  try {
    unlinkSync(path)
  } catch {} // it is gone, or this process has given up the right to remove it
}
