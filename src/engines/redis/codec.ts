// Encodes requests for the scripts, and decodes their replies.
import { hostname } from 'node:os'
import { Reply, type Op, type Request } from '../../core/engine.js'
import { StoreError, detailOf, isErrorCode, type StoreErrorCode } from '../../core/errors.js'
import { feedCallOf } from './feeds.js'
import { scriptCall, type ScriptCall } from './script-call.js'
import type { ScriptName } from './scripts.js'

const OWNER = `pid ${process.pid} on ${hostname()}`

/** Whether an operation counts as a read. */
export function isRead (op: Op): boolean {
  return op === 'get' || op === 'entry' || op === 'peek' || op === 'head' || op === 'acquire'
}

/** The caller of a request. */
export interface Caller {
  channel: string
  /** The number of the call; negative if no reply is wanted. */
  number: number
  /** Milliseconds after which the process counts as dead. */
  life: number
}

/** The script call of a request about one collection. */
export function scriptCallOf (request: Request, caller: Caller, newToken: string | undefined): ScriptCall {
  const { op, key, nowait, text } = request
  const { channel, number } = caller
  const who = `${channel} ${number}`
  const life = String(caller.life)
  const feed = feedCallOf(request, who, life)
  if (feed !== undefined) return feed
  switch (op) {
    case 'clear': return scriptCall('clear', { who, prefix: key, nowait: nowait ? '1' : '', life })
    case 'configure': return scriptCall('configure', { changed: text ?? '{}' })
    default: return keyCall(scriptFor(op), op, key, number, optionsOf(request), textOf(request, newToken))
  }
}

/** A call on one key: see CALL_ARGUMENTS. */
function keyCall (
  script: ScriptName, op: Op, key: string, number: number, options: string, text: string
): ScriptCall {
  return { script, args: [op, key, String(number), options, text] }
}

/** Ends the lock of a request whose value was rejected because the server is out of memory. */
export function releaseOf ({ key, token }: Request, { number }: Caller): ScriptCall {
  return keyCall('call', 'release', key, number, '', token!)
}

function scriptFor (op: Op): ScriptName {
  if (op === 'set' || op === 'increment' || op === 'acquire') return 'write'
  return op === 'get' || op === 'entry' || op === 'peek' ? 'read' : 'call'
}

/** `newToken`: the token of the lock that an acquire gets. */
function textOf ({ op, text, token, owner }: Request, newToken: string | undefined): string {
  switch (op) {
    case 'acquire': return `${newToken} ${owner ?? OWNER}`
    case 'release': return token!
    default: return text ?? ''
  }
}

/** The fields of a call except its key and its text, as JSON; '' if there are none. */
function optionsOf (request: Request): string {
  const options = JSON.stringify({
    ttl: request.ttl,
    ifVersion: request.ifVersion === undefined ? undefined : String(request.ifVersion),
    ifAbsent: request.ifAbsent || undefined,
    ifPresent: request.ifPresent || undefined,
    number: request.number,
    limit: request.limit,
    backoff: request.backoff || undefined,
    down: request.down || undefined,
    token: request.op === 'acquire' || request.op === 'release' ? undefined : request.token,
    release: request.release || undefined,
    detached: request.detached || undefined,
    lease: request.lease,
    nowait: request.nowait || undefined
  })
  return options === '{}' ? '' : options
}

/** Decodes the reply of a script. Long texts are separate elements. */
export function wholeOf (answer: string | string[]): string {
  return typeof answer === 'string' ? answer : answer.join('')
}

/** "R version expiresIn number fence text", with empty fields for missing values, or "E code". */
export function replyOf (answer: string): Reply {
  if (answer.charCodeAt(0) === 69) {
    const code = answer.slice(1)
    return new Reply(isErrorCode(code) ? code : 'STORE_PROTOCOL')
  }
  const reply = new Reply()
  let at = 1
  const field = (): number | undefined => {
    const end = answer.indexOf(' ', at)
    const text = answer.slice(at, end)
    at = end + 1
    return text === '' ? undefined : Number(text)
  }
  reply.version = field()
  reply.expiresIn = field()
  reply.number = field()
  reply.fence = field()
  if (at < answer.length) reply.text = answer.slice(at)
  return reply
}

/** Converts an error of the server or of the connection. */
export function codeOf (error: Error): StoreErrorCode {
  if (error instanceof StoreError) return error.code
  if (/\bOOM\b/.test(error.message)) return 'STORE_FULL'
  // The call took no effect: the server cannot execute it, or does not permit it.
  if (/^(LOADING|BUSY|MASTERDOWN|READONLY|CLUSTERDOWN|TRYAGAIN|MISCONF|NOREPLICAS|NOAUTH|WRONGPASS|NOPERM|MOVED|ASK)\b|^ERR unknown command|^ERR The user executing the script can't/.test(error.message)) {
    return 'STORE_UNREACHABLE'
  }
  return error.name === 'ReplyError' ? 'STORE_PROTOCOL' : 'STORE_DISCONNECTED'
}

/** Why a command failed, without the name of an ioredis option that the store sets itself. */
export function reasonOf (error: Error): string {
  return error.message.startsWith("Stream isn't writeable") ? 'the connection was closed' : detailOf(error)
}

/** Reduces the remaining time by the age of the request: the server may have started to count when it was made. */
export function since (at: number, reply: Reply): Reply {
  if (reply.expiresIn !== undefined) reply.expiresIn = Math.max(0, reply.expiresIn - (Date.now() - at))
  return reply
}
