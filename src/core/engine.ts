// The seam. Store, Collection and KeyLock ask; an engine carries a Request to wherever the keys live and brings the
// Reply. Where that is, is the engine's business; what a request means is the same everywhere:
//
//   get        text                       entry    text, version, expiresIn     head    version, expiresIn
//   peek       as entry, but it is no use of the key: its idle time goes on
//   set        version, number: 1 if the key is new        del      number: 1 if there was a value, else 0
//   touch      number: 1 or 0
//   increment  number, version, expiresIn. Starts at 0; `ttl` counts only when it creates the key, and where the
//              sum is above `limit`. With `down` it does nothing to a key without value (number: 0), and no sum falls
//              below 0
//   acquire    token, fence, expiresIn (of the lease), text, version; `token` is the one the lock is to have
//   release    ends the lock `token`, or gives up the place of the acquire that still waits with that token;
//              a set or del with `release` ends it too, whatever becomes of the change
//   renew      expiresIn: the lease `token` starts anew with `lease`
//   break      ends the lock of `key`, whoever holds it, or only that with the fence `number`; number: 1 or 0
//   scan       text: JSON {keys: [[name, version, expiresIn | null, bytes]], cursor}; `key` is the prefix, `number`
//              the limit, `cursor` where to go on (none at first, and none in the last reply): opaque to the caller
//   dump       text: JSON {keys: [[name, version, ttl left | null]], cursor} of all keys, in pages like a scan's, then
//              for each key DUMP_SEPARATOR and its value: as last committed, and without this being a use of the key
//   size       number
//   clear      deletes the keys that begin with `key`, '' for all, and were written before it: free ones at once, a
//              locked one when its turn comes, or not with `nowait`. Cancelled, it deletes no more keys. Answered when
//              all of them are deleted
//   configure  `text`: JSON of the changed options
//   collections    text: JSON {collections: [...], cursor}, in pages like a scan's; of `collection` alone where
//                  `key` is '1'
//   locks          text: JSON of some, `number` at most
//   lock           text: JSON of that of `key`, with its waiters; none if it is not locked
//   stats          text: JSON of the whole store and the process that has it
//   ping       nothing: the store answers
//   watch      waits for changes of the keys that begin with `key`. `text`: JSON of a WatchRequest; `cursor`: where the
//              call before has got to, none at first. text: a WatchReply. Without a cursor, with `nowait`, or where
//              there is something to report it is answered at once
//   publish    `text` is a message for the channel `key`; number: the subscribers that it is for
//   subscribe  waits for messages in the channel `key`. `token` names the subscription, `number` says for how many
//              subscribers it stands, `cursor` is as in watch. text: a MessageReply. The first call, without a cursor,
//              registers the subscription and is answered at once, like one with `nowait`; one with `release` ends it.
//              It also ends with its caller, and after SUBSCRIPTION_MS without a call
//
// Calls on one key are linearizable, and one engine's calls take effect in the order they were made. While a key is
// locked, a call on it waits its turn, first come first served, unless it brings the lock's own `token`.
import type { StoreErrorCode, StoreError } from './errors.js'

/** The place in this list is the number on the wire: append only, or raise the protocol's version. */
export const OPS = [
  'get', 'entry', 'head', 'set', 'del', 'touch', 'increment', 'acquire', 'release', 'renew', 'break',
  'scan', 'size', 'clear', 'configure', 'collections', 'locks', 'lock', 'stats', 'ping', 'peek',
  'watch', 'publish', 'subscribe', 'dump'
] as const

/** Stands in no JSON text: RFC 7464 uses it likewise. */
export const DUMP_SEPARATOR = '\x1e'

/** Locks that one listing has at most. */
export const MAX_LOCKS = 1000

export type Op = typeof OPS[number]

const WAITING: readonly Op[] = ['get', 'entry', 'peek', 'head', 'set', 'del', 'touch', 'increment', 'acquire', 'clear']

/** Whether a call waits while its key is locked; a clear, while one of the keys is that begin with its own. */
export function mayWait ({ op, nowait, token }: Request): boolean {
  return !nowait && (token === undefined || op === 'acquire') && WAITING.includes(op)
}

/** Whether a call waits for something to happen, for as long as it takes, and not for a lock. */
export function isPoll ({ op, nowait, release }: Request): boolean {
  return (op === 'watch' || op === 'subscribe') && !nowait && !release
}

/** Milliseconds without a call after which a subscription ends. */
export const SUBSCRIPTION_MS = 30_000

/** One call. A class so that all requests have one shape; times are in milliseconds, text is JSON, in the form `T`. */
export class Request<T = string> {
  text: T | undefined
  /** Absolute time to live of what is written. */
  ttl: number | undefined
  /** Only if the key has this version; 0 stands for "has no value". */
  ifVersion: number | undefined
  /** Set: only if the key has no value. */
  ifAbsent = false
  /** Set and del: only if the key has a value. */
  ifPresent = false
  /** What increment adds; the limit of a scan, a dump, collections and locks; the fence that break is about. */
  number: number | undefined
  /** Increment: a sum above it starts the ttl anew. */
  limit: number | undefined
  /** With `limit`: not with `ttl` itself but with ttl * 2 ** (sum - limit - 1). */
  backoff = false
  /** Increment: takes back what was counted. */
  down = false
  cursor: string | undefined
  /** The lock that this call comes through; the token that an acquire wants for its lock. */
  token: string | undefined
  release = false
  lease: number | undefined
  /** A lock that outlives the connection it was taken through: by its lease alone. */
  detached = false
  /** Who holds the lock, for people. */
  owner: string | undefined
  /** Fail with STORE_LOCKED where the call would have to wait. */
  nowait = false
  /** Set, del and increment: answered when the change is on disk. */
  durable = false

  /** How the asking process waits; not sent. */
  wait: Wait | undefined

  constructor (readonly op: Op, readonly collection: string, readonly key: string) {}
}

export interface Wait {
  /** Milliseconds until the call fails with STORE_TIMEOUT. */
  timeout: number | undefined
  /** Fails the call with STORE_ABORTED. */
  signal: AbortSignal | undefined
  /** Ends the wait, but not the call: what has been done already is reported as done. */
  scope: AbortScope | undefined
}

export class Reply<T = string> {
  text: T | undefined
  version: number | undefined
  expiresIn: number | undefined
  number: number | undefined
  token: string | undefined
  fence: number | undefined
  /** Of a granted lock, once the reply has reached the asking process. */
  grant: Grant | undefined

  constructor (readonly code?: StoreErrorCode) {}

  static of (number: number): Reply<never> {
    const reply = new Reply<never>()
    reply.number = number
    return reply
  }
}

/** A lock as its holder's process keeps track of it. */
export class Grant {
  isLost = false
  /** Called when the lock ends without having been released. */
  onlost: (() => void) | undefined

  lose (): void {
    this.isLost = true
    this.onlost?.()
  }
}

/** A signal that costs next to nothing to listen to, for one that is listened to once a call. */
export interface AbortScope {
  readonly aborted: boolean
  add (wait: Abortable): void
  delete (wait: Abortable): void
}

export interface Abortable {
  abort (): void
}

export interface Engine {
  /** Bytes of JSON text that a value may have. */
  readonly maxValueBytes: number
  /** Whether it is the same for all who ask in this process. */
  readonly isShared: boolean
  /** Rejects with a StoreError; never a miss for an error, never a hang after the connection is lost. */
  call (request: Request): Promise<Reply>
  /** As `call`, in the same order, without waiting for an answer; errors are not reported. */
  post (request: Request): void
  /**
   * Called with errors that belong to no single call. Whatever sets it must call the previous one, which may belong
   * to another copy of this package.
   */
  onerror: ((error: StoreError) => void) | undefined
  /** Called repeatedly while data is loaded: how many parts have been, of how many. */
  onloading?: ((loaded: number, all: number) => void) | undefined
  /** Called once, when it is closed. */
  onclose: (() => void) | undefined
  /** Delivers what was posted, then ends. Held locks are released, calls that wait fail with STORE_CLOSED. */
  close (): Promise<void>
}
