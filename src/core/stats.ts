// The statistics of a store: the public types, and the form in which engines send them.
import type { Op } from './engine.js'
import type { StoreErrorCode } from './errors.js'

/** Upper bounds of the histogram buckets for wait times, in seconds. */
export const WAITS = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60] as const

interface Counts {
  keys: number
  /** Size of keys and values in UTF-8. */
  bytes: number
  /** Keys that are locked now, and calls that wait for them. */
  locks: number
  waiters: number
  /** Since the collection was created. */
  reads: number
  writes: number
  expired: number
  evicted: number
}

/** Event loop delay in milliseconds. */
export interface LoopDelay {
  mean: number
  p99: number
  max: number
}

/** A process that shares the store. */
export interface ConnectionStats {
  /** Its process id, with the host if that may be a different one. */
  name: string
  /** Locks that end when it disconnects. */
  locks: number
  /** Its calls that wait for a locked key. */
  waiting: number
  /** Bytes of replies that it has not read yet. */
  backlog: number
}

/** Statistics of a store with `data`. */
export interface DataStats {
  /** Seconds since the oldest change that is not on disk yet. */
  lag: number
  /** Failed writes. */
  errors: number
  /** Size of the log. */
  bytes: number
}

/** Statistics of the copies that processes keep in collections with `near`. */
export interface NearStats {
  /** Reads answered from copies, as reported with the latest renewals of leases. */
  hits: number
  /** The current number of copies. */
  copies: number
  /** Copies that were revoked. */
  revocations: number
  /** Changes that had to wait for revocations, and their total wait time in seconds. */
  waits: number
  waited: number
}

/** A collection. The options are the ones of `configure`. */
export interface CollectionStats extends Counts {
  name: string
  expireKeys: number
  maxKeys: number
  maxBytes: number
  evict: boolean
  /** For a store with `data`: whether its keys are saved, and whether writes wait for the disk. Not in Redis. */
  keep?: boolean
  durable?: boolean
  /** Seconds. Not in Redis. */
  near?: number
}

/**
 * Totals over all collections, including removed ones (except in Redis, where the counters of an empty collection are
 * removed after a minute), and statistics of the process that has the keys.
 */
export interface StoreStats extends Counts {
  collections: number
  maxValueBytes: number
  // The following fields do not exist in Redis.
  /** Processes that use the store now, including this one. */
  processes?: number
  /** The first 250 of them. */
  connections?: ConnectionStats[]
  /** Memory of the process that has the store, in bytes: resident set and JavaScript heap. */
  memory?: { rss: number, heap: number }
  /** Uptime of the process, in seconds. */
  uptime?: number
  /** Answered calls on single keys, and the number of errors among them by code. */
  calls?: Partial<Record<Op, number>>
  refused?: Partial<Record<Op, Partial<Record<StoreErrorCode, number>>>>
  /** Calls that waited for a locked key, by wait time: one bucket per entry of WAITS, and one for longer waits. */
  waits?: number[]
  /** Total wait time in seconds. */
  waited?: number
  near?: NearStats
  /** Of the last full minute, or of the first minute so far. */
  loopDelay?: LoopDelay
  /** Only if the store has `data`. */
  data?: DataStats
}

export interface LockInfo {
  collection: string
  key: string
  owner: string
  fence: number
  since: Date
  expiresAt: Date | undefined
  waiters: number
}

export interface LockQueue extends LockInfo {
  /** The first hundred waiters, in queue order. */
  queue: Array<{ owner: string, op: Op, since: Date }>
}

export type RawCollection = Omit<CollectionStats, 'expireKeys'> & { idle: number }

export interface RawCollectionPage {
  collections: RawCollection[]
  cursor?: string
}

export interface RawLock extends Omit<LockInfo, 'since' | 'expiresAt'> {
  since: number
  expiresAt?: number
  queue?: Array<{ owner: string, op: Op, since: number }>
}

export function collectionOf ({ idle, near, ...stats }: RawCollection): CollectionStats {
  return { ...stats, expireKeys: idle / 1000, ...near === undefined ? {} : { near: near / 1000 } }
}

export function lockOf ({ since, expiresAt, queue, ...lock }: RawLock): LockInfo | LockQueue {
  return {
    ...lock,
    since: new Date(since),
    expiresAt: expiresAt === undefined ? undefined : new Date(expiresAt),
    ...queue === undefined ? {} : { queue: queue.map(waiter => ({ ...waiter, since: new Date(waiter.since) })) }
  }
}
