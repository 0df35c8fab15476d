// Wrong tokens, counted in the store, for all workers together. Each worker remembers what it has seen itself: so a right token costs no
// call, guesses that come at once are counted before the store has answered, and so they are while it cannot be reached.
import type { Collection } from '../src/api/collection.js'
import type { Store } from '../src/api/store.js'

/** The collection that they are counted in, by address. */
const COLLECTION = 'admin-tries'
/** Wrong tokens that one address may try in a minute; after that it is not listened to until the minute is over. */
const TRIES = 20
const MINUTE = 60
/** Addresses that are remembered at a time, here and in the store; the oldest ones go. */
const ADDRESSES = 10_000
/** Characters of an address, which may be what a proxy was told. */
const MAX_ADDRESS = 64
/** Seconds within which a store that can be reached answers. */
const PROMPT = 2

interface Seen {
  count: number
  /** In milliseconds. */
  end: number
}

export class AuthThrottle {
  readonly #counters: Collection<number>
  readonly #now: () => number
  readonly #seen = new Map<string, Seen>()
  #isBounded = false

  constructor (store: Store, now = Date.now) {
    this.#counters = store.collection(COLLECTION)
    this.#now = now
  }

  /** Seconds for which the address is not listened to; 0: it is. */
  blocked (address: string): number {
    if (this.#seen.size === 0) return 0
    const seen = this.#seen.get(address.slice(0, MAX_ADDRESS))
    return seen === undefined || seen.count < TRIES ? 0 : Math.max(0, Math.ceil((seen.end - this.#now()) / 1000))
  }

  /** Counts one; resolves with the seconds for which the address is not listened to if it was one too many, else with 0. */
  async add (address: string): Promise<number> {
    const name = address.slice(0, MAX_ADDRESS)
    const seen = this.#see(name)
    seen.count++
    try {
      if (!this.#isBounded) {
        this.#isBounded = true
        await this.#counters.configure({ maxKeys: ADDRESSES }, { timeout: PROMPT })
      }
      const { value, expiresAt } = await this.#counters.count(name, 1, { ttl: MINUTE, timeout: PROMPT })
      if (value > seen.count) seen.count = value
      if (expiresAt !== undefined) seen.end = Math.min(seen.end, expiresAt.getTime())
    } catch {
      this.#isBounded = false // what was counted here still is
    }
    return seen.count > TRIES ? this.blocked(name) : 0
  }

  #see (name: string): Seen {
    const now = this.#now()
    let seen = this.#seen.get(name)
    if (seen !== undefined && seen.end > now) return seen
    this.#seen.delete(name)
    for (const [name, { end }] of this.#seen) {
      if (end > now && this.#seen.size < ADDRESSES) break
      this.#seen.delete(name)
    }
    this.#seen.set(name, seen = { count: 0, end: now + MINUTE * 1000 })
    return seen
  }
}
