// @nestjs/throttler: requests are counted once for all workers.
import { StoreError } from '../core/errors.js'
import { Counters, type RateLimitOptions } from './counters.js'

export type { RateLimitOptions }

/** What @nestjs/throttler gets for each request. Times are in seconds. */
export interface ThrottlerRecord {
  totalHits: number
  timeToExpire: number
  isBlocked: boolean
  timeToBlockExpire: number
}

/**
 * `ThrottlerModule.forRoot({ throttlers, storage: new NestThrottlerStorage() })`. A request takes one call, and a
 * second one if it starts a block. While the store cannot be reached, requests fail with its error, which has status
 * 503; before @nestjs/throttler 6, with STORE_OPTION_INVALID. The constructor throws STORE_OPTION_INVALID,
 * STORE_NAME_INVALID.
 */
export class NestThrottlerStorage {
  readonly #counters: Counters
  readonly #prefix: string

  constructor (options: RateLimitOptions = {}) {
    this.#counters = new Counters(options)
    this.#prefix = this.#counters.prefixFor('nest')
  }

  /** Called by Nest, with times in milliseconds. The hit that exceeds the limit turns the window into the block. */
  async increment (
    key: string, ttl: number, limit: number, blockDuration: number, throttlerName: string
  ): Promise<ThrottlerRecord> {
    if (![ttl, limit, blockDuration].every(isNumber) || typeof throttlerName !== 'string') {
      throw new StoreError('STORE_OPTION_INVALID', 'NestThrottlerStorage expects ttl, limit, blockDuration and name, as ' +
        '@nestjs/throttler passes them from version 6 on: npm install @nestjs/throttler@6')
    }
    const name = `${throttlerName} ${key}`
    const { hits, expiresAt } = await this.#counters.hit(this.#prefix, name, ttl)
    const isBlocked = hits > limit
    const isFirst = isBlocked && hits <= limit + 1
    const startsBlock = isFirst && blockDuration > 0
    const end = startsBlock ? await this.#counters.restart(this.#prefix, name, blockDuration) : expiresAt
    const timeToExpire = Math.ceil((end.getTime() - Date.now()) / 1000)
    const timeToBlockExpire = isBlocked ? timeToExpire : 0
    return { totalHits: Math.min(hits, limit + 1), timeToExpire, isBlocked, timeToBlockExpire }
  }

  /** Called by Nest: closes the store if it was created by this storage alone. The counters stay. */
  async onApplicationShutdown (): Promise<void> {
    await this.#counters.close()
  }
}

function isNumber (value: unknown): boolean {
  return typeof value === 'number' && !Number.isNaN(value)
}
