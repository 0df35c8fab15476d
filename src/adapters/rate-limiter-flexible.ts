// rate-limiter-flexible: points are counted once for all workers.
import type { Store } from '../api/store.js'
import { secondsOf } from './duration.js'
import { nameOf } from './names.js'

/** The parts of the package that are used: `import * as flexible from 'rate-limiter-flexible'`. */
export interface FlexiblePackage<Limiter, Result> {
  /** Any limiter with a store: their base class is not exported. */
  RateLimiterMemcache: new (options: any) => Limiter
  RateLimiterRes: new (
    remainingPoints?: number, msBeforeNext?: number, consumedPoints?: number, isFirstInDuration?: boolean
  ) => Result
}

/** In addition to the package's own: points, duration (seconds), keyPrefix and so on. */
export interface FlexibleSettings {
  /** A store of createStore(). */
  storeClient: Store
  /** The collection of the counters. Default 'rate-limits'. */
  collection?: string | undefined
  [option: string]: unknown
}

interface Counter { value: number, expiresAt: Date | undefined }

/**
 * `const StoreLimiter = flexibleLimiter(flexible)`, then `new StoreLimiter({ storeClient: createStore(), points: 5,
 * duration: 1 })`: a limiter like those of the package. A request takes one call. Its methods reject with the store's
 * error while the store cannot be reached.
 */
export function flexibleLimiter<Limiter, Result> (
  { RateLimiterMemcache, RateLimiterRes }: FlexiblePackage<Limiter, Result>
): new (options: FlexibleSettings) => Limiter {
  const RateLimiterStoreAbstract = Object.getPrototypeOf(RateLimiterMemcache) as new (options: object) => any
  class StoreLimiter extends RateLimiterStoreAbstract {
    constructor ({ storeClient, collection = 'rate-limits', ...options }: FlexibleSettings) {
      super(options)
      this.counters = storeClient.collection<number>(collection)
    }

    _getRateLimiterRes (_key: string, changed: number, { value, expiresAt }: Counter): Result {
      const left = expiresAt === undefined ? -1 : Math.max(0, expiresAt.getTime() - Date.now())
      return new RateLimiterRes(Math.max(0, this.points - value), left, value, value === changed)
    }

    async _upsert (key: string, points: number, duration: number, isBlock = false): Promise<Counter> {
      const ttl = duration > 0 ? { ttl: secondsOf(duration) } : {}
      if (!isBlock) return await this.counters.count(nameOf('', key), points, ttl)
      await this.counters.set(nameOf('', key), points, ttl)
      return { value: points, expiresAt: duration > 0 ? new Date(Date.now() + secondsOf(duration) * 1000) : undefined }
    }

    _get (key: string): Promise<Counter | undefined> {
      return this.counters.entry(nameOf('', key))
    }

    _delete (key: string): Promise<boolean> {
      return this.counters.del(nameOf('', key))
    }
  }
  return StoreLimiter as unknown as new (options: FlexibleSettings) => Limiter
}
