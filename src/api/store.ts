// A URL picks an engine; the store hands out one Collection per name.
import { EventEmitter } from 'node:events'
import { WeakRegistry } from '../core/weak-registry.js'
import { clusterEngine } from '../engines/socket/engine.js'
import { MIN_SECONDS, checkCursor, milliseconds, onlyKnown, wholeNumber } from '../core/validation.js'
import { Collection, type Scope } from './collection.js'
import { MAX_LOCKS, Request, type Engine } from '../core/engine.js'
import { StoreError } from '../core/errors.js'
import type { CollectionPage, CollectionPageOptions, LocksOptions, WaitOptions } from './options.js'
import { httpEngine } from '../engines/http/engine.js'
import { MemoryEngine } from '../engines/memory/engine.js'
import { Keyspace } from '../engines/memory/keyspace.js'
import { redisEngine } from '../engines/redis/engine.js'
import type { RedisStoreOptions } from '../engines/redis/options.js'
import { collectionOf, lockOf, type CollectionStats, type LockInfo, type RawCollectionPage, type RawLock, type StoreStats } from '../core/stats.js'

export interface StoreOptions {
  /**
   * Where the keys live. 'cluster:', the default, is the cluster's primary process, or this process where there is no
   * cluster: one store a process, however often it is asked for. 'memory:' is a new store in this process for each call.
   * 'redis://host:6379/0', or 'rediss:' for TLS, is a Redis or Valkey server, for all machines that name the same one.
   * 'http://host:port/_store/v1', or https, is the store behind an admin API: one store for a URL and token.
   * Default: the environment variable STRONG_STORE_URL, else 'cluster:'.
   */
  url?: string | undefined
  /** Bytes of JSON text that one value may have: 1 to 33554432, default 1048576. For 'cluster:' the primary says it. */
  maxValueBytes?: number | undefined
  /** Of the admin API, for 'http:' and 'https:'. Default: the environment variable STRONG_STORE_TOKEN, else none. */
  token?: string | undefined
  /** Seconds a worker waits for its primary, or for a server, before STORE_UNREACHABLE, from 0.001 on. Default 10. */
  connectTimeout?: number | undefined
  /** What else a store in Redis needs to know. */
  redis?: RedisStoreOptions | undefined
}

const OPTIONS = ['url', 'maxValueBytes', 'token', 'connectTimeout', 'redis'] as const
const MAX_VALUE_BYTES = 32 * 2 ** 20
const COLLECTIONS_PER_PAGE = 250

/**
 * Collections of keys and values, with locks, from `createStore` or a framework's `req.store`.
 *
 * Event 'error' (StoreError): the store cannot be reached, or was lost. The calls it concerns fail as well; without a
 * listener it does nothing more.
 */
export class Store extends EventEmitter<{ error: [StoreError] }> {
  readonly #engine: Engine
  readonly #scope: Scope | undefined
  #isClosed = false
  readonly #collections: WeakRegistry<Collection<unknown>> | undefined

  /** Made by createStore, and by a request's scope. */
  constructor (engine: Engine, scope?: Scope) {
    super()
    this.#engine = engine
    this.#scope = scope
    if (scope === undefined) {
      this.#collections = new WeakRegistry()
      this.setMaxListeners(0)
      engine.onerror = error => {
        if (this.listenerCount('error') > 0) this.emit('error', error)
      }
    }
  }

  /** Whether others in this process have the same store: that of the cluster. */
  get isShared (): boolean {
    return this.#engine.isShared
  }

  /** Bytes of JSON text that a value may have, as far as this process knows: after its first call it does. */
  get maxValueBytes (): number {
    return this.#engine.maxValueBytes
  }

  /** Whether it was closed by its `close`. */
  get isClosed (): boolean {
    return this.#isClosed
  }

  /** The collection of that name; it need not be created. Throws STORE_NAME_INVALID. */
  collection<T = unknown> (name: string): Collection<T> {
    if (this.#collections === undefined) return new Collection<T>(this.#engine, name, this.#scope)
    return this.#collections.get(name, () => new Collection(this.#engine, name)) as Collection<T>
  }

  /** All collections that have keys, locks, options or a recent past. Fetched in pages, so it holds nobody up. */
  async collections (): Promise<CollectionStats[]> {
    const all: CollectionStats[] = []
    let cursor: string | undefined
    do {
      const page: CollectionPage = await this.page({ cursor, limit: COLLECTIONS_PER_PAGE })
      all.push(...page.collections)
      cursor = page.cursor
    } while (cursor !== undefined)
    return all
  }

  /** One page of the collections, in no order that means anything. STORE_OPTION_INVALID. */
  async page ({ cursor, limit = 100 }: CollectionPageOptions = {}): Promise<CollectionPage> {
    const request = new Request('collections', '', '')
    if (cursor !== undefined) request.cursor = checkCursor(cursor)
    request.number = wholeNumber(limit, 'limit', 1)
    const page = await this.#ask(request) as RawCollectionPage
    return { collections: page.collections.map(collectionOf), cursor: page.cursor }
  }

  /** All collections together, and the process that has them. */
  async stats (wait?: Pick<WaitOptions, 'timeout'>): Promise<StoreStats> {
    return await this.#ask(new Request('stats', '', ''), wait?.timeout) as StoreStats
  }

  /** Who holds what, and how many wait for it: not all where there are more than `limit`. STORE_OPTION_INVALID. */
  async locks ({ limit = MAX_LOCKS }: LocksOptions = {}): Promise<LockInfo[]> {
    if (wholeNumber(limit, 'limit', 1) > MAX_LOCKS) throw new StoreError('STORE_OPTION_INVALID', `limit can be ${MAX_LOCKS} at most`)
    const request = new Request('locks', '', '')
    request.number = limit
    return (await this.#ask(request) as RawLock[]).map(lockOf)
  }

  /** The same store for the time of one request: waits and locks end with `scope`. For adapters. */
  within (scope: Scope): Store {
    return new Store(this.#engine, scope)
  }

  /**
   * Delivers what was written without confirmation, releases this process's locks and ends its part of the store. Calls that
   * wait fail with STORE_CLOSED, as do later ones; createStore gives a new store. In the primary it ends the store of all.
   */
  async close (): Promise<void> {
    this.#isClosed = true
    await this.#engine.close()
  }

  async #ask (request: Request, timeout?: number): Promise<unknown> {
    if (timeout !== undefined) request.wait = { timeout: milliseconds(timeout, 'timeout'), signal: undefined, scope: undefined }
    const { text } = await this.#engine.call(request)
    return JSON.parse(text!)
  }
}

/** For what is made of a store: a store that is there already, or options for one. */
export interface PickOptions extends StoreOptions {
  /** A store that is there already, instead of options for one. It is not closed with what uses it. */
  store?: Store | undefined
}

/** STORE_OPTION_INVALID. */
export function pickStore ({ store, ...options }: PickOptions): Store {
  if (store === undefined) return createStore(options)
  if (!(store instanceof Store)) throw new StoreError('STORE_OPTION_INVALID', 'store must be what createStore gives')
  if (Object.keys(options).length > 0) throw new StoreError('STORE_OPTION_INVALID', `with a store there can be no ${Object.keys(options).join(', ')}`)
  return store
}

const stores = new WeakMap<Engine, Store>()

/**
 * The store at a URL; see StoreOptions for which there are. Nothing is opened before the first call.
 * Throws STORE_OPTION_INVALID.
 */
export function createStore (options: string | StoreOptions = {}): Store {
  const engine = engineOf(typeof options === 'string' ? { url: options } : options)
  let store = stores.get(engine)
  if (store === undefined) stores.set(engine, store = new Store(engine))
  return store
}

function engineOf (options: StoreOptions): Engine {
  onlyKnown(options, OPTIONS)
  const { url = process.env.STRONG_STORE_URL ?? 'cluster:', maxValueBytes, token = process.env.STRONG_STORE_TOKEN, connectTimeout = 10, redis } = options
  if (maxValueBytes !== undefined && wholeNumber(maxValueBytes, 'maxValueBytes', 1) > MAX_VALUE_BYTES) {
    throw new StoreError('STORE_OPTION_INVALID', `maxValueBytes can be ${MAX_VALUE_BYTES} at most`)
  }
  const timeout = milliseconds(connectTimeout, 'connectTimeout', MIN_SECONDS)
  if (/^rediss?:/.test(url)) return redisEngine({ url, maxValueBytes, connectTimeout: timeout, ...redis })
  switch (url) {
    case 'cluster:': return clusterEngine({ maxValueBytes, connectTimeout: timeout })
    case 'memory:': return new MemoryEngine(new Keyspace(maxValueBytes === undefined ? {} : { maxValueBytes }))
  }
  if (!/^https?:/.test(url) || !URL.canParse(url)) {
    throw new StoreError('STORE_OPTION_INVALID', `there is no store at ${JSON.stringify(url)}; use 'cluster:', 'memory:', 'redis:' or 'http:'`)
  }
  if (maxValueBytes !== undefined) throw new StoreError('STORE_OPTION_INVALID', 'maxValueBytes is for the store behind the URL to say')
  return httpEngine({ url: new URL(url), token })
}
