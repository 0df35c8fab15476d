// The interface between the API and the engines. Store, Collection and KeyLock create a Request; an engine carries it
// to the keys and returns the Reply. Requests mean the same in every engine:
//
//   get        text                       entry    text, version, expiresIn     head    version, expiresIn
//              With `near`, the caller may keep a copy of the value: see engines/memory/copies.ts
//   peek       like entry, but does not restart the key's idle time
//   set        version, number: 1 if the key is new        del      number: 1 if there was a value, else 0
//   touch      number: 1 or 0
//   increment  number, version, expiresIn. Starts at 0; `ttl` applies only if the key is created or the sum exceeds
//              `limit`. With `down`, a key without a value stays without (number: 0), and the sum stops at 0
//   acquire    token, fence, expiresIn (of the lease), text, version; `token` is the token of the new lock
//   release    ends the lock `token`, or cancels the acquire that still waits with that token;
//              a set or del with `release` also ends the lock, even if the change fails
//   renew      expiresIn: the lease of `token` restarts with `lease`
//   break      ends the lock of `key` regardless of its owner, or only the one with fence `number`; number: 1 or 0
//   scan       text: JSON {keys: [[name, version, expiresIn | null, bytes]], cursor}; `key` is the prefix, `number`
//              the limit; `cursor` is opaque, and absent in the first request and the last reply
//   dump       text: JSON {keys: [[name, version, ttl left | null]], cursor} of all keys, paged like a scan, then
//              DUMP_SEPARATOR and the value of each key, as last committed. Does not count as a use of the keys
//   size       number
//   clear      deletes the keys with prefix `key` ('': all) that were written before it: unlocked keys immediately,
//              locked keys when their lock ends, or not at all with `nowait`. Replies when all are deleted. A cancelled
//              clear deletes no more keys
//   configure  `text`: JSON of the changed options
//   collections    text: JSON {collections: [...], cursor}, paged like a scan; only `collection` if `key` is '1'
//   locks          text: JSON of at most `number` locks
//   lock           text: JSON of the lock of `key` with its waiters; undefined if it is not locked
//   stats          text: JSON of the whole store and of the process that has the keys
//   ping       an empty reply. With `number`, the caller asks for a lease on its copies; it has read them so many times
//   watch      waits for changes of keys with prefix `key`. `text`: JSON of a WatchRequest; `cursor`: the position of
//              the previous call, absent at first. text: a WatchReply. Replies immediately without a cursor, with
//              `nowait`, or if there are changes to report
//   publish    `text` is a message for the channel `key`; number: how many subscribers it is sent to
//   subscribe  waits for messages in the channel `key`. `token` names the subscription, `number` is its number of
//              subscribers, `cursor` is as in watch. text: a MessageReply. The first call, without a cursor, registers
//              the subscription and replies immediately, like one with `nowait`; one with `release` ends it. It also
//              ends when its caller disconnects, and after SUBSCRIPTION_MS without a call
//
// Calls on one key are linearizable, and the calls of one engine take effect in the order they were made. While a key
// is locked, calls without the lock's `token` wait in a FIFO queue.
import type { StoreErrorCode, StoreError } from './errors.js'

/** The index in this list is the opcode on the wire: append only, or raise the protocol version. */
export const OPS = [
  'get', 'entry', 'head', 'set', 'del', 'touch', 'increment', 'acquire', 'release', 'renew', 'break',
  'scan', 'size', 'clear', 'configure', 'collections', 'locks', 'lock', 'stats', 'ping', 'peek',
  'watch', 'publish', 'subscribe', 'dump'
] as const

/** Cannot occur in JSON text, like the separator of RFC 7464. */
export const DUMP_SEPARATOR = '\x1e'

/** Maximum number of locks in one listing. */
export const MAX_LOCKS = 1000

export type Op = typeof OPS[number]

const WAITING: readonly Op[] = ['get', 'entry', 'peek', 'head', 'set', 'del', 'touch', 'increment', 'acquire', 'clear']

/** Whether a call waits while its key is locked. A clear waits while any key with its prefix is locked. */
export function mayWait ({ op, nowait, token }: Request): boolean {
  return !nowait && (token === undefined || op === 'acquire') && WAITING.includes(op)
}

/** Whether a call waits for an event instead of a lock, without a time limit of its own. */
export function isPoll ({ op, nowait, release }: Request): boolean {
  return (op === 'watch' || op === 'subscribe') && !nowait && !release
}

/** Whether a call ends the lock that it names. */
export function endsLock ({ op, release }: Pick<Request, 'op' | 'release'>): boolean {
  return release || op === 'release'
}

/** Milliseconds without a call after which a subscription expires. */
export const SUBSCRIPTION_MS = 30_000

/**
 * One call. A class, so all requests have one shape. Times are in milliseconds; `text` is JSON, represented as `T`.
 */
export class Request<T = string> {
  text: T | undefined
  /** Time to live of the written value. */
  ttl: number | undefined
  /** Only if the key has this version; 0 means "has no value". */
  ifVersion: number | undefined
  /** Set: only if the key has no value. */
  ifAbsent = false
  /** Set and del: only if the key has a value. */
  ifPresent = false
  /** The amount of an increment; the limit of a scan, dump or listing; the fence for a break. */
  number: number | undefined
  /** Increment: a sum above this limit restarts the ttl. */
  limit: number | undefined
  /** With `limit`: the restarted ttl is ttl * 2 ** (sum - limit - 1). */
  backoff = false
  /** Increment: subtracts instead of adding. */
  down = false
  cursor: string | undefined
  /** The lock this call is made through. For an acquire: the token of the new lock. */
  token: string | undefined
  release = false
  lease: number | undefined
  /** The lock survives its connection and ends only by release or lease. */
  detached = false
  /** Label of the lock's owner, shown in listings. */
  owner: string | undefined
  /** Fail with STORE_LOCKED instead of waiting. */
  nowait = false
  /** Set, del and increment: reply once the change is on disk. */
  durable = false
  /** Watch and subscribe: the engine may send several replies, as if the next call were already waiting. */
  stream = false

  /** How the caller waits. Not sent. */
  wait: Wait | undefined
  /** The reads that it belongs to: once the store is asked, it answers all that follow. Not sent. */
  series: Series | undefined

  constructor (readonly op: Op, readonly collection: string, readonly key: string) {}
}

/** Reads that keep their order. */
export interface Series {
  isSent: boolean
}

export interface Wait {
  /** Milliseconds until the call fails with STORE_TIMEOUT. */
  timeout: number | undefined
  /** Fails the call with STORE_ABORTED. */
  signal: AbortSignal | Abortion | undefined
  /** Ends the wait but not the call: what it has already done is still reported. */
  scope: AbortScope | undefined
  /** With `stream`: called with each reply before the last one. */
  onmore?: ((reply: Reply) => void) | undefined
}

export class Reply<T = string> {
  text: T | undefined
  version: number | undefined
  expiresIn: number | undefined
  number: number | undefined
  token: string | undefined
  fence: number | undefined
  /** More replies to the same call follow: see `stream`. */
  more = false
  /** The id of a copy that the caller may keep; `number` is its lease in milliseconds. */
  near: number | undefined
  /** The lock of a successful acquire. Set in the process that asked, when the reply arrives. */
  grant: Grant | undefined

  constructor (readonly code?: StoreErrorCode) {}

  static of (number: number): Reply<never> {
    const reply = new Reply<never>()
    reply.number = number
    return reply
  }
}

/** A granted lock, as tracked in the process of its owner. */
export class Grant {
  isLost = false
  /** Called when the lock ends without a release. */
  onlost: (() => void) | undefined

  lose (): void {
    this.isLost = true
    this.onlost?.()
  }
}

/** A cheap alternative to AbortSignal, for a listener on every call. */
export interface AbortScope {
  readonly aborted: boolean
  add (wait: Abortable): void
  delete (wait: Abortable): void
}

/** Like an AbortSignal. An interface, as copies of this package in one process share an engine. */
export interface Abortion {
  readonly aborted: boolean
  readonly reason: unknown
  add (fn: () => void): void
  delete (fn: () => void): void
}

export interface Abortable {
  abort (): void
}

export interface Engine {
  /** Maximum size of a value, in bytes of JSON text. */
  readonly maxValueBytes: number
  /** Sets the approximate maximum size of this process's copies of values, in bytes. */
  setNearBytes? (bytes: number): void
  /** Whether all users in this process share this engine. */
  readonly isShared: boolean
  /**
   * Rejects with a StoreError. An error is never reported as a miss, and no call hangs after the connection is lost.
   * The engine may remove the `text` of the request when it has sent it.
   */
  call (request: Request): Promise<Reply>
  /**
   * Like `call`, in the same order, but without a reply. That the store has rejected it is not reported; that it may
   * not have reached the store is, by `onerror` or `close`.
   */
  post (request: Request): void
  /**
   * Called with errors that belong to no single call. A new handler must call the previous one, which may belong to
   * another copy of this package.
   */
  onerror: ((error: StoreError) => void) | undefined
  /** Called repeatedly while data is loading, with the number of parts loaded and the total. */
  onloading?: ((loaded: number, all: number) => void) | undefined
  /** Called once, on close. */
  onclose: (() => void) | undefined
  /** Delivers posted requests, then closes. Releases held locks; waiting calls fail with STORE_CLOSED. */
  close (): Promise<void>
}
