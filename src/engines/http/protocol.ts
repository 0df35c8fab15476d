// The protocol between the http engine and the admin API. The body of `POST /calls` is a JSON array of calls of one
// process, executed in order. The response is NDJSON; every line is an array of [index of the call, reply]. The first
// line is sent when all calls have reached the store. Calls without a reply in it are waiting; their replies follow in
// later lines. Unconfirmed calls get a reply only if they may not have reached the store, or if the token does not
// allow them. An empty line is a heartbeat. Fields are those of Request and Reply, durations are in milliseconds.
import { OPS, Reply, Request, type Op } from '../../core/engine.js'
import { isErrorCode, type StoreErrorCode } from '../../core/errors.js'

/** A route of the admin API. A response with another status or type does not come from an admin API. */
export interface Route {
  readonly method: 'GET' | 'POST'
  /** Relative to the prefix. */
  readonly path: string
  readonly status: number
  readonly type: string
}

export const CALLS = {
  method: 'POST', path: '/calls', status: 200, type: 'application/x-ndjson'
} as const satisfies Route
export const STATS = { method: 'GET', path: '/stats', status: 200, type: 'application/json' } as const satisfies Route

/** Lease of locks that are acquired without one. */
export const LEASE_MS = 30_000
/** Interval of heartbeats while calls wait. */
export const HEARTBEAT_MS = 5000
export const MAX_CALLS = 512
/** Maximum length of a request with several calls, in UTF-16 code units. */
export const MAX_CALLS_LENGTH = 2 ** 18

type RequestField = Exclude<keyof Request, 'op' | 'collection' | 'key' | 'wait' | 'detached' | 'stream'>
type ReplyField = Exclude<keyof Reply, 'code' | 'grant' | 'more' | 'near'>

const REQUEST_FIELDS: readonly RequestField[] = [
  'text', 'ttl', 'ifVersion', 'ifAbsent', 'ifPresent', 'number', 'limit', 'backoff', 'down', 'cursor', 'token',
  'release', 'lease', 'owner', 'nowait', 'durable'
]
const TEXT_FIELDS: readonly ReplyField[] = ['text', 'token']

/** A call on the wire, without fields that are undefined or false. */
export type SentCall = { op: Op, collection: string, key: string, timeout?: number, unconfirmed?: boolean } & {
  [Field in RequestField]?: Exclude<Request[Field], undefined>
}

export type SentReply = { code?: StoreErrorCode, detail?: string } & {
  [Field in ReplyField]?: Exclude<Reply[Field], undefined>
}

interface Operation {
  /** Whether read access suffices. */
  readonly isRead: boolean
  /** Required fields of the reply. */
  readonly always: readonly ReplyField[]
  /** Optional fields of the reply. */
  readonly maybe: readonly ReplyField[]
  /** Whether the caller parses `text` as JSON. */
  readonly isJson?: true
}

export const OPERATIONS: Record<Op, Operation> = {
  get: { isRead: true, always: [], maybe: ['text', 'version', 'expiresIn'] },
  entry: { isRead: true, always: [], maybe: ['text', 'version', 'expiresIn'] },
  peek: { isRead: true, always: [], maybe: ['text', 'version', 'expiresIn'] },
  head: { isRead: true, always: [], maybe: ['version', 'expiresIn'] },
  set: { isRead: false, always: ['version'], maybe: ['number'] },
  del: { isRead: false, always: ['number'], maybe: [] },
  touch: { isRead: false, always: ['number'], maybe: [] },
  increment: { isRead: false, always: ['number'], maybe: ['version', 'expiresIn'] },
  acquire: { isRead: false, always: ['token', 'fence'], maybe: ['text', 'version', 'expiresIn'] },
  release: { isRead: false, always: [], maybe: [] },
  renew: { isRead: false, always: [], maybe: ['expiresIn'] },
  break: { isRead: false, always: ['number'], maybe: [] },
  scan: { isRead: true, always: ['text'], maybe: [], isJson: true },
  size: { isRead: true, always: ['number'], maybe: [] },
  clear: { isRead: false, always: [], maybe: [] },
  configure: { isRead: false, always: [], maybe: [] },
  collections: { isRead: true, always: ['text'], maybe: [], isJson: true },
  locks: { isRead: true, always: ['text'], maybe: [], isJson: true },
  lock: { isRead: true, always: [], maybe: ['text'], isJson: true },
  ping: { isRead: true, always: [], maybe: [] },
  stats: { isRead: true, always: ['text'], maybe: [], isJson: true },
  watch: { isRead: true, always: ['text'], maybe: [] },
  publish: { isRead: false, always: ['number'], maybe: [] },
  subscribe: { isRead: true, always: [], maybe: ['text'] },
  dump: { isRead: true, always: ['text'], maybe: [] }
}

/** Serializes a call as JSON. */
export function writeCall (request: Request, isUnconfirmed: boolean): string {
  const { op, collection, key, wait } = request
  const call: Record<string, unknown> = { op, collection, key }
  for (const field of REQUEST_FIELDS) {
    const value = request[field]
    if (value !== undefined && value !== false) call[field] = value
  }
  if (wait?.timeout !== undefined) call.timeout = wait.timeout
  if (isUnconfirmed) call.unconfirmed = true
  return JSON.stringify(call)
}

/** The types of the fields have been validated before. */
export function readCall (call: SentCall): Request {
  const { op, collection, key, timeout } = call
  const request = Object.assign(
    new Request(op, collection, key),
    Object.fromEntries(REQUEST_FIELDS.filter(field => field in call).map(field => [field, call[field]]))
  )
  if (timeout !== undefined) request.wait = { timeout, signal: undefined, scope: undefined }
  return request
}

export function isOp (op: string): op is Op {
  return (OPS as readonly string[]).includes(op)
}

export function writeReply (op: Op, reply: Reply): SentReply {
  const { always, maybe } = OPERATIONS[op]
  const sent: Record<string, unknown> = {}
  for (const fields of [always, maybe]) {
    for (const field of fields) {
      if (reply[field] !== undefined) sent[field] = reply[field]
    }
  }
  return sent
}

/** Undefined if it is not a valid reply to the operation. */
export function readReply (op: Op, sent: unknown): { reply: Reply, detail: string | undefined } | undefined {
  if (typeof sent !== 'object' || sent === null) return undefined
  const { code, detail } = sent as { code?: unknown, detail?: unknown }
  if (code !== undefined) {
    if (typeof code !== 'string' || !isErrorCode(code)) return undefined
    return { reply: new Reply(code), detail: typeof detail === 'string' ? detail : undefined }
  }
  const { always, maybe, isJson } = OPERATIONS[op]
  const fields = sent as Record<ReplyField, unknown>
  const reply = new Reply()
  for (const field of always) {
    if (fields[field] === undefined) return undefined
  }
  for (const list of [always, maybe]) {
    for (const field of list) {
      const value = fields[field]
      if (value === undefined) continue
      if (TEXT_FIELDS.includes(field) ? typeof value !== 'string' : !Number.isFinite(value)) return undefined
      reply[field] = value as never
    }
  }
  return isJson === true && reply.text !== undefined && !isJsonText(reply.text)
    ? undefined
    : {
        reply, detail: undefined
      }
}

function isJsonText (text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
