// The store: picks an engine by URL and hands out one Collection per name.
import { EventEmitter } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { WeakRegistry } from '../core/weak-registry.js'
import { MIN_SECONDS, checkCursor, milliseconds, wholeNumber } from '../core/validation.js'
import { Channel } from './channel.js'
import { NO_DEFAULTS, type Scope } from './collection-calls.js'
import { Collection } from './collection.js'
import { MAX_LOCKS, Request, type Engine, type Reply } from '../core/engine.js'
import { StoreError } from '../core/errors.js'
import type { CollectionPage, CollectionPageOptions, LocksOptions, WaitOptions } from './options.js'
import { exportLines, type ExportOptions } from './export.js'
import { importLines, type ImportOptions, type ImportResult, type ImportSource } from './import.js'
import { checkOptions, type Defaults } from './requests.js'
import { engineOf, type StoreOptions } from './store-options.js'
import {
  collectionOf, lockOf, type CollectionStats, type LockInfo, type RawCollectionPage, type RawLock, type StoreStats
} from '../core/stats.js'

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

  /** The channel with this name; channels exist without being created. Throws STORE_NAME_INVALID. */
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
    if (page.cursor !== undefined) await nextTurn() // as in key-pages.ts
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

  /**
   * All keys with their values and ends, and the options of their collections, as NDJSON: an async iterable of text,
   * some whole lines at a time. Fetched page by page, like `keys`; each key as it is when its page is read. It neither
   * waits for locks nor counts as a use. Collections that do not exist are empty. STORE_OPTION_INVALID.
   */
  export (options: ExportOptions = {}): AsyncGenerator<string, void, undefined> {
    return exportLines(this.#engine, this.#defaults, this.#scope, options)
  }

  /**
   * Writes the `export` of any store. `source`: an iterable, async or not, of text or bytes in chunks of any size: an
   * export, a stream, an array of lines. Rejects with the error of the first line that fails, as an
   * ImportFailure; lines before it have been written, some that follow it may have been. STORE_OPTION_INVALID,
   * STORE_VALUE_INVALID for a line that no export writes, and the codes of `set`, `acquire`, `configure` and `clear`.
   * STORE_ABORTED as soon as the signal aborts.
   */
  import (source: ImportSource, options: ImportOptions = {}): Promise<ImportResult> {
    return importLines(name => this.collection(name), this.#engine, source, options)
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
   * lost: catch that where the promise is not awaited, or Node ends the process.
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
    throw new StoreError(
      'STORE_OPTION_INVALID', `store cannot be combined with ${others.join(', ')}: set them in createStore`
    )
  }
  return store
}

/** The stores of each engine, by their default options. */
const stores = new WeakMap<Engine, Map<string, Store>>()

/**
 * The store at a URL, `cluster:` by default: see StoreOptions. It connects with the first call.
 * Throws STORE_OPTION_INVALID.
 */
export function createStore (options: string | URL | StoreOptions = {}): Store {
  const { timeout, lease, ...where } = asOptions(options)
  const defaults = defaultsOf(timeout, lease)
  const engine = engineOf(where)
  let known = stores.get(engine)
  if (known === undefined) stores.set(engine, known = new Map())
  const id = JSON.stringify(defaults)
  let store = known.get(id)
  if (store === undefined) known.set(id, store = new Store(engine, defaults))
  return store
}

function asOptions (options: string | URL | StoreOptions): StoreOptions {
  if (typeof options === 'string') return { url: options }
  if (options instanceof URL) return { url: options.href }
  checkOptions(options)
  return options
}

function defaultsOf (timeout: number | undefined, lease: number | undefined): Defaults {
  if (timeout === undefined && lease === undefined) return NO_DEFAULTS
  return {
    timeout: timeout === undefined ? undefined : milliseconds(timeout, 'timeout'),
    lease: lease === undefined ? undefined : milliseconds(lease, 'lease', MIN_SECONDS)
  }
}
