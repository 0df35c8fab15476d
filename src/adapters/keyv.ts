// Keyv 5 and 6, and with them cache-manager: one cache for all workers.
import { EventEmitter } from 'node:events'
import { MIN_SECONDS } from '../core/validation.js'
import type { Collection } from '../api/collection.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'

/** Seconds: whoever asks for more means for ever. */
const LONGEST = 2 ** 39

export interface KeyvStoreOptions extends PickOptions {
  /** The collection that the keys are in, a name of 1024 bytes at most. Default 'keyv'. */
  collection?: string | undefined
}

/** As Keyv 6 looks for it. */
interface Capabilities {
  compatible: boolean
  store: 'keyvStorage'
  methods: Record<typeof METHODS[number], { exists: boolean, methodType: 'async' }>
  expires: boolean
}

const METHODS = ['get', 'getMany', 'has', 'hasMany', 'set', 'setMany', 'delete', 'deleteMany', 'clear', 'disconnect', 'iterator'] as const

/**
 * `new Keyv({ store: new KeyvStore() })`, one for each Keyv. What Keyv hands over is stored under `namespace:key`.
 *
 * Keyv 5 has put the namespace before each key already, and says how long a key lives; Keyv 6 leaves the namespace to the store, and
 * says when a key ends. Keyv 6 gives itself away: it asks for `capabilities` before anything else.
 *
 * While the store cannot be reached Keyv emits 'error', and a read is a miss where it is not told to throw.
 * The constructor throws STORE_OPTION_INVALID, STORE_NAME_INVALID; the methods reject as those of a Collection do.
 */
export class KeyvStore extends EventEmitter {
  /** Set by Keyv. */
  namespace: string | undefined
  /** Keyv 5 gives an iterator only to the dialects it knows by name. */
  readonly opts = { dialect: 'redis', url: '' }
  readonly #store: Store
  readonly #isOwn: boolean
  readonly #keys: Collection<unknown>
  #isVersion6 = false

  constructor ({ collection = 'keyv', ...where }: KeyvStoreOptions = {}) {
    super()
    this.setMaxListeners(0) // each Keyv listens to its store
    this.#store = pickStore(where)
    this.#isOwn = where.store === undefined && !this.#store.isShared
    this.#keys = this.#store.collection(collection)
  }

  get capabilities (): Capabilities {
    this.#isVersion6 = true
    const methods = Object.fromEntries(METHODS.map(name => [name, { exists: true, methodType: 'async' }])) as Capabilities['methods']
    return { compatible: true, store: 'keyvStorage', methods, expires: true }
  }

  async get (key: string): Promise<any> {
    return await this.#keys.get(this.#name(key))
  }

  async getMany (keys: string[]): Promise<any[]> {
    return await this.#keys.getMany(keys.map(key => this.#name(key)))
  }

  async has (key: string): Promise<boolean> {
    return await this.#keys.has(this.#name(key))
  }

  async hasMany (keys: string[]): Promise<boolean[]> {
    return await Promise.all(keys.map(key => this.has(key)))
  }

  /** `time`: milliseconds, from now on for Keyv 5, since 1970 for Keyv 6. One that is over already deletes. */
  async set (key: string, value: unknown, time?: number): Promise<boolean> {
    const ttl = time === undefined ? undefined : (this.#isVersion6 ? time - Date.now() : time) / 1000
    if (ttl === undefined || ttl === Infinity) await this.#keys.set(this.#name(key), value)
    else if (ttl >= MIN_SECONDS) await this.#keys.set(this.#name(key), value, { ttl: Math.min(ttl, LONGEST) })
    else await this.#keys.del(this.#name(key))
    return true
  }

  /** Each on its own; rejects with the first error. */
  async setMany (entries: Array<{ key: string, value: unknown, ttl?: number, expires?: number }>): Promise<any> {
    return await Promise.all(entries.map(({ key, value, ttl, expires }) => this.set(key, value, this.#isVersion6 ? expires : ttl)))
  }

  async delete (key: string): Promise<boolean> {
    return await this.#keys.del(this.#name(key))
  }

  /** For Keyv 6 whether each of them was there, for Keyv 5 whether all were. */
  async deleteMany (keys: string[]): Promise<any> {
    const were = await Promise.all(keys.map(key => this.delete(key)))
    return this.#isVersion6 ? were : were.every(Boolean)
  }

  /** The keys of the namespace; without one, all of the collection. */
  async clear (): Promise<void> {
    await this.#keys.clear(this.#prefix === '' ? {} : { prefix: this.#prefix })
  }

  async * iterator (): AsyncGenerator<any, void> {
    for await (const [name, value] of this.#keys.entries({ prefix: this.#prefix })) {
      yield [this.#isVersion6 ? name.slice(this.#prefix.length) : name, value]
    }
  }

  /** Closes the store if it was made for this one alone. */
  async disconnect (): Promise<void> {
    if (this.#isOwn) await this.#store.close()
  }

  get #prefix (): string {
    return this.namespace === undefined || this.namespace === '' ? '' : `${this.namespace}:`
  }

  #name (key: string): string {
    return this.#isVersion6 ? this.#prefix + key : key
  }
}
