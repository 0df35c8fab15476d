// Encodes the calls of watches and channels for the scripts: see scripts/watch.ts and scripts/channels.ts.
import { Request, isPoll, type Abortion, type Reply } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import type { WatchReply, WatchRequest } from '../../core/feed-replies.js'
import { placeOf } from './keys.js'
import { scriptCall, type ScriptCall } from './script-call.js'

/** The prefix of a listing's cursor, followed by the revision at its start and the last name, in base64url. */
const LIST = /^list\.(\d{1,16})\.([\w-]*)$/
/** Maximum number of subscribers per process. */
const MAX_COUNT = 2 ** 20
const FIRST_PAUSE_MS = 1
const MAX_PAUSE_MS = 16

/** The request as sent: a channel is stored like a collection, under a reserved name. STORE_OPTION_INVALID. */
export function placed (request: Request): Request {
  const { op, key, cursor, token, number = 1 } = request
  if (op === 'watch') {
    if (optionsOf(request) === undefined || !(cursor === undefined || LIST.test(cursor) || /^\d{1,16}$/.test(cursor))) {
      throw new StoreError('STORE_OPTION_INVALID', 'invalid options or cursor of a watch')
    }
    return request
  }
  if (op !== 'publish' && op !== 'subscribe') return request
  if (op === 'subscribe' && (token === undefined || !(number >= 0))) throw new StoreError('STORE_OPTION_INVALID')
  return Object.assign(new Request(op, placeOf(key), key), { ...request, collection: placeOf(key) })
}

/** The script call of such a request; undefined for other requests. */
export function feedCallOf (request: Request, who: string, life: string): ScriptCall | undefined {
  const { op, text = '', token, number = 1, cursor = '', release, nowait } = request
  switch (op) {
    case 'watch': return watchCall(request, who, life)
    case 'publish': return scriptCall('publish', { who, text, life })
    case 'subscribe': {
      const count = String(Math.min(Math.floor(number), MAX_COUNT))
      const how = release ? 'end' : nowait ? 'now' : 'wait'
      return scriptCall('subscribe', { who, token: token!, count, cursor, how, life })
    }
    default: return undefined
  }
}

function watchCall (request: Request, who: string, life: string): ScriptCall {
  const { key, cursor = '', nowait } = request
  const { exact, values, list } = optionsOf(request)!
  const asked = JSON.stringify({ key, exact: exact === true, values: values === true })
  const call = (how: string, revision: string, name: string): ScriptCall =>
    scriptCall('watch', { who, asked, how, revision, name, life })
  const [, start, name] = LIST.exec(cursor) ?? []
  if (start !== undefined) return call('list', start, Buffer.from(name!, 'base64url').toString())
  if (cursor !== '') return call(nowait ? 'now' : 'wait', cursor, '')
  return call(list === true ? 'list' : 'here', '', '')
}

function optionsOf ({ text = '{}' }: Request): WatchRequest | undefined {
  try {
    return JSON.parse(text) as WatchRequest | null ?? {}
  } catch {
    return undefined
  }
}

/** The reply to a watch. While listing, the cursor is built here, not by the script. */
export function withCursor ({ op }: Request, reply: Reply): Reply {
  const { text, version, number } = reply
  if (op !== 'watch' || text === undefined || number !== 1) return reply
  const at = text.indexOf('\x1e')
  const name = Buffer.from(JSON.parse(text.slice(0, at)) as string).toString('base64url')
  const head: Pick<WatchReply, 'cursor'> = { cursor: `list.${version!}.${name}` }
  reply.text = `${JSON.stringify(head).slice(0, -1)},${text.slice(at + 2)}`
  reply.version = reply.number = undefined
  return reply
}

/**
 * Paces the calls of watches of a busy collection. While calls find changes immediately, the pause before the next one
 * grows, so that each reply has more changes. After a call that had to wait, the next one is made immediately.
 */
export class Pace {
  /** Milliseconds, by the signal that all calls of one feed share. */
  readonly #pauses = new WeakMap<AbortSignal | Abortion, number>()

  /** Calls `go`, now or after a pause. */
  pass (request: Request, go: () => void): NodeJS.Timeout | undefined {
    const signal = isPoll(request) ? request.wait?.signal : undefined
    const pause = signal === undefined ? undefined : this.#pauses.get(signal)
    if (pause !== undefined) return setTimeout(go, pause)
    go()
    return undefined
  }

  /** A call was answered immediately, or has to wait. */
  note (request: Request, hasWaited: boolean): void {
    const signal = isPoll(request) ? request.wait?.signal : undefined
    if (signal === undefined) return
    if (hasWaited) this.#pauses.delete(signal)
    else this.#pauses.set(signal, Math.min(MAX_PAUSE_MS, 2 * (this.#pauses.get(signal) ?? FIRST_PAUSE_MS / 2)))
  }
}
