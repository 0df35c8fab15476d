// Keyv 5 and 6, and with them cache-manager: one cache for all workers.
import { EventEmitter } from 'node:events'
import { StoreError } from '../core/errors.js'
import type { Collection } from '../api/collection.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'
import { checkSeconds, secondsOf } from './duration.js'
import { Misses } from './keyv-misses.js'

export interface KeyvStoreOptions extends PickOptions {
  /** The collection that the keys are in, a name of 1024 bytes at most. Default 'keyv'. */
  collection?: string | undefined
  /**
   * The major version of Keyv whose contract it keeps: a time is milliseconds from now on for 5, since 1970 for 6. Default 5, which Keyv 6
   * translates by itself, as it does for all stores made for Keyv 5.
   */
  version?: 5 | 6 | undefined
  /**
   * Seconds, from 0.001 on: what is missing is computed by one process at a time, as for `wrap` of cache-manager. A `get` that finds nothing locks
   * the key until the same process sets or deletes it, at most for so long; all other calls on the key wait. Default: none, all compute.
   */
  lease?: number | undefined
}

/** As Keyv 6 looks for it. */
interface Capabilities {
  compatible: true
  store: 'keyvStorage'
  methods: Record<typeof METHODS[number], { exists: true, methodType: 'async' }>
  expires: true
}

const METHODS = ['get', 'getMany', 'has', 'hasMany', 'set', 'setMany', 'delete', 'deleteMany', 'clear', 'disconnect', 'iterator'] as const

/**
 * `new Keyv({ store: new KeyvStore() })`, one for each Keyv. What Keyv hands over is stored under `namespace:key`, with a ':' in the
 * namespace written as %3A; without a namespace, under `:key`.
 *
 * Keyv 5 puts the namespace before each key, Keyv 6 leaves it to a store of version 6, and puts `namespace::` before the keys of others.
 * Neither says which Keyv calls `clear`: where Keyvs with different namespaces share a KeyvStore it is refused, and so is a Keyv whose keys
 * could not be told from those of another.
 *
 * While the store cannot be reached Keyv emits 'error', and a read is a miss where it is not told to throw.
 * The constructor throws STORE_OPTION_INVALID, STORE_NAME_INVALID; the methods reject as those of a Collection do.
 */
export class KeyvStore extends EventEmitter {
  /** Keyv 5 gives an iterator only to the dialects it knows by name. */
  readonly opts = { dialect: 'redis', url: '' }
  /** With `version: 6`. */
  declare readonly capabilities?: Capabilities
  /**
   * With `version: 6`: whether each of them was there. Without it Keyv 5 deletes one by one, and Keyv 6 puts the namespace before the keys
   * itself, as it does for stores that lack a method.
   */
  declare readonly deleteMany?: (keys: string[]) => Promise<any>
  readonly #store: Store
  readonly #isOwn: boolean
  readonly #keys: Collection<unknown>
  readonly #isVersion6: boolean
  readonly #misses: Misses | undefined
  /** Of the Keyvs that have it; undefined stands for none. */
  readonly #namespaces = new Set<string | undefined>()

  constructor ({ collection = 'keyv', version = 5, lease, ...where }: KeyvStoreOptions = {}) {
    super()
    if (version !== 5 && version !== 6) throw new StoreError('STORE_OPTION_INVALID', `invalid version: expected 5 or 6, got ${String(version)}`)
    this.setMaxListeners(0) // each Keyv listens to its store
    this.#store = pickStore(where)
    this.#isOwn = where.store === undefined && !this.#store.isShared
    this.#keys = this.#store.collection(collection)
    this.#misses = lease === undefined ? undefined : new Misses(this.#keys, secondsOf(checkSeconds(lease, 'lease') * 1000))
    this.#isVersion6 = version === 6
    if (!this.#isVersion6) return
    const methods = Object.fromEntries(METHODS.map(name => [name, { exists: true, methodType: 'async' }])) as Capabilities['methods']
    this.capabilities = { compatible: true, store: 'keyvStorage', methods, expires: true }
    this.deleteMany = async keys => await Promise.all(keys.map(key => this.delete(key)))
  }

  /** For Keyv to set; nobody needs to read it. Throws STORE_OPTION_INVALID where the keys could not be told from those of another Keyv. */
  get namespace (): string | undefined {
    return undefined // Keyv 5 would leave out what belongs to all others but the last
  }

  set namespace (value: string | undefined) {
    const namespace = value === '' ? undefined : value
    for (const other of this.#namespaces) {
      if (namespace === other) return
      if (this.#isVersion6 || namespace === undefined || other === undefined || `${namespace}:`.startsWith(`${other}:`) || `${other}:`.startsWith(`${namespace}:`)) {
        const [has, gets] = [other, namespace].map(name => name === undefined ? 'no namespace' : `namespace ${JSON.stringify(name)}`)
        throw new StoreError('STORE_OPTION_INVALID', `a Keyv with ${has} has this KeyvStore, and one with ${gets} needs another: make one for each`)
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

  /** `time`: milliseconds, from now on or since 1970, as `version` says. One that is over already deletes. */
  async set (key: string, value: unknown, time?: number | null): Promise<boolean> {
    const name = this.#name(key)
    const left = time == null ? Infinity : this.#isVersion6 ? leftUntil(time) : time
    const ttl = left < Infinity ? { ttl: secondsOf(left) } : {} // NaN is no end either
    const lock = this.#misses?.take(name)
    if (lock !== undefined) {
      if (left > 0) lock.set(value, ttl)
      await lock.release()
    } else if (left <= 0) await this.#keys.del(name)
    else await this.#keys.set(name, value, ttl)
    return true
  }

  /** Each on its own; rejects with the first error. */
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
    await lock.release() // there is nothing to delete
    return false
  }

  /** The keys of the namespace; without one, those that have none. STORE_OPTION_INVALID where Keyvs with different namespaces share this store. */
  async clear (): Promise<void> {
    if (this.#namespaces.size > 1) throw new StoreError('STORE_OPTION_INVALID', `clear of which namespace, ${[...this.#namespaces].join(' or ')}? Make a KeyvStore for each Keyv`)
    await this.#keys.clear({ prefix: this.#prefix })
  }

  /** Keyv 5 takes it when it is made, and Keyv 6 whenever it iterates: it is of the namespace that was set last. */
  get iterator (): () => AsyncGenerator<any, void> {
    const prefix = this.#prefix
    const keepsPrefix = !this.#isVersion6 && prefix !== ':' // Keyv 5 takes it off itself
    const keys = this.#keys
    return async function * () {
      for await (const [name, value] of keys.entries({ prefix })) yield [keepsPrefix ? name : name.slice(prefix.length), value]
    }
  }

  /** Closes the store if it was made for this one alone. */
  async disconnect (): Promise<void> {
    if (this.#isOwn) await this.#store.close()
  }

  get #prefix (): string {
    return prefixOf([...this.#namespaces].at(-1))
  }

  #name (key: string): string {
    if (this.#isVersion6) return this.#prefix + key
    for (const namespace of this.#namespaces) {
      if (namespace !== undefined && key.startsWith(`${namespace}:`)) return prefixOf(namespace) + key.slice(namespace.length + 1)
    }
    if (this.#namespaces.size < 2) return this.#prefix + key // without namespace, or with `useKeyPrefix: false`
    throw new StoreError('STORE_OPTION_INVALID', `which namespace is ${JSON.stringify(key)} of, ${[...this.#namespaces].join(' or ')}? Make a KeyvStore for each Keyv`)
  }
}

/** What the names of a namespace begin with, and of no other one. */
function prefixOf (namespace = ''): string {
  return `${namespace.replace(/[%:]/g, character => character === '%' ? '%25' : '%3A')}:`
}

/** Milliseconds since 1970, in 1973: a shorter time is one from now on, as Keyv 5 passes them. */
const MIN_TIMESTAMP = 1e11

/** STORE_OPTION_INVALID. */
function leftUntil (timestamp: number): number {
  if (timestamp < MIN_TIMESTAMP) {
    throw new StoreError('STORE_OPTION_INVALID', 'invalid time: a KeyvStore with version: 6 expects milliseconds since 1970, as Keyv 6 ' +
      `passes them, got ${timestamp}; leave out the version for Keyv 5`)
  }
  return timestamp - Date.now()
}
