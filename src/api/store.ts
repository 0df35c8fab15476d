// The store: picks an engine by URL and hands out one Collection per name.
import { EventEmitter } from 'node:events'
import { WeakRegistry } from '../core/weak-registry.js'
import { clusterEngine } from '../engines/socket/engine.js'
import { unixEngine } from '../engines/socket/unix.js'
import { MIN_SECONDS, checkCursor, milliseconds, onlyKnown, wholeNumber } from '../core/validation.js'
import { Channel } from './channel.js'
import { NO_DEFAULTS, type Scope } from './collection-calls.js'
import { Collection } from './collection.js'
import { dataOf } from './data-options.js'
import { MAX_LOCKS, Request, type Engine, type Reply } from '../core/engine.js'
import { StoreError } from '../core/errors.js'
import type { CollectionPage, CollectionPageOptions, LocksOptions, WaitOptions } from './options.js'
import { checkOptions, type Defaults } from './requests.js'
import { httpEngine } from '../engines/http/engine.js'
import type { HttpStoreOptions } from '../engines/http/options.js'
import { MemoryEngine } from '../engines/memory/engine.js'
import { Keyspace } from '../engines/memory/keyspace.js'
import { redisEngine } from '../engines/redis/engine.js'
import type { RedisStoreOptions } from '../engines/redis/options.js'
import {
  collectionOf, lockOf, type CollectionStats, type LockInfo, type RawCollectionPage, type RawLock, type StoreStats
} from '../core/stats.js'

export interface StoreOptions {
  /**
   * Where the keys are. 'cluster:', the default, is the cluster's primary process, or this process without a cluster:
   * one store per process, shared by all callers. A worker thread uses the store of its process, a child process of a
   * worker that of the worker. 'unix:/run/app/store.sock' is a store in a process of its own, started by
   * `strong-store serve`; on Windows the path stands for a named pipe. 'memory:' is a new store in this process for
   * each call. 'redis://host:6379/0', or 'rediss:' for TLS, is a Redis or Valkey server, shared by all machines that
   * use it. 'http://host:port/_store/v1', or https, is a store that is served by an admin API: one store per URL and
   * token. Default: the environment variable STRONG_STORE_URL, else 'cluster:'.
   */
  url?: string | undefined
  /**
   * Maximum size of a value, in bytes of JSON text: 1 to 33554432, default 1048576. For 'cluster:' it is set in the
   * primary, for 'unix:' by `strong-store serve`.
   */
  maxValueBytes?: number | undefined
  /**
   * The folder in which the keys are saved, so that they survive a restart. Set it in the process that has the store,
   * for 'cluster:' and 'memory:'. It is created if it is missing. Calls wait until the data is loaded. Requires the
   * package lmdb. Default: none, the keys are in memory only.
   */
  data?: string | undefined
  /** With `data`: maximum delay of writes to disk, in seconds, 0.01 to 60. Default 0.25. */
  flush?: number | undefined
  /**
   * Token of the admin API, for 'http:' and 'https:'. Default: the environment variable STRONG_STORE_TOKEN, else none.
   */
  token?: string | undefined
  /**
   * Seconds to wait for the primary or a server before calls fail with STORE_UNREACHABLE, and for `close` to deliver
   * unconfirmed writes; at least 0.001. Default 10.
   */
  connectTimeout?: number | undefined
  /** The `timeout` of calls made without one, in seconds: see WaitOptions. Default: none. */
  timeout?: number | undefined
  /** The `lease` of locks acquired without one, in seconds: see AcquireOptions. Default: none. */
  lease?: number | undefined
  /** Options for a store in Redis. */
  redis?: RedisStoreOptions | undefined
  /** Options for the connection to an admin API, beyond its URL and token. */
  http?: HttpStoreOptions | undefined
}

const OPTIONS = ['url', 'maxValueBytes', 'data', 'flush', 'token', 'connectTimeout', 'timeout', 'lease', 'redis', 'http'] as const
const MAX_VALUE_BYTES = 32 * 2 ** 20
const COLLECTIONS_PER_PAGE = 250

/** Raise the number when adapters need something that older stores do not have. */
const BRAND = Symbol.for('strong-store.Store.1')

/**
 * Collections of keys and values, with locks, from `createStore` or a framework's `req.store`.
 *
 * Event 'error' (StoreError): the store cannot be reached, or the connection was lost. The affected calls fail as well,
 * so a listener is optional: without one the event is not emitted. In a store with `data` also STORE_NOT_DURABLE: the
 * data cannot be written or read, while the store keeps working. This is also a process warning.
 *
 * Event 'loading' (parts, total), in the process of a store with `data`: how much of the data has been loaded.
 */
export class Store extends EventEmitter<{ error: [StoreError], loading: [loaded: number, all: number] }> {
  readonly #engine: Engine
  readonly #defaults: Defaults
  readonly #scope: Scope | undefined
  #isClosed = false
  readonly #collections: WeakRegistry<Collection<unknown>> | undefined

  /** Created by createStore, or by the scope of a request. */
  constructor (engine: Engine, defaults: Defaults, scope?: Scope) {
    super()
    this.#engine = engine
    this.#defaults = defaults
    this.#scope = scope
    if (scope === undefined) {
      this.#collections = new WeakRegistry()
      this.setMaxListeners(0)
      const { onerror } = engine // belongs to another copy of this package, for its own store
      engine.onerror = error => {
        onerror?.(error)
        if (this.listenerCount('error') > 0) this.emit('error', error)
      }
      const { onloading } = engine
      engine.onloading = (loaded, all) => {
        onloading?.(loaded, all)
        this.emit('loading', loaded, all)
      }
    }
  }

  /** Lets copies of this package in one process recognize each other's stores. */
  get [BRAND] (): true {
    return true
  }

  /** Whether `createStore` with the same options returns this store again. True for all but `memory:`. */
  get isShared (): boolean {
    return this.#engine.isShared
  }

  /** The size limit of values, in bytes of JSON text. Exact once the first call was answered. */
  get maxValueBytes (): number {
    return this.#engine.maxValueBytes
  }

  /** Whether `close` was called. */
  get isClosed (): boolean {
    return this.#isClosed
  }

  /** The collection with this name; collections exist without being created. Throws STORE_NAME_INVALID. */
  collection<T = unknown> (name: string): Collection<T> {
    if (this.#collections === undefined) return new Collection<T>(this.#engine, name, this.#defaults, this.#scope)
    return this.#collections.get(name, () => new Collection(this.#engine, name, this.#defaults)) as Collection<T>
  }

  /** The channel with this name; channels exist without being created. Throws STORE_NAME_INVALID. Not in Redis yet. */
  channel<T = unknown> (name: string): Channel<T> {
    return new Channel<T>(this.#engine, name, this.#scope)
  }

  /**
   * All collections that have keys, locks or options, or had some recently. Fetched page by page, which keeps the store
   * responsive.
   */
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

  /** One page of the collections, in no particular order. STORE_OPTION_INVALID. */
  async page ({ cursor, limit = 100 }: CollectionPageOptions = {}): Promise<CollectionPage> {
    const request = new Request('collections', '', '')
    if (cursor !== undefined) request.cursor = checkCursor(cursor)
    request.number = wholeNumber(limit, 'limit', 1)
    const page = await this.#ask(request) as RawCollectionPage
    return { collections: page.collections.map(collectionOf), cursor: page.cursor }
  }

  /** Totals over all collections, and statistics of the process that has the keys. */
  async stats (wait: Pick<WaitOptions, 'timeout'> = {}): Promise<StoreStats> {
    checkOptions(wait, ['timeout'])
    return await this.#ask(new Request('stats', '', ''), wait.timeout) as StoreStats
  }

  /** Resolves when the store answers, for health checks. Rejects like any call if it does not. */
  async ping (wait?: Pick<WaitOptions, 'timeout'>): Promise<void> {
    await this.#call(new Request('ping', '', ''), wait?.timeout)
  }

  /** The held locks with their owners and numbers of waiters; at most `limit`. STORE_OPTION_INVALID. */
  async locks (options: LocksOptions = {}): Promise<LockInfo[]> {
    checkOptions(options, ['limit'])
    const { limit = MAX_LOCKS } = options
    if (wholeNumber(limit, 'limit', 1) > MAX_LOCKS) {
      throw new StoreError('STORE_OPTION_INVALID', `limit must be at most ${MAX_LOCKS}`)
    }
    const request = new Request('locks', '', '')
    request.number = limit
    return (await this.#ask(request) as RawLock[]).map(lockOf)
  }

  /** The same store scoped to a request: its waits and locks end with `scope`. For adapters. */
  within (scope: Scope): Store {
    return new Store(this.#engine, this.#defaults, scope)
  }

  /** Passes a request to the engine unchanged: for the admin API, whose client has built and checked it. */
  call (request: Request): Promise<Reply> {
    return this.#engine.call(request)
  }

  /** Like `call`, but without a reply. */
  post (request: Request): void {
    this.#engine.post(request)
  }

  /**
   * Delivers unconfirmed writes, releases this process's locks and disconnects. Waiting and later calls fail with
   * STORE_CLOSED; `createStore` returns a new store. In the primary it closes the store for all processes.
   * Takes at most `connectTimeout`. Rejects with STORE_DISCONNECTED or STORE_UNREACHABLE if unconfirmed writes may be
   * lost.
   */
  async close (): Promise<void> {
    this.#isClosed = true
    await this.#engine.close()
  }

  async #ask (request: Request, timeout?: number): Promise<unknown> {
    return JSON.parse((await this.#call(request, timeout)).text!)
  }

  #call (request: Request, timeout?: number): Promise<Reply> {
    const limit = timeout === undefined ? this.#defaults.timeout : milliseconds(timeout, 'timeout')
    if (limit !== undefined) request.wait = { timeout: limit, signal: undefined, scope: undefined }
    return this.#engine.call(request)
  }
}

/** Options of anything that uses a store: an existing store, or the options to create one. */
export interface PickOptions extends StoreOptions {
  /** An existing store. It is not closed by its users. */
  store?: Store | undefined
}

/** STORE_OPTION_INVALID. */
export function pickStore ({ store, ...options }: PickOptions): Store {
  if (store === undefined) return createStore(options)
  if ((store as Partial<Store> | null)?.[BRAND] !== true) {
    throw new StoreError('STORE_OPTION_INVALID', 'invalid store: expected a store made by createStore')
  }
  const others = Object.keys(options)
  if (others.length > 0) {
    throw new StoreError('STORE_OPTION_INVALID', `store cannot be combined with ${others.join(', ')}: set them in createStore`)
  }
  return store
}

/** The stores of each engine, by their default options. */
const stores = new WeakMap<Engine, Map<string, Store>>()

/**
 * The store at a URL, `cluster:` by default: see StoreOptions. It connects with the first call.
 * Throws STORE_OPTION_INVALID.
 */
export function createStore (options: string | StoreOptions = {}): Store {
  const { timeout, lease, ...where } = typeof options === 'string' ? { url: options } : options
  const defaults = defaultsOf(timeout, lease)
  const engine = engineOf(where)
  let known = stores.get(engine)
  if (known === undefined) stores.set(engine, known = new Map())
  const id = JSON.stringify(defaults)
  let store = known.get(id)
  if (store === undefined) known.set(id, store = new Store(engine, defaults))
  return store
}

function defaultsOf (timeout: number | undefined, lease: number | undefined): Defaults {
  if (timeout === undefined && lease === undefined) return NO_DEFAULTS
  return {
    timeout: timeout === undefined ? undefined : milliseconds(timeout, 'timeout'),
    lease: lease === undefined ? undefined : milliseconds(lease, 'lease', MIN_SECONDS)
  }
}

function engineOf (options: StoreOptions): Engine {
  onlyKnown(options, OPTIONS)
  const { url = process.env.STRONG_STORE_URL || 'cluster:', maxValueBytes, token = process.env.STRONG_STORE_TOKEN, connectTimeout = 10, redis, http } = options
  const data = dataOf(url, options)
  if (maxValueBytes !== undefined && wholeNumber(maxValueBytes, 'maxValueBytes', 1) > MAX_VALUE_BYTES) {
    throw new StoreError('STORE_OPTION_INVALID', `maxValueBytes must be at most ${MAX_VALUE_BYTES}`)
  }
  const timeout = milliseconds(connectTimeout, 'connectTimeout', MIN_SECONDS)
  if (/^rediss?:/.test(url)) return redisEngine({ url, maxValueBytes, connectTimeout: timeout, ...redis })
  switch (url) {
    case 'cluster:': return clusterEngine({ maxValueBytes, data, connectTimeout: timeout })
    case 'memory:': return new MemoryEngine(new Keyspace(maxValueBytes === undefined ? {} : { maxValueBytes }), data)
  }
  if (!/^(?:https?|unix):/.test(url)) {
    throw new StoreError('STORE_OPTION_INVALID', `invalid url ${JSON.stringify(url)}: expected 'cluster:', 'unix:', 'memory:', 'redis:' or 'http:'`)
  }
  if (maxValueBytes !== undefined) throw new StoreError('STORE_OPTION_INVALID', 'maxValueBytes is set by the store at the URL')
  if (url.startsWith('unix:')) return unixEngine({ url, connectTimeout: timeout })
  return httpEngine({ url, token, connectTimeout: timeout }, http)
}
