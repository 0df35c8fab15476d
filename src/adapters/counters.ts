// The counters of a rate limiter. A request is counted by one atomic call, for all processes.
import { StoreError } from '../core/errors.js'
import { shared } from '../core/shared.js'
import type { Collection } from '../api/collection.js'
import type { CountOptions, Entry } from '../api/options.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'
import { secondsOf } from './duration.js'
import { nameOf } from './names.js'

export interface RateLimitOptions extends PickOptions {
  /** The collection of the counters, a name of at most 1024 bytes. Default 'rate-limits'. */
  collection?: string | undefined
  /**
   * The prefix of this limiter's keys, at most 512 bytes. Limiters with the same prefix share counters. Default: a
   * separate prefix, derived from the limits and the number of limiters with the same limits that this process has
   * created before.
   */
  prefix?: string | undefined
}

/** The current window of a key. */
export interface Window {
  hits: number
  expiresAt: Date
}

const MAX_PREFIX_BYTES = 512
/**
 * The number of limiters without a prefix, by collection and limits. All processes create theirs in the same order.
 */
const unnamed = shared('limiters.1', () => new Map<string, number>())

export class Counters {
  readonly #store: Store
  readonly #isOwn: boolean
  readonly #counters: Collection<number>
  /** As passed to the constructor. */
  readonly prefix: string | undefined

  constructor ({ collection = 'rate-limits', prefix = '', ...where }: RateLimitOptions) {
    if (typeof prefix !== 'string' || !prefix.isWellFormed() || Buffer.byteLength(prefix) > MAX_PREFIX_BYTES) {
      throw new StoreError('STORE_OPTION_INVALID', 'invalid prefix: expected a well-formed string of at most ' +
        `${MAX_PREFIX_BYTES} bytes`)
    }
    this.#store = pickStore(where)
    this.#isOwn = where.store === undefined && !this.#store.isShared
    this.#counters = this.#store.collection(collection)
    this.prefix = prefix === '' ? undefined : prefix
  }

  /** Returns the prefix of a new limiter: that of the options, or one that no other limiter of this process has. */
  prefixFor (limits: string): string {
    if (this.prefix !== undefined) return this.prefix
    const kind = `${this.#counters.name} ${limits}`
    const count = (unnamed.get(kind) ?? 0) + 1
    unnamed.set(kind, count)
    return count === 1 ? `${limits} ` : `${limits}#${count} `
  }

  /** `window`: milliseconds. It starts with the first hit and ends at a fixed time, unless `options` move its end. */
  async hit (
    prefix: string, key: string, window: number, options?: Pick<CountOptions, 'limit' | 'backoff'>
  ): Promise<Window> {
    const name = nameOf(prefix, key)
    const ttl = secondsOf(window)
    const { value, expiresAt } = await this.#counters.count(name, 1, { ...options, ttl })
    // A counter that was set by hand may not expire: its window starts now.
    return { hits: value, expiresAt: expiresAt ?? await this.#end(name, ttl) }
  }

  /** Moves the end of the window to `window` milliseconds from now. */
  async restart (prefix: string, key: string, window: number): Promise<Date> {
    return await this.#end(nameOf(prefix, key), secondsOf(window))
  }

  read (prefix: string, key: string): Promise<Entry<number> | undefined> {
    return this.#counters.entry(nameOf(prefix, key))
  }

  async takeBack (prefix: string, key: string): Promise<void> {
    await this.#counters.decrement(nameOf(prefix, key))
  }

  async reset (prefix: string, key: string): Promise<void> {
    await this.#counters.del(nameOf(prefix, key))
  }

  async resetAll (prefix: string): Promise<void> {
    await this.#counters.clear({ prefix })
  }

  async close (): Promise<void> {
    if (this.#isOwn) await this.#store.close()
  }

  async #end (name: string, ttl: number): Promise<Date> {
    await this.#counters.touch(name, { ttl })
    return new Date(Date.now() + ttl * 1000)
  }
}
