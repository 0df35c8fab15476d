// Keyv 5 and 6, and with them cache-manager: one cache for all workers.
import { EventEmitter } from 'node:events'
import { StoreError } from '../core/errors.js'
import type { Collection } from '../api/collection.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'
import { checkSeconds, secondsOf } from './duration.js'
import { Misses } from './keyv-misses.js'

export interface KeyvStoreOptions extends PickOptions {
  /** The collection of the keys, a name of at most 1024 bytes. Default 'keyv'. */
  collection?: string | undefined
  /**
   * The major version of Keyv whose storage contract this store follows: times are milliseconds from now for 5, since
   * 1970 for 6. Default 5, which Keyv 6 translates by itself, as for every store made for Keyv 5. Keyv 5 gets
   * STORE_OPTION_INVALID from a store for version 6 when it sets a value with a time to live.
   */
  version?: 5 | 6 | undefined
  /**
   * Seconds, at least 0.001: a missing value is computed by one process at a time, for `wrap` of cache-manager for
   * example. A `get` that finds no value locks the key until the same process sets or deletes it, for at most this
   * long; all other calls on the key wait. Default: none, because a store does not know whether a `set` will follow.
   */
  lease?: number | undefined
}

/** How Keyv 6 recognizes a store for its own contract. */
interface Capabilities {
  compatible: true
  store: 'keyvStorage'
  methods: Record<typeof METHODS[number], { exists: true, methodType: 'async' }>
  expires: true
}

const METHODS = [
  'get', 'getMany', 'has', 'hasMany', 'set', 'setMany', 'delete', 'deleteMany', 'clear', 'disconnect', 'iterator'
] as const

/**
 * `new Keyv({ store: new KeyvStore() })`, one for each Keyv. Values are stored under `namespace:key`, where a ':' in
 * the namespace is written as %3A, or under `:key` without a namespace.
 *
 * Keyv 5 prefixes each key with the namespace. Keyv 6 leaves that to a store for version 6, and prefixes the keys of
 * other stores with `namespace::`. Neither passes to its store which Keyv calls `clear`: it is rejected if Keyvs with
 * different namespaces share the KeyvStore, and so is a Keyv whose keys could be confused with those of another.
 *
 * While the store cannot be reached, Keyv emits 'error', and a read is a miss unless `throwOnErrors` is set.
 * The constructor throws STORE_OPTION_INVALID, STORE_NAME_INVALID; the methods reject like those of a Collection.
 */
export class KeyvStore extends EventEmitter {
  /** Keyv 5 has an iterator only for stores with a dialect that it knows. */
  readonly opts = { dialect: 'redis', url: '' }
  /** Only with `version: 6`. */
  declare readonly capabilities?: Capabilities
  /**
   * Only with `version: 6`: whether each key existed. Without this method, Keyv 5 deletes keys one by one, and Keyv 6
   * prefixes the keys itself, as for all stores that lack a method.
   */
  declare readonly deleteMany?: (keys: string[]) => Promise<any>
  readonly #store: Store
  readonly #isOwn: boolean
  readonly #keys: Collection<unknown>
  readonly #isVersion6: boolean
  readonly #misses: Misses | undefined
  /** The namespaces of the Keyvs that use this store; undefined stands for no namespace. */
  readonly #namespaces = new Set<string | undefined>()

  constructor ({ collection = 'keyv', version = 5, lease, ...where }: KeyvStoreOptions = {}) {
    super()
    if (version !== 5 && version !== 6) {
      throw new StoreError('STORE_OPTION_INVALID', `invalid version: expected 5 or 6, got ${String(version)}`)
    }
    this.setMaxListeners(0) // each Keyv listens to its store
    this.#store = pickStore(where)
    this.#isOwn = where.store === undefined && !this.#store.isShared
    this.#keys = this.#store.collection(collection)
    if (lease !== undefined) this.#misses = new Misses(this.#keys, secondsOf(checkSeconds(lease, 'lease') * 1000))
    this.#isVersion6 = version === 6
    if (!this.#isVersion6) return
    const methods = Object.fromEntries(METHODS.map(name => [name, { exists: true, methodType: 'async' }]))
    this.capabilities = {
      compatible: true, store: 'keyvStorage', methods: methods as Capabilities['methods'], expires: true
    }
    this.deleteMany = async keys => await Promise.all(keys.map(key => this.delete(key)))
  }

  /** Set by Keyv. Throws STORE_OPTION_INVALID if its keys could be confused with those of another Keyv. */
  get namespace (): string | undefined {
    return undefined // with a namespace, Keyv 5 would leave the keys of other Keyvs out of its iterator
  }

  set namespace (value: string | undefined) {
    const namespace = value === '' ? undefined : value
    for (const other of this.#namespaces) {
      if (namespace === other) return
      if (this.#isVersion6 || isAmbiguous(namespace, other)) {
        throw new StoreError('STORE_OPTION_INVALID', `a Keyv with ${describe(other)} already uses this KeyvStore, ` +
          `and one with ${describe(namespace)} needs its own: create a KeyvStore for each Keyv`)
      }
    }
    this.#namespaces.add(namespace)
  }

  async get (key: string): Promise<any> {
    const name = this.#name(key)
    return await (this.#misses === undefined ? this.#keys.get(name) : this.#misses.get(name))
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

  /** `time`: milliseconds from now, or since 1970 with `version: 6`. A time that has passed deletes the key. */
  async set (key: string, value: unknown, time?: number | null): Promise<boolean> {
    const name = this.#name(key)
    const left = time == null ? Infinity : this.#isVersion6 ? leftUntil(time) : time
    const ttl = left < Infinity ? { ttl: secondsOf(left) } : {} // nor for NaN
    const lock = this.#misses?.take(name)
    if (lock !== undefined) {
      if (left > 0) lock.set(value, ttl)
      await lock.release()
    } else if (left <= 0) await this.#keys.del(name)
    else await this.#keys.set(name, value, ttl)
    return true
  }

  /** Sets each entry on its own; rejects with the first error. */
  async setMany (entries: Array<{ key: string, value: unknown, ttl?: number, expires?: number }>): Promise<any> {
    return await Promise.all(entries.map(({ key, value, ttl, expires }) => {
      const time = this.#isVersion6 ? expires ?? ttl : ttl
      return this.set(key, value, time)
    }))
  }

  async delete (key: string): Promise<boolean> {
    const name = this.#name(key)
    const lock = this.#misses?.take(name)
    if (lock === undefined) return await this.#keys.del(name)
    await lock.release() // the key has no value
    return false
  }

  /**
   * Deletes the keys of the namespace, or those without one. STORE_OPTION_INVALID if Keyvs with different namespaces
   * share this store.
   */
  async clear (): Promise<void> {
    if (this.#namespaces.size > 1) {
      throw new StoreError('STORE_OPTION_INVALID', 'clear: several Keyvs use this KeyvStore, ' +
        `with namespaces ${this.#names()}: create a KeyvStore for each Keyv`)
    }
    await this.#keys.clear({ prefix: this.#prefix })
  }

  /** For the namespace that was set last. Keyv 5 gets it when it is created, Keyv 6 whenever it iterates. */
  get iterator (): () => AsyncGenerator<any, void> {
    const prefix = this.#prefix
    const keepsPrefix = !this.#isVersion6 && prefix !== ':' // Keyv 5 removes it itself
    const keys = this.#keys
    return async function * () {
      for await (const [name, value] of keys.entries({ prefix })) {
        yield [keepsPrefix ? name : name.slice(prefix.length), value]
      }
    }
  }

  /** Closes the store if it was created by this KeyvStore alone. */
  async disconnect (): Promise<void> {
    if (this.#isOwn) await this.#store.close()
  }

  get #prefix (): string {
    return prefixOf([...this.#namespaces].at(-1))
  }

  #name (key: string): string {
    if (this.#isVersion6) return this.#prefix + key
    for (const namespace of this.#namespaces) {
      if (namespace !== undefined && key.startsWith(`${namespace}:`)) {
        return prefixOf(namespace) + key.slice(namespace.length + 1)
      }
    }
    if (this.#namespaces.size < 2) return this.#prefix + key // without namespace, or with `useKeyPrefix: false`
    throw new StoreError('STORE_OPTION_INVALID', `key ${JSON.stringify(key)} is in none of the namespaces ` +
      `${this.#names()} of this KeyvStore: create a KeyvStore for each Keyv`)
  }

  #names (): string {
    return [...this.#namespaces].join(', ')
  }
}

/** Whether a key of one namespace may also be a key of the other. */
function isAmbiguous (one: string | undefined, two: string | undefined): boolean {
  if (one === undefined || two === undefined) return true
  return `${one}:`.startsWith(`${two}:`) || `${two}:`.startsWith(`${one}:`)
}

function describe (namespace: string | undefined): string {
  return namespace === undefined ? 'no namespace' : `namespace ${JSON.stringify(namespace)}`
}

/** The prefix of all names of a namespace, and of no others. */
function prefixOf (namespace = ''): string {
  return `${namespace.replace(/[%:]/g, character => character === '%' ? '%25' : '%3A')}:`
}

/** Milliseconds since 1970, in 1973: anything less is a time from now, as Keyv 5 passes it. */
const MIN_TIMESTAMP = 1e11

/** STORE_OPTION_INVALID. */
function leftUntil (timestamp: number): number {
  if (timestamp < MIN_TIMESTAMP) {
    throw new StoreError('STORE_OPTION_INVALID', 'invalid time: a KeyvStore with version: 6 expects ' +
      `milliseconds since 1970, as Keyv 6 passes them, got ${timestamp}; leave out the version for Keyv 5`)
  }
  return timestamp - Date.now()
}
