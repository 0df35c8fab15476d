// The statistics of a store, as its users see them and as engines send them.
import type { Op } from './engine.js'
import type { StoreErrorCode } from './errors.js'

/** Upper bounds of the lengths of waits that are counted, in seconds. */
export const WAITS = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60] as const

interface Counts {
  keys: number
  /** Of names and values, as UTF-8. */
  bytes: number
  /** Keys that are locked now, and calls that wait for one of them. */
  locks: number
  waiters: number
  /** Since the collection came to be. */
  reads: number
  writes: number
  expired: number
  evicted: number
}

/** Milliseconds by which an event loop was late. */
export interface LoopDelay {
  mean: number
  p99: number
  max: number
}

/** A process that shares the store. */
export interface ConnectionStats {
  /** Its process id, with the host where that may be another. */
  name: string
  /** Locks that end with it. */
  locks: number
  /** Its calls that wait for a locked key. */
  waiting: number
  /** Bytes of answers that it has not read yet. */
  backlog: number
}

/** Of a store with `data`. */
export interface DataStats {
  /** Seconds since the oldest change that is not on disk. */
  lag: number
  /** Failures to write. */
  errors: number
  /** Size of the log. */
  bytes: number
}

/** A collection; its options are as in `configure`. */
export interface CollectionStats extends Counts {
  name: string
  expireKeys: number
  maxKeys: number
  maxBytes: number
  evict: boolean
  /** Whether a store with `data` keeps its keys there, and answers changes when they are on disk. Not in Redis. */
  keep?: boolean
  durable?: boolean
}

/**
 * All collections together, including those that have been forgotten (not in Redis, which forgets an empty one after
 * a minute), and the process that has them.
 */
export interface StoreStats extends Counts {
  collections: number
  maxValueBytes: number
  // What follows is known where the store is a process: not in Redis.
  /** Processes that share the store now, this one included. */
  processes?: number
  /** The first 250 of them. */
  connections?: ConnectionStats[]
  /** Bytes of memory of the process that has the store: all of it, and JavaScript's heap. */
  memory?: { rss: number, heap: number }
  /** Seconds that the process has run. */
  uptime?: number
  /** Calls on single keys that were answered, and how many of them with an error, by code. */
  calls?: Partial<Record<Op, number>>
  refused?: Partial<Record<Op, Partial<Record<StoreErrorCode, number>>>>
  /** Calls that waited for a locked key, by how long: up to each of WAITS, and longer. */
  waits?: number[]
  /** Seconds that they waited, all together. */
  waited?: number
  /** Of the process, in the last full minute, or in the first one so far. */
  loopDelay?: LoopDelay
  /** Where the store has `data`. */
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
  /** Who waits, in their order: the first hundred. */
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

export function collectionOf ({ idle, ...stats }: RawCollection): CollectionStats {
  return { ...stats, expireKeys: idle / 1000 }
}

export function lockOf ({ since, expiresAt, queue, ...lock }: RawLock): LockInfo | LockQueue {
  return {
    ...lock,
    since: new Date(since),
    expiresAt: expiresAt === undefined ? undefined : new Date(expiresAt),
    ...queue === undefined ? {} : { queue: queue.map(waiter => ({ ...waiter, since: new Date(waiter.since) })) }
  }
}
