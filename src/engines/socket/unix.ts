// `unix:PATH`, a store in a process of its own. No other process knows whether it is running: it may not have started
// yet, may be restarting, or the socket may belong to another program. The permissions of the socket decide who may
// connect.
import { lstatSync } from 'node:fs'
import { hostname } from 'node:os'
import { isAbsolute, normalize } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isMainThread, threadId } from 'node:worker_threads'
import type { Engine } from '../../core/engine.js'
import { StoreError, detailOf } from '../../core/errors.js'
import { shared } from '../../core/shared.js'
import type { Discovery } from './address.js'
import { ClientEngine } from './client.js'
import { MAX_PATH_BYTES } from './socket-directory.js'
import { PROTOCOL_VERSION } from './protocol.js'

/** The token sent where none is required. */
export const OPEN_TOKEN = '-'.repeat(64)
/** Clients reconnect after a random delay of up to this many milliseconds. */
const RECONNECT_SPREAD_MS = 50

export interface UnixOptions {
  url: string
  /** Milliseconds to wait for the store and connect. */
  connectTimeout: number
}

/** Shared by copies of this package. */
const engines = shared(`unix.${PROTOCOL_VERSION}`, () => new Map<string, Engine>())

/** One engine per path and connectTimeout, until it is closed. STORE_OPTION_INVALID. */
export function unixEngine ({ url, connectTimeout }: UnixOptions): Engine {
  const path = socketPath(url)
  const id = `${connectTimeout} ${path}`
  const known = engines.get(id)
  if (known !== undefined) return known
  const thread = isMainThread ? '' : `, thread ${threadId}`
  const label = `pid ${process.pid}${thread} on ${hostname()}`
  const engine = new ClientEngine({ discovery: fixedPath(path), connectTimeout, label })
  engines.set(id, engine)
  engine.onclose = () => { engines.delete(id) }
  return engine
}

/** The path in a URL; on Windows the named pipe for it. STORE_OPTION_INVALID. */
export function socketPath (url: string, platform: NodeJS.Platform = process.platform): string {
  const path = url.replace(/^unix:(?:\/\/(?=[/\\]))?/, '')
  const invalid = (why: string): never => {
    throw new StoreError('STORE_OPTION_INVALID', `invalid url ${JSON.stringify(url)}: expected unix: and an absolute path, like unix:/run/app/store.sock; ${why}`)
  }
  if (path.includes('\0')) invalid('a path cannot contain a null character')
  if (platform === 'win32') {
    if (path === '') invalid('the path is missing')
    return /^[\\/]{2}[.?][\\/]pipe[\\/]/.test(path) ? path.replaceAll('/', '\\') : `\\\\.\\pipe\\${path.replace(/^[\\/]+/, '').replaceAll(/[\\/]/g, '-')}`
  }
  const [, host] = /^unix:\/\/([^/]+)/.exec(url) ?? []
  if (host !== undefined) invalid(`two slashes introduce a host: did you mean unix:/${url.slice('unix://'.length)}?`)
  if (!isAbsolute(path)) {
    invalid(path === '' ? 'the path is missing' : `${JSON.stringify(path)} depends on the working directory`)
  }
  if (path.endsWith('/')) invalid('the path names a directory')
  const bytes = Buffer.byteLength(path)
  if (bytes > MAX_PATH_BYTES) {
    invalid(`the system allows ${MAX_PATH_BYTES} bytes for the path of a socket, got ${bytes}`)
  }
  return normalize(path)
}

function fixedPath (path: string): Discovery {
  let isFirst = true
  return {
    async find () {
      if (!isFirst) await delay(Math.random() * RECONNECT_SPREAD_MS)
      isFirst = false
      return { version: PROTOCOL_VERSION, path, token: OPEN_TOKEN }
    },
    isFixed: true,
    judge: error => judge(error, path)
  }
}

const REMEDY = 'start it with: npx strong-store serve --socket'

/** Explains a failure to connect, and decides whether to retry. */
function judge (error: NodeJS.ErrnoException, path: string): { isFinal: boolean, detail: string } {
  switch (error.code) {
    case 'ENOENT':
      return { isFinal: false, detail: `no store is running at ${path}; ${REMEDY} ${path}` }
    case 'ECONNREFUSED': // also reported for files that are not sockets
      return isSocket(path)
        ? { isFinal: false, detail: `the store at ${path} has exited without removing its socket; ${REMEDY} ${path}` }
        : { isFinal: true, detail: `${path} is not a socket; give serve and its clients another path` }
    case 'EACCES':
    case 'EPERM':
      return {
        isFinal: true,
        detail: `uid ${process.geteuid?.()} may not connect to ${path}; run this process as the user of the store, or as a member of ` +
          'its group and the store with: --group NAME --mode 0660'
      }
    case 'ENOTSOCK':
    case 'EPROTOTYPE':
    case 'STORE_PROTOCOL':
      return { isFinal: true, detail: `${path} is the socket of another program: it does not speak the protocol of strong-store` }
    case 'ENOTDIR':
    case 'ELOOP':
    case 'ENAMETOOLONG':
    case 'STORE_UNREACHABLE':
      return { isFinal: true, detail: `${path}: ${detailOf(error)}` }
    case 'EPIPE':
    case 'ECONNRESET': // the store is being stopped
      return { isFinal: false, detail: `${path}: the server closed the connection without a reply` }
    default: // EAGAIN: the listen backlog is full
      return { isFinal: false, detail: `${path}: ${detailOf(error)}` }
  }
}

function isSocket (path: string): boolean {
  try {
    return lstatSync(path).isSocket()
  } catch {
    return true // it was removed in between
  }
}
