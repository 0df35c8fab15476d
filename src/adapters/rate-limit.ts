// @fastify/rate-limit and express-rate-limit: requests are counted once for all workers, each in one atomic call.
import { createHash } from 'node:crypto'
import { answer } from '../core/callback.js'
import { MAX_NAME_BYTES } from '../core/validation.js'
import type { Collection } from '../api/collection.js'
import { StoreError } from '../core/errors.js'
import type { CountOptions, Entry } from '../api/options.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'

export interface RateLimitOptions extends PickOptions {
  /** The collection that the counters are in, a name of 1024 bytes at most. Default 'rate-limits'. */
  collection?: string | undefined
  /** What the keys of this limiter begin with, 512 bytes at most: limiters that count apart need different ones. Default none. */
  prefix?: string | undefined
}

const MAX_PREFIX_BYTES = 512

/** The counters of a limiter. A window begins with its first hit, and its end stays where it is. */
class Counters {
  readonly prefix: string
  readonly #store: Store
  readonly #isOwn: boolean
  readonly #counters: Collection<number>

  constructor ({ collection = 'rate-limits', prefix = '', ...where }: RateLimitOptions) {
    if (typeof prefix !== 'string' || !prefix.isWellFormed() || Buffer.byteLength(prefix) > MAX_PREFIX_BYTES) {
      throw new StoreError('STORE_OPTION_INVALID', `prefix must be a well-formed string of at most ${MAX_PREFIX_BYTES} bytes`)
    }
    this.prefix = prefix
    this.#store = pickStore(where)
    this.#isOwn = where.store === undefined && !this.#store.isShared
    this.#counters = this.#store.collection(collection)
  }

  /** `window` in milliseconds. */
  hit (key: string, window: number, options?: CountOptions): Promise<Entry<number>> {
    return this.#counters.count(this.#name(key), 1, { ...options, ttl: Math.max(window, 1) / 1000 })
  }

  read (key: string): Promise<Entry<number> | undefined> {
    return this.#counters.entry(this.#name(key))
  }

  async takeBack (key: string): Promise<void> {
    await this.#counters.decrement(this.#name(key))
  }

  async reset (key: string): Promise<void> {
    await this.#counters.del(this.#name(key))
  }

  async resetAll (): Promise<void> {
    await this.#counters.clear(this.prefix === '' ? {} : { prefix: this.prefix })
  }

  async close (): Promise<void> {
    if (this.#isOwn) await this.#store.close()
  }

  /** Clients may have a say in keys: what a key of the store cannot be is counted by its hash. */
  #name (key: string): string {
    const name = this.prefix + key
    if (name.isWellFormed() && (name.length * 3 <= MAX_NAME_BYTES || Buffer.byteLength(name) <= MAX_NAME_BYTES)) return name
    return this.prefix + createHash('sha256').update(key).digest('base64url')
  }
}

// What of @fastify/rate-limit is needed here.

interface Parameters {
  continueExceeding?: boolean
  exponentialBackoff?: boolean
  max?: unknown
  timeWindow?: unknown
  routeInfo?: { method?: string | string[], url?: string }
}

type RateCallback = (error: Error | null, result?: { current: number, ttl: number }) => void

/** What @fastify/rate-limit makes of the class that `fastifyRateLimitStore` gives it. */
export interface FastifyRateLimitStore {
  incr (key: string, callback: RateCallback, timeWindow: number, max: number): void
  read (key: string, callback: RateCallback): void
  child (parameters: object): FastifyRateLimitStore
}

/**
 * `register(rateLimit, { store: fastifyRateLimitStore() })` for @fastify/rate-limit. A route with limits of its own is counted
 * apart. While the store cannot be reached requests fail with its error, or pass uncounted with `skipOnError: true`.
 * Throws STORE_OPTION_INVALID, STORE_NAME_INVALID.
 */
export function fastifyRateLimitStore (options: RateLimitOptions = {}): new (parameters: object) => FastifyRateLimitStore {
  const counters = new Counters(options)
  return class extends RouteCounters {
    constructor (parameters: object) {
      super(counters, '*', parameters)
    }
  }
}

class RouteCounters implements FastifyRateLimitStore {
  readonly #counters: Counters
  readonly #route: string
  readonly #renews: boolean
  readonly #backoff: boolean

  /** `route` has no space, which ends it in the names of the counters. */
  constructor (counters: Counters, route: string, { continueExceeding, exponentialBackoff }: Parameters) {
    this.#counters = counters
    this.#route = route
    this.#renews = continueExceeding === true || exponentialBackoff === true
    this.#backoff = continueExceeding !== true
  }

  incr (key: string, callback: RateCallback, timeWindow: number, max: number): void {
    const renewal = this.#renews && Number.isFinite(max) ? { limit: max, backoff: this.#backoff } : undefined
    answer(this.#counters.hit(this.#name(key), timeWindow, renewal).then(rateOf), callback)
  }

  /** As `incr` would find it. */
  read (key: string, callback: RateCallback): void {
    answer(this.#counters.read(this.#name(key)).then(rateOf), callback)
  }

  /** For a route; without one, for limits that code asks for itself, which are told apart by what they are. */
  child (parameters: object): FastifyRateLimitStore {
    const { max, timeWindow, routeInfo: { method, url } = {} } = parameters as Parameters
    const route = url === undefined ? `${String(max)}/${String(timeWindow)}` : `${String(method)}:${url}`
    return new RouteCounters(this.#counters, route.replace(/\s/g, '+'), parameters)
  }

  #name (key: string): string {
    return `${this.#route} ${key}`
  }
}

function rateOf (entry: Entry<number> | undefined): { current: number, ttl: number } {
  if (entry === undefined) return { current: 0, ttl: 0 }
  return { current: entry.value, ttl: Math.max(0, entry.expiresAt!.getTime() - Date.now()) }
}

/**
 * `rateLimit({ store: new ExpressRateLimitStore() })` for express-rate-limit: one for each limiter, with a prefix of its own.
 * While the store cannot be reached requests fail with its error, or pass uncounted with `passOnStoreError: true`.
 * The constructor throws STORE_OPTION_INVALID, STORE_NAME_INVALID.
 */
export class ExpressRateLimitStore {
  /** Counts are for all processes. */
  readonly localKeys = false
  readonly prefix: string
  readonly #counters: Counters
  #windowMs = 60_000

  constructor (options: RateLimitOptions = {}) {
    this.#counters = new Counters(options)
    this.prefix = this.#counters.prefix
  }

  init ({ windowMs }: { windowMs: number }): void {
    this.#windowMs = windowMs
  }

  async increment (key: string): Promise<{ totalHits: number, resetTime: Date | undefined }> {
    return hitsOf(await this.#counters.hit(key, this.#windowMs))
  }

  async get (key: string): Promise<{ totalHits: number, resetTime: Date | undefined } | undefined> {
    const entry = await this.#counters.read(key)
    return entry && hitsOf(entry)
  }

  /** Takes back a hit, if its window has not ended. */
  async decrement (key: string): Promise<void> {
    await this.#counters.takeBack(key)
  }

  async resetKey (key: string): Promise<void> {
    await this.#counters.reset(key)
  }

  /** All counters with this prefix; without one, all of the collection. */
  async resetAll (): Promise<void> {
    await this.#counters.resetAll()
  }

  /** Closes the store if it was made for this one alone. The counters stay, they are not of this process. */
  async shutdown (): Promise<void> {
    await this.#counters.close()
  }
}

function hitsOf ({ value, expiresAt }: Entry<number>): { totalHits: number, resetTime: Date | undefined } {
  return { totalHits: value, resetTime: expiresAt }
}
