// @fastify/rate-limit and express-rate-limit.
import { createHash } from 'node:crypto'
import { inspect } from 'node:util'
import { answer } from '../core/callback.js'
import { StoreError } from '../core/errors.js'
import { Counters, type RateLimitOptions } from './counters.js'

export type { RateLimitOptions }

// The parts of @fastify/rate-limit that are used here.

interface Parameters {
  continueExceeding?: boolean
  exponentialBackoff?: boolean
  max?: unknown
  timeWindow?: unknown
  onExceeding?: unknown
  onExceeded?: unknown
  onBanReach?: unknown
  routeInfo?: { method?: string | string[], url?: string, constraints?: object }
}

type RateCallback = (error: Error | null, result?: { current: number, ttl: number }) => void

/** An instance of the class that `fastifyRateLimitStore` returns. */
export interface FastifyRateLimitStore {
  incr (key: string, callback: RateCallback, timeWindow: number, max: number): void
  read (key: string, callback: RateCallback): void
  child (parameters: object): FastifyRateLimitStore
}

/**
 * `register(rateLimit, { store: fastifyRateLimitStore() })` for @fastify/rate-limit. Routes with their own limits are
 * counted separately, and so is each `app.rateLimit(limits)`. While the store cannot be reached, requests fail
 * with its error, or pass uncounted with `skipOnError: true`. Throws STORE_OPTION_INVALID, STORE_NAME_INVALID; with a
 * version of @fastify/rate-limit before 10, `register` fails with STORE_OPTION_INVALID.
 */
export function fastifyRateLimitStore (
  options: RateLimitOptions = {}
): new (parameters: object) => FastifyRateLimitStore {
  const counters = new Counters(options)
  return class extends RouteCounters {
    constructor (parameters: object) {
      if (isTooOld(parameters)) throw notUnderstood()
      super(counters, counters.prefixFor(limitsOf(parameters)), '*', parameters)
    }
  }
}

class RouteCounters implements FastifyRateLimitStore {
  readonly #counters: Counters
  readonly #prefix: string
  readonly #route: string
  readonly #renews: boolean
  readonly #backoff: boolean
  readonly #limits: Pick<Parameters, 'max' | 'timeWindow'>
  /** The number of limiters without a route, by their limits. */
  readonly #unrouted = new Map<string, number>()

  /** `route` contains no space, which ends it in the names of the counters. */
  constructor (counters: Counters, prefix: string, route: string, parameters: Parameters) {
    const { continueExceeding, exponentialBackoff, max, timeWindow } = parameters
    this.#counters = counters
    this.#prefix = prefix
    this.#route = route
    this.#renews = continueExceeding === true || exponentialBackoff === true
    this.#backoff = continueExceeding !== true
    this.#limits = { max, timeWindow }
  }

  incr (key: string, callback: RateCallback, timeWindow: number, max: number): void {
    if (!isLimit(timeWindow, this.#limits.timeWindow) || !isLimit(max, this.#limits.max) || Number.isNaN(max)) {
      callback(notUnderstood())
      return
    }
    const renewal = this.#renews && Number.isFinite(max) ? { limit: max, backoff: this.#backoff } : undefined
    const hit = this.#counters.hit(this.#prefix, this.#name(key), timeWindow, renewal)
    answer(hit.then(({ hits, expiresAt }) => rateOf(hits, expiresAt)), callback)
  }

  /** Reads what `incr` counts, without counting. */
  read (key: string, callback: RateCallback): void {
    const read = this.#counters.read(this.#prefix, this.#name(key))
    answer(read.then(entry => rateOf(entry?.value ?? 0, entry?.expiresAt)), callback)
  }

  /**
   * Returns the counters of a route. Limiters created without a route are identified by their limits and their order.
   */
  child (parameters: object): FastifyRateLimitStore {
    const { routeInfo: { method, url, constraints } = {} } = parameters as Parameters
    const route = url === undefined
      ? this.#unroutedName(limitsOf(parameters))
      : `${String(method)}:${url}${constraintsOf(constraints)}`
    return new RouteCounters(this.#counters, this.#prefix, route.replace(/\s/g, '+'), parameters)
  }

  #unroutedName (limits: string): string {
    const count = (this.#unrouted.get(limits) ?? 0) + 1
    this.#unrouted.set(limits, count)
    return `${limits}#${count}`
  }

  #name (key: string): string {
    return `${this.#route} ${key}`
  }
}

/** Versions before 10 omit functions that later ones pass, or pass null. */
function isTooOld (parameters: Parameters): boolean {
  const { onExceeding, onExceeded, onBanReach } = parameters
  return [onExceeding, onExceeded, onBanReach].includes(null) || 'timeWindowInSeconds' in parameters
}

/** Whether a limit is in its expected position: earlier versions pass other arguments there. */
function isLimit (limit: unknown, expected: unknown): boolean {
  return typeof limit === 'number' && (typeof expected !== 'number' || Object.is(limit, expected))
}

function notUnderstood (): StoreError {
  return new StoreError('STORE_OPTION_INVALID', 'fastifyRateLimitStore expects the time window and the limit as ' +
    '@fastify/rate-limit passes them from version 10 on: npm install @fastify/rate-limit@11')
}

/** Limits that are functions are identified by their order only. */
function limitsOf ({ max, timeWindow }: Parameters): string {
  return [max, timeWindow].map(limit => typeof limit === 'function' ? 'fn' : String(limit)).join('/')
}

/** A route may exist once for each version, or for each host. */
function constraintsOf (constraints: object = {}): string {
  if (Object.keys(constraints).length === 0) return ''
  const text = inspect(constraints, { sorted: true, breakLength: Infinity, depth: 5 })
  return `~${createHash('sha256').update(text).digest('base64url').slice(0, 16)}`
}

function rateOf (hits: number, expiresAt: Date | undefined): { current: number, ttl: number } {
  return { current: hits, ttl: expiresAt === undefined ? 0 : Math.max(0, expiresAt.getTime() - Date.now()) }
}

/**
 * `rateLimit({ store: new ExpressRateLimitStore() })` for express-rate-limit: one for each limiter.
 * While the store cannot be reached, requests fail with its error, or pass uncounted with `passOnStoreError: true`.
 * The constructor throws STORE_OPTION_INVALID, STORE_NAME_INVALID. It requires express-rate-limit 6 or later.
 */
export class ExpressRateLimitStore {
  /** For express-rate-limit: all processes share the counters. */
  readonly localKeys = false
  readonly #counters: Counters
  #prefix: string | undefined
  #windowMs = 60_000

  constructor (options: RateLimitOptions = {}) {
    this.#counters = new Counters(options)
    this.#prefix = this.#counters.prefix
  }

  /** The prefix of this limiter's keys; empty until a limiter uses the store, unless it was passed in. */
  get prefix (): string {
    return this.#prefix ?? ''
  }

  /** Called by express-rate-limit with its options. Throws STORE_OPTION_INVALID if there is no window among them. */
  init ({ windowMs, limit }: { windowMs: number, limit?: unknown }): void {
    if (typeof windowMs !== 'number') {
      throw new StoreError('STORE_OPTION_INVALID', 'ExpressRateLimitStore expects windowMs in milliseconds, as ' +
        'express-rate-limit passes it from version 6 on: npm install express-rate-limit@8')
    }
    this.#windowMs = windowMs
    this.#prefix ??= this.#counters.prefixFor(limitsOf({ max: limit, timeWindow: windowMs }))
  }

  async increment (key: string): Promise<{ totalHits: number, resetTime: Date | undefined }> {
    const { hits, expiresAt } = await this.#counters.hit(this.prefix, key, this.#windowMs)
    return { totalHits: hits, resetTime: expiresAt }
  }

  async get (key: string): Promise<{ totalHits: number, resetTime: Date | undefined } | undefined> {
    const entry = await this.#counters.read(this.prefix, key)
    return entry && { totalHits: entry.value, resetTime: entry.expiresAt }
  }

  /** Takes back a hit, if its window has not ended. */
  async decrement (key: string): Promise<void> {
    await this.#counters.takeBack(this.prefix, key)
  }

  async resetKey (key: string): Promise<void> {
    await this.#counters.reset(this.prefix, key)
  }

  /** Resets all counters of this limiter, and of those that share its prefix. */
  async resetAll (): Promise<void> {
    await this.#counters.resetAll(this.prefix)
  }

  /** Closes the store if it was created by this one alone. The counters stay, because other processes use them. */
  async shutdown (): Promise<void> {
    await this.#counters.close()
  }
}
