// What the methods of a collection take and give.
import { milliseconds, onlyKnown, wholeNumber } from '../core/validation.js'
import { StoreError } from '../core/errors.js'
import type { CollectionStats } from '../core/stats.js'

export interface WaitOptions {
  /** Gives the call up: STORE_ABORTED. A write that was on its way may still be made. */
  signal?: AbortSignal | undefined
  /**
   * Seconds until the call fails with STORE_TIMEOUT; 0: fail with STORE_LOCKED where it would have to wait for a lock.
   * Default: none, or that of createStore.
   */
  timeout?: number | undefined
}

export interface PrefixOptions extends WaitOptions {
  /** Only the keys that begin with it, 1024 bytes at most. Default: all. */
  prefix?: string | undefined
}

export interface SetOptions extends WaitOptions {
  /** Seconds after which the key ends, reads or not, from 0.001 on. Default: none, it ends by `expireKeys` alone. */
  ttl?: number | undefined
  /** Write only if the key has this version, else STORE_VERSION_MISMATCH. 0 stands for "has no value". */
  ifVersion?: number | undefined
  /** Write only if the key has no value, else STORE_EXISTS. Default false. */
  ifAbsent?: boolean | undefined
  /** The token of the lock through which this is done; STORE_LOCK_LOST if the key is not held by it. The key keeps its ttl. */
  token?: string | undefined
  /** With `token`: releases the lock as well, whatever becomes of the change. Default false. */
  release?: boolean | undefined
  /** False: resolve at once with 0, ask for no confirmation and ignore errors. Order is kept. Default true. */
  confirm?: boolean | undefined
}

export type DelOptions = Pick<SetOptions, 'signal' | 'timeout' | 'ifVersion' | 'token' | 'release' | 'confirm'>

export interface EntryOptions extends WaitOptions {
  /** The token of the lock through which this is done; STORE_LOCK_LOST if the key is not held by it. */
  token?: string | undefined
  /** True: only look. It is no use of the key, whose idle time goes on. Default false. */
  peek?: boolean | undefined
}

export interface TtlOptions extends WaitOptions {
  /** Seconds after which the key ends, from 0.001 on. Default: none. */
  ttl?: number | undefined
  /** The token of the lock through which this is done; STORE_LOCK_LOST if the key is not held by it. */
  token?: string | undefined
}

export interface CountOptions extends TtlOptions {
  /** With `ttl`: where the sum is above this number, the ttl starts anew. Default: none, it is fixed by the call that creates the key. */
  limit?: number | undefined
  /** With `limit`: each step above it doubles the ttl that starts anew, from the second on. Default false. */
  backoff?: boolean | undefined
}

export interface AcquireOptions extends WaitOptions {
  /**
   * Seconds, from 0.001 on, after which the lock is taken from a holder that has neither released nor renewed it.
   * Default: none, or that of createStore. Without one it ends with the holder's process at the latest.
   */
  lease?: number | undefined
  /**
   * True: the lock does not end with this process, but with its lease alone, which is then required. Whoever has the token
   * can go on with it, in any process. Default false.
   */
  detached?: boolean | undefined
  /**
   * The token that the lock is to have: 16 to 128 visible ASCII characters that nobody can guess, never used before. For who
   * wants to be able to release it even if the answer is lost. Default: a random one.
   */
  token?: string | undefined
  /** Who holds it, for people who look; at most 1024 bytes. Default: the process id. */
  owner?: string | undefined
}

export interface UpdateOptions extends AcquireOptions {
  /** Seconds after which the key ends, from 0.001 on. Default: none, it keeps the time it has. */
  ttl?: number | undefined
}

export interface GetOrSetOptions extends WaitOptions {
  /** Seconds after which the key ends, from 0.001 on. Default: none. */
  ttl?: number | undefined
  /** Seconds, from 0.001 on, that the value may take to compute: after that the next in line computes it. Default: none, or that of createStore. */
  lease?: number | undefined
}

export interface CollectionOptions {
  /** Seconds without a read or an update after which a key goes; 0: never. Default 0. */
  expireKeys?: number | undefined
  /** Keys the collection may have; 0: no bound. Default 0. */
  maxKeys?: number | undefined
  /** Bytes that names and values (JSON text) together may have; 0: no bound. Default 0. */
  maxBytes?: number | undefined
  /** What happens at a bound. True: the least recently used unlocked keys go. False: STORE_FULL. Default true. */
  evict?: boolean | undefined
}

export interface Entry<T> {
  value: T
  /** Grows with every change of the key and never repeats for it, also after a delete. */
  version: number
  /** When the key ends if it is not used before; undefined if it stays. */
  expiresAt: Date | undefined
}

export interface PageOptions {
  /** Only keys that begin with it, 1024 bytes at most. Default: all. */
  prefix?: string | undefined
  /** Where to continue: that of the page before. Default: none, from the start. */
  cursor?: string | undefined
  /** Keys to look at, from 1 on. Default 100. */
  limit?: number | undefined
}

export interface LocksOptions {
  /** Locks to tell of, 1 to 1000. If there are as many, there may be more: `stats` has their number. Default 1000. */
  limit?: number | undefined
}

export interface KeyPage {
  keys: Array<{
    key: string
    version: number
    /** Of the value, as JSON text in UTF-8. */
    bytes: number
    /** As in Entry. */
    expiresAt: Date | undefined
  }>
  /** Where the next page begins; undefined after the last. */
  cursor: string | undefined
}

export interface CollectionPageOptions {
  /** Where to continue: that of the page before. Default: none, from the start. */
  cursor?: string | undefined
  /** Collections to tell of, from 1 on; a page may have fewer with more to come. Default 100. */
  limit?: number | undefined
}

export interface CollectionPage {
  collections: CollectionStats[]
  /** Where the next page begins; undefined after the last. */
  cursor: string | undefined
}

/** The options that the methods of a collection take. */
const WAIT = ['signal', 'timeout']
const TTL = [...WAIT, 'ttl', 'token']
const ACQUIRE = [...WAIT, 'lease', 'detached', 'token', 'owner']
const DEL = [...WAIT, 'ifVersion', 'token', 'release', 'confirm']
export const KNOWN = {
  wait: WAIT,
  prefix: [...WAIT, 'prefix'],
  page: ['prefix', 'cursor', 'limit'],
  entry: [...WAIT, 'token', 'peek'],
  del: DEL,
  set: [...DEL, 'ttl', 'ifAbsent'],
  touch: TTL,
  count: [...TTL, 'limit', 'backoff'],
  decrement: [...WAIT, 'token'],
  acquire: ACQUIRE,
  update: [...ACQUIRE, 'ttl'],
  getOrSet: [...WAIT, 'ttl', 'lease']
} as const satisfies Record<string, readonly string[]>

const BOUNDS = ['expireKeys', 'maxKeys', 'maxBytes', 'evict'] as const

/** The options of a collection as the keyspace keeps them. */
export function boundsOf (options: CollectionOptions): object {
  onlyKnown(options, BOUNDS)
  const { expireKeys, maxKeys, maxBytes, evict } = options
  if (evict !== undefined && typeof evict !== 'boolean') throw new StoreError('STORE_OPTION_INVALID', 'evict must be true or false')
  return {
    idle: expireKeys === undefined ? undefined : milliseconds(expireKeys, 'expireKeys'),
    maxKeys: maxKeys === undefined ? undefined : wholeNumber(maxKeys, 'maxKeys'),
    maxBytes: maxBytes === undefined ? undefined : wholeNumber(maxBytes, 'maxBytes'),
    evict
  }
}
