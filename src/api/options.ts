// The options and results of the collection API. Durations are in seconds.
import { milliseconds, onlyKnown, wholeNumber } from '../core/validation.js'
import { StoreError } from '../core/errors.js'
import type { CollectionStats } from '../core/stats.js'

export interface WaitOptions {
  /** Cancels the call with STORE_ABORTED. A write that was already sent may still take effect. */
  signal?: AbortSignal | undefined
  /**
   * Seconds until the call fails with STORE_TIMEOUT. With 0 it fails with STORE_LOCKED if it would have to wait for a
   * lock. Default: the store's `timeout`, or none.
   */
  timeout?: number | undefined
}

export interface PrefixOptions extends WaitOptions {
  /** Only keys that start with this prefix, of at most 1024 bytes. Default: all. */
  prefix?: string | undefined
}

export interface SetOptions extends WaitOptions {
  /**
   * Seconds until the key expires, whether used or not; at least 0.001 and below 2^40. Default: none, only `expireKeys`
   * applies.
   */
  ttl?: number | undefined
  /** Write only if the key has this version, or else fail with STORE_VERSION_MISMATCH. 0 means that it has no value. */
  ifVersion?: number | undefined
  /** Write only if the key has no value, or else fail with STORE_EXISTS. Default false. */
  ifAbsent?: boolean | undefined
  /** Write only if the key has a value, or else fail with STORE_NOT_FOUND. Default false. */
  ifPresent?: boolean | undefined
  /** The token of the key's lock, to write under it and keep the key's ttl. STORE_LOCK_LOST if the lock has ended. */
  token?: string | undefined
  /** With `token`: also release the lock, even if the write fails. Default false. */
  release?: boolean | undefined
  /** False: resolve immediately, without confirmation and ignoring errors. The order of calls is kept. Default true. */
  confirm?: boolean | undefined
  /**
   * True: resolve when the change is on disk, in a store with `data`; STORE_OPTION_INVALID in any other,
   * STORE_NOT_DURABLE if it was made but could not be written. Default: that of the collection.
   */
  durable?: boolean | undefined
}

export type DelOptions = Pick<
  SetOptions, 'signal' | 'timeout' | 'ifVersion' | 'ifPresent' | 'token' | 'release' | 'confirm' | 'durable'
>

export interface EntryOptions extends WaitOptions {
  /** The token of the key's lock, to read under it. STORE_LOCK_LOST if it no longer holds the key. */
  token?: string | undefined
  /** True: read without restarting the key's idle time. Default false. */
  peek?: boolean | undefined
}

export interface TtlOptions extends WaitOptions {
  /** Seconds until the key expires, at least 0.001. Default: none. */
  ttl?: number | undefined
  /** The token of the key's lock, to use the key under it. STORE_LOCK_LOST if it no longer holds the key. */
  token?: string | undefined
}

export interface TouchOptions extends TtlOptions {
  /** Only if the key has this version, or else fail with STORE_VERSION_MISMATCH. 0 means that it has no value. */
  ifVersion?: number | undefined
}

export interface CountOptions extends TtlOptions {
  /** With `ttl`: a sum above this number restarts it. Default: none, only the call that creates the key sets it. */
  limit?: number | undefined
  /** As in SetOptions. */
  durable?: boolean | undefined
  /** With `limit`: double the ttl with each count above it, from the second one on. Default false. */
  backoff?: boolean | undefined
}

export type DecrementOptions = Pick<CountOptions, 'signal' | 'timeout' | 'token' | 'durable'>

export interface AcquireOptions extends WaitOptions {
  /**
   * Seconds, at least 0.001, after which a holder that has neither released nor renewed the lock loses it.
   * Default: the store's `lease`, or none. Without a lease the lock ends with the holder's process at the latest.
   */
  lease?: number | undefined
  /**
   * True: the lock outlives this process and ends only with its lease, which is required. Any process that has the
   * token can use and release it. Default false.
   */
  detached?: boolean | undefined
  /**
   * The token the lock gets: 16 to 128 visible ASCII characters, unguessable and never used before. With a token of
   * your own you can release the lock even if the reply is lost. Default: a random one.
   */
  token?: string | undefined
  /** Describes the holder in lock listings; at most 1024 bytes. Default: the process id. */
  owner?: string | undefined
}

export interface UpdateOptions extends AcquireOptions {
  /** As in SetOptions. */
  durable?: boolean | undefined
  /** Seconds until the key expires, at least 0.001. Default: none, it keeps its expiry. */
  ttl?: number | undefined
}

export interface GetOrSetOptions extends WaitOptions {
  /** Seconds until the key expires, at least 0.001. Default: none. */
  ttl?: number | undefined
  /**
   * Seconds, at least 0.001, that computing the value may take before the next caller in line computes it.
   * Default: the store's `lease`, or none.
   */
  lease?: number | undefined
}

export interface CollectionOptions {
  /** Seconds without a read or write after which a key expires; 0: never. Default 0. */
  expireKeys?: number | undefined
  /** The most keys the collection may hold; 0: unbounded. Default 0. */
  maxKeys?: number | undefined
  /** The most bytes its keys and values (as JSON text) may take together; 0: unbounded. Default 0. */
  maxBytes?: number | undefined
  /** At a bound, evict the least recently used unlocked keys (true), or fail with STORE_FULL (false). Default true. */
  evict?: boolean | undefined
  /** In a store with `data`: whether the keys are written to disk. No effect in other stores. Default true. */
  keep?: boolean | undefined
  /**
   * In a store with `data`: whether `set`, `del` and counting resolve when the change is on disk, as if each call had
   * `durable: true`. STORE_OPTION_INVALID for true in any other store. Default false.
   */
  durable?: boolean | undefined
  /**
   * Seconds, at most 1, of the lease for which a process may answer reads from its own copies of values; 0: off. Reads
   * stay linearizable: a change of a key waits until no other process uses a copy of it, for the lease at most. Not
   * with `expireKeys`, because such reads would not count as a use. No effect in Redis, over HTTP, or in the process
   * that has the keys. Default 0.
   */
  near?: number | undefined
}

export interface Entry<T> {
  value: T
  /** Grows with every change of the key and is never reused for it, even after a delete. */
  version: number
  /** When the key expires unless it is used before; undefined if it does not expire. */
  expiresAt: Date | undefined
}

export interface PageOptions {
  /** Only keys that start with this prefix, of at most 1024 bytes. Default: all. */
  prefix?: string | undefined
  /** The cursor of the previous page. Default: none, start with the first page. */
  cursor?: string | undefined
  /** How many keys to look at, at least 1; a page looks at no more than 1000. Default 100. */
  limit?: number | undefined
}

export interface BreakOptions extends WaitOptions {
  /** The `fence` of the lock to break: a lock granted later is kept. Default: any lock of the key. */
  fence?: number | undefined
}

export interface BiggestOptions extends WaitOptions {
  /** The most keys to return, 1 to 1000. Default 10. */
  limit?: number | undefined
  /** How many keys to look at, 1 to 100000. Default 10000. */
  examine?: number | undefined
  /** The cursor of the previous result, to look at further keys. Default: none, start with the first. */
  cursor?: string | undefined
}

export interface BiggestKeys {
  /** Among those that were looked at. */
  keys: KeyPage['keys']
  /** How many keys it has looked at. */
  examined: number
  /** Looks at further keys; undefined if there are none. */
  cursor: string | undefined
}

export interface LocksOptions {
  /** The most locks to return, 1 to 1000. `stats().locks` has the total. Default 1000. */
  limit?: number | undefined
}

export interface KeyPage {
  keys: Array<{
    key: string
    version: number
    /** Size of the value as JSON text in UTF-8. */
    bytes: number
    /** As in Entry. */
    expiresAt: Date | undefined
  }>
  /** Fetches the next page; undefined on the last one. */
  cursor: string | undefined
}

export interface CollectionPageOptions {
  /** The cursor of the previous page. Default: none, start with the first page. */
  cursor?: string | undefined
  /** The most collections to return, at least 1; a page may have fewer although more follow. Default 100. */
  limit?: number | undefined
}

export interface CollectionPage {
  collections: CollectionStats[]
  /** Fetches the next page; undefined on the last one. */
  cursor: string | undefined
}

/** The options that each method of a collection accepts. */
const WAIT = ['signal', 'timeout']
const TTL = [...WAIT, 'ttl', 'token']
const ACQUIRE = [...WAIT, 'lease', 'detached', 'token', 'owner']
const DEL = [...WAIT, 'ifVersion', 'ifPresent', 'token', 'release', 'confirm', 'durable']
export const KNOWN = {
  wait: WAIT,
  prefix: [...WAIT, 'prefix'],
  page: ['prefix', 'cursor', 'limit'],
  break: [...WAIT, 'fence'],
  biggest: [...WAIT, 'limit', 'examine', 'cursor'],
  entry: [...WAIT, 'token', 'peek'],
  del: DEL,
  set: [...DEL, 'ttl', 'ifAbsent'],
  touch: [...TTL, 'ifVersion'],
  count: [...TTL, 'limit', 'backoff', 'durable'],
  decrement: [...WAIT, 'token', 'durable'],
  acquire: ACQUIRE,
  update: [...ACQUIRE, 'ttl', 'durable'],
  getOrSet: [...WAIT, 'ttl', 'lease']
} as const satisfies Record<string, readonly string[]>

const BOUNDS = ['expireKeys', 'maxKeys', 'maxBytes', 'evict', 'keep', 'durable', 'near'] as const
/** In seconds. */
const MAX_NEAR = 1
const EXCLUDED = 'near cannot be combined with expireKeys: reads from copies would not count as a use'

/** The options of a collection in the form the keyspace keeps. STORE_OPTION_INVALID. */
export function boundsOf (options: CollectionOptions): object {
  onlyKnown(options, BOUNDS)
  const { expireKeys, maxKeys, maxBytes, evict, keep, durable, near } = options
  for (const [name, flag] of Object.entries({ evict, keep, durable })) {
    if (flag !== undefined && typeof flag !== 'boolean') {
      throw new StoreError('STORE_OPTION_INVALID', `${name} must be true or false`)
    }
  }
  const nearMs = near === undefined ? undefined : milliseconds(near, 'near')
  if (near !== undefined && near > MAX_NEAR) throw new StoreError('STORE_OPTION_INVALID', `near must be at most ${MAX_NEAR} second`)
  if (near !== undefined && near > 0 && expireKeys !== undefined && expireKeys > 0) {
    throw new StoreError('STORE_OPTION_INVALID', EXCLUDED)
  }
  return {
    idle: expireKeys === undefined ? undefined : milliseconds(expireKeys, 'expireKeys'),
    maxKeys: maxKeys === undefined ? undefined : wholeNumber(maxKeys, 'maxKeys'),
    maxBytes: maxBytes === undefined ? undefined : wholeNumber(maxBytes, 'maxBytes'),
    evict,
    keep,
    durable,
    near: nearMs
  }
}

/** The error of a `configure` that a store refused. It may say no more than the code, and knows the other options. */
export function withReason (error: StoreError, { near, expireKeys, keep, durable }: CollectionOptions): StoreError {
  const isExcluded = (near ?? 0) > 0 || (expireKeys ?? 0) > 0
  if (error.code !== 'STORE_OPTION_INVALID' || !isExcluded || durable === true || keep === false) return error
  const other = (near ?? 0) > 0 ? 'expireKeys' : 'near'
  return new StoreError(error.code, `${EXCLUDED}; the collection has ${other}, so set ${other}: 0 as well`, { cause: error })
}

/** The moment that a duration in milliseconds leads to. */
export function moment (expiresIn: number | undefined): Date | undefined {
  return expiresIn === undefined ? undefined : new Date(Date.now() + expiresIn)
}
