// The counters of a rate limiter: requests are counted once for all processes, each in one atomic call.
import { StoreError } from '../core/errors.js'
import { shared } from '../core/shared.js'
import type { Collection } from '../api/collection.js'
import type { CountOptions, Entry } from '../api/options.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'
import { secondsOf } from './duration.js'
import { nameOf } from './names.js'

export interface RateLimitOptions extends PickOptions {
  /** The collection that the counters are in, a name of 1024 bytes at most. Default 'rate-limits'. */
  collection?: string | undefined
  /**
   * What the keys of this limiter begin with, 512 bytes at most. Limiters with the same prefix count together. Default: one of its own,
   * made of its limits and of how many limiters with the same limits this process has made before.
   */
  prefix?: string | undefined
}

/** The window of a key, whose end is always known. */
export interface Window {
  hits: number
  expiresAt: Date
}

const MAX_PREFIX_BYTES = 512
/** How many limiters without a prefix there are, by collection and limits. All processes make theirs in the same order. */
const unnamed = shared('limiters.1', () => new Map<string, number>())

export class Counters {
  readonly #store: Store
  readonly #isOwn: boolean
  readonly #counters: Collection<number>
  /** As it was asked for. */
  readonly prefix: string | undefined

  constructor ({ collection = 'rate-limits', prefix = '', ...where }: RateLimitOptions) {
    if (typeof prefix !== 'string' || !prefix.isWellFormed() || Buffer.byteLength(prefix) > MAX_PREFIX_BYTES) {
      throw new StoreError('STORE_OPTION_INVALID', `invalid prefix: expected a well-formed string of at most ${MAX_PREFIX_BYTES} bytes`)
    }
    this.#store = pickStore(where)
    this.#isOwn = where.store === undefined && !this.#store.isShared
    this.#counters = this.#store.collection(collection)
    this.prefix = prefix === '' ? undefined : prefix
  }

  /** The prefix of one more limiter: the one that was asked for, else one that no other limiter of this process has. */
  prefixFor (limits: string): string {
    if (this.prefix !== undefined) return this.prefix
    const kind = `${this.#counters.name} ${limits}`
    const count = (unnamed.get(kind) ?? 0) + 1
    unnamed.set(kind, count)
    return count === 1 ? `${limits} ` : `${limits}#${count} `
  }

  /** `window` in milliseconds. It begins with the first hit, and its end stays where it is, unless `options` say otherwise. */
  async hit (prefix: string, key: string, window: number, options?: Pick<CountOptions, 'limit' | 'backoff'>): Promise<Window> {
    const name = nameOf(prefix, key)
    const ttl = secondsOf(window)
    const { value, expiresAt } = await this.#counters.count(name, 1, { ...options, ttl })
    // A counter that was written by hand may have no end: its window begins now.
    return { hits: value, expiresAt: expiresAt ?? await this.#end(name, ttl) }
  }

  /** Lets the window end `window` milliseconds from now. */
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
