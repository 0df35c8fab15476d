// A socket at a path chosen by the user. At most one process listens there, even if several are started, killed and
// restarted at the same time: a live socket is never replaced, and one left by a killed process always is.
//
// A process listens under a temporary name in the same directory and hard-links it to the path, which fails if the
// path exists. A dead socket is replaced by a rename. Only the process that holds the claim may rename: the claim is
// another hard link, named after the path and the inode of the dead socket. Since a claim is a live socket too, the
// claim of a killed process is detected the same way, and the next process claims that claim. So whichever processes
// are killed, exactly one live process holds the last claim.
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
 * Number of refused connects after which a socket is considered dead. macOS also refuses connections if the backlog is
 * full.
 */
const PROBES = process.platform === 'linux' ? 1 : 5
const PROBE_PAUSE_MS = 40
const BACKLOG = 4096

/** Another process listens at the path. */
export class SocketInUse extends Error {
  constructor (path: string) {
    super(`another process is already listening on ${path}`)
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
   * Listens at `path`. `prepare` sets owner and mode of the socket before it is visible. Dead sockets are replaced if
   * they belong to one of `owners`. Throws SocketInUse; STORE_OPTION_INVALID if the path is something else; file
   * system errors.
   */
  static async open (
    path: string, accept: (socket: Socket) => void, owners: number[], prepare: (path: string) => void
  ): Promise<SocketFile> {
    if (process.platform === 'win32') return new SocketFile(path, await listen(path, accept), undefined)
    const temporary = join(dirname(path), PREFIX + randomBytes(8).toString('hex'))
    if (Buffer.byteLength(temporary) > MAX_PATH_BYTES) {
      throw new StoreError('STORE_OPTION_INVALID',
        `the directory of ${path} is too long: expected at most ${MAX_PATH_BYTES - NAME_LENGTH - 1} bytes, got ${Buffer.byteLength(dirname(path))}`)
    }
    if (statSync(dirname(path), { throwIfNoEntry: false }) === undefined) { // listen would report EACCES
      throw new StoreError('STORE_OPTION_INVALID',
        `the directory of ${path} does not exist; create it with: mkdir -p ${dirname(path)}`)
    }
    const found = lookAt(path, owners)
    if (found !== undefined && await isLive(path)) throw new SocketInUse(path)
    const server = await listen(temporary, accept).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EACCES') {
        error.message = `EACCES: uid ${process.geteuid!()} may not create a socket in ${dirname(path)}; correct its owner and mode, or choose another path`
      }
      throw error
    })
    try {
      prepare(temporary)
      const inode = inodeOf(temporary)
      while (!linked(temporary, path) && !await replace(path, temporary, owners)) {
        // the path has changed: try again
      }
      return new SocketFile(path, server, inode)
    } catch (error) {
      server.close()
      throw error
    } finally {
      remove(temporary)
    }
  }

  /** Whether the path still refers to this socket. */
  get isThere (): boolean {
    return this.#inode === undefined || inodeOf(this.path) === this.#inode
  }

  /** Stops listening. Open connections stay open. */
  close (): void {
    // Before the server closes: another process could replace a dead socket in between.
    if (this.#inode !== undefined && this.isThere) remove(this.path)
    this.#server.close()
  }
}

/** Replaces the dead socket at `path` by `temporary`. Returns false if the path has changed. Throws SocketInUse. */
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
    if (inode === undefined) return false // the other process is done
    if (!await isLive(claim)) continue
    await delay(Math.random() * PROBE_PAUSE_MS)
    return false
  }
  let isReplaced = false
  try {
    // Another process may have replaced it since the first look. From here on only this process can.
    if (lookAt(path, owners)?.ino === dead.ino && !await isLive(path)) {
      renameSync(temporary, path)
      isReplaced = true
    }
  } finally {
    // Claims of killed processes must stay until the path refers to the new socket.
    for (const claim of isReplaced ? claims : claims.slice(-1)) remove(claim)
  }
  return isReplaced
}

/** The file at `path` if it may be replaced when dead, undefined if there is none. STORE_OPTION_INVALID. */
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

/** Whether a process listens there. Throws EACCES. */
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

/** Creates a hard link. Returns false if the name is taken. */
function linked (path: string, name: string): boolean {
  try {
    linkSync(path, name)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** As bigint: inode numbers can exceed the safe integers. */
function statOf (path: string): BigIntStats | undefined {
  return lstatSync(path, { throwIfNoEntry: false, bigint: true })
}

function inodeOf (path: string): bigint | undefined {
  return statOf(path)?.ino
}

function remove (path: string): void {
  try {
    unlinkSync(path)
  } catch {} // it is gone, or this process dropped the privilege to remove it
}
