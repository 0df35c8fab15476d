// Each call as a request to the admin API, and its answer as a reply: see routes/ for the other side.
import { Reply, type Op, type Request } from '../../core/engine.js'
import { isErrorCode } from '../../core/errors.js'
import type { CollectionStats, LockInfo, LockQueue } from '../../core/stats.js'

/** Seconds of lease for a lock that was asked for without one; it is renewed as long as the process lives. */
export const LEASE = 30
/** Seconds that a request asks to wait at a time; the server may allow less. */
const WAIT = 600
const PAGE = 1000

export interface Outgoing {
  method: 'GET' | 'HEAD' | 'PUT' | 'PATCH' | 'POST' | 'DELETE'
  path: string
  headers: Record<string, string>
  body: string | undefined
}

export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
}

const WAITING: readonly Op[] = ['get', 'entry', 'head', 'set', 'del', 'touch', 'increment', 'acquire', 'clear']

/** Whether the call may have to wait for a locked key, and is ready to. */
export function waits ({ op, nowait, token }: Request): boolean {
  return !nowait && (token === undefined || op === 'acquire') && WAITING.includes(op)
}

export function outgoing (request: Request): Outgoing {
  const { op, key, token } = request
  const collection = `/collections/${encodeURIComponent(request.collection)}`
  const keyPath = `${collection}/keys/${encodeURIComponent(key)}`
  const lockPath = `${collection}/locks/${encodeURIComponent(key)}`
  const headers: Record<string, string> = {}
  if (token !== undefined) headers['lock-token'] = token
  if (request.ifVersion !== undefined) headers['if-match'] = `"${request.ifVersion}"`
  if (request.ifAbsent) headers['if-none-match'] = '*'
  if (waits(request)) headers.prefer = `wait=${Math.min(WAIT, Math.ceil((request.wait?.timeout ?? Infinity) / 1000) + 1)}, processing`
  else if (op === 'clear') headers.prefer = 'wait=0' // without it, it is answered before the locked keys have gone
  const out = (method: Outgoing['method'], path: string, json?: object | string): Outgoing => {
    if (json !== undefined) headers['content-type'] = 'application/json'
    return { method, path, headers, body: typeof json === 'object' ? JSON.stringify(json) : json }
  }
  const ttl = seconds(request.ttl)
  const lease = seconds(request.lease)
  switch (op) {
    case 'get':
    case 'entry': return out('GET', keyPath)
    case 'head': return out('HEAD', keyPath)
    case 'set': return out('PUT', keyPath + query({ ttl, release: request.release || undefined }), request.text)
    case 'del': return out('DELETE', keyPath + query({ release: request.release || undefined }))
    case 'touch': return out('PATCH', keyPath, { touch: true, ttl })
    case 'increment': return out('PATCH', keyPath, { increment: request.number, ttl, limit: request.limit, backoff: request.backoff || undefined, down: request.down || undefined })
    case 'acquire': return out('POST', lockPath, { lease: lease ?? LEASE, owner: request.owner })
    case 'release': return out('DELETE', lockPath)
    case 'renew': return out('PATCH', lockPath, { lease })
    case 'break': return out('DELETE', `${lockPath}?force=true`)
    case 'lock': return out('GET', lockPath)
    case 'scan': return out('GET', `${collection}/keys${query({ prefix: key, cursor: request.cursor, limit: Math.min(request.number ?? 100, PAGE) })}`)
    case 'size': return out('GET', collection)
    case 'clear': return out('DELETE', collection)
    case 'configure': return out('PATCH', collection, bounds(request.text!))
    case 'collections': return out('GET', key === '' ? '/collections' : collection)
    case 'locks': return out('GET', `/locks${query({ limit: request.number })}`)
    case 'stats': return out('GET', '/stats')
  }
}

/** Undefined: that is no answer of an admin API, or none to such a call. */
export function incoming ({ op }: Request, { status, headers, text }: Answer): Reply | undefined {
  if (status >= 400) {
    if (!/^application\/problem\+json/.test(String(headers['content-type']))) return undefined
    const code = op === 'head' ? status === 404 ? MISSING : HEAD_CODES[status] : (JSON.parse(text) as { code?: string }).code
    if (code === MISSING) return missing(op)
    return code !== undefined && isErrorCode(code) ? new Reply(code) : undefined
  }
  const reply = new Reply()
  switch (op) {
    case 'get':
    case 'entry':
    case 'head':
      if (op !== 'head') reply.text = text
      reply.version = Number(/\d+/.exec(String(headers.etag)))
      reply.expiresIn = ttlOf(headers)
      return reply
    case 'set':
      reply.version = Number(/\d+/.exec(String(headers.etag)))
      if (status === 201) reply.number = 1
      return reply
    case 'del': return Reply.of(headers['x-deleted'] === 'true' ? 1 : 0)
    case 'touch':
    case 'break': return Reply.of(1)
    case 'increment': {
      const { value, version } = JSON.parse(text) as { value: number, version?: number }
      reply.number = value
      reply.version = version
      reply.expiresIn = ttlOf(headers)
      return reply
    }
    case 'acquire': {
      const { token, fence, version } = JSON.parse(text) as { token: string, fence: number, version: number }
      reply.token = token
      reply.fence = fence
      reply.expiresIn = ttlOf(headers)
      if (version > 0) {
        reply.version = version
        reply.text = text.slice(text.indexOf(VALUE) + VALUE.length, -1)
      }
      return reply
    }
    case 'renew':
      reply.expiresIn = ttlOf(headers)
      return reply
    case 'size': return Reply.of((JSON.parse(text) as CollectionStats).keys)
    case 'lock':
    case 'locks':
    case 'scan':
    case 'collections':
    case 'stats':
      reply.text = JSON.stringify(translate(op, JSON.parse(text)))
      return reply
    default:
      return reply
  }
}

const MISSING = 'ADMIN_NOT_FOUND'
/** An answer without a body cannot name its code. */
const HEAD_CODES: Record<number, string> = { 400: 'STORE_KEY_INVALID', 409: 'STORE_LOCK_LOST', 423: 'STORE_LOCKED', 429: 'STORE_QUEUE_FULL', 503: 'STORE_UNREACHABLE' }
/** The value comes last in a grant, so that its text can be cut out; owners before it cannot hold this, as their quotes are escaped. */
const VALUE = ',"value":'

function missing (op: Op): Reply {
  switch (op) {
    case 'release':
    case 'renew': return new Reply('STORE_LOCK_LOST')
    case 'touch':
    case 'break':
    case 'size': return Reply.of(0)
    default: {
      const reply = new Reply()
      if (op === 'collections') reply.text = '{"collections":[]}'
      return reply
    }
  }
}

/** What the routes say, as the engines' replies have it. */
function translate (op: Op, answer: any): unknown {
  const raw = ({ since, expiresAt, ...lock }: any): object => ({ ...lock, since: Date.parse(since as string), expiresAt: expiresAt === undefined ? undefined : Date.parse(expiresAt as string) })
  switch (op) {
    case 'locks': return (answer.locks as LockInfo[]).map(raw)
    case 'lock': return { ...raw(answer), queue: (answer as LockQueue).queue.map(raw) }
    case 'collections': return {
      collections: ((answer.collections ?? [answer]) as CollectionStats[]).map(({ expireKeys, ...stats }) => ({ ...stats, idle: expireKeys * 1000 }))
    }
    case 'scan': return {
      keys: answer.keys.map(({ key, version, bytes, expiresAt }: any) => [key, version, expiresAt === undefined ? null : Date.parse(expiresAt as string) - Date.now(), bytes]),
      cursor: answer.cursor
    }
    default: return answer
  }
}

function bounds (text: string): object {
  const { idle, ...others } = JSON.parse(text) as { idle?: number }
  return { expireKeys: seconds(idle), ...others }
}

function seconds (milliseconds: number | undefined): number | undefined {
  return milliseconds === undefined ? undefined : milliseconds / 1000
}

function ttlOf (headers: Answer['headers']): number | undefined {
  return headers['x-ttl'] === undefined ? undefined : Number(headers['x-ttl']) * 1000
}

function query (values: Record<string, string | number | boolean | undefined>): string {
  const parts = Object.entries(values).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}=${encodeURIComponent(value!)}`)
  return parts.length === 0 ? '' : `?${parts.join('&')}`
}
