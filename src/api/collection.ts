// The collection API: the calls on a whole collection, beside those on its keys.
import { checkCollection } from '../core/validation.js'
import type { Engine } from '../core/engine.js'
import type { StoreError } from '../core/errors.js'
import { collectionOf, type CollectionStats, type RawCollectionPage } from '../core/stats.js'
import { json, text as textCodec, type Codec } from '../core/value.js'
import { CollectionCalls, type Scope } from './collection-calls.js'
import type { EventStream } from './event-stream.js'
import { biggestKeys, entryPages, keyPage, keyPages } from './key-pages.js'
import { Keys } from './keys.js'
import {
  KNOWN, boundsOf, withReason, type BiggestKeys, type BiggestOptions, type CollectionOptions, type KeyPage,
  type PageOptions, type PrefixOptions, type WaitOptions
} from './options.js'
import { checkOptions, type Defaults } from './requests.js'
import { watch, type WatchEvent, type WatchOptions } from './watch.js'

/**
 * Keys and values shared by all processes. A value is anything JSON can represent; every read returns its own copy.
 *
 * Every method can reject with STORE_KEY_INVALID, STORE_OPTION_INVALID, STORE_TIMEOUT, STORE_LOCKED, STORE_ABORTED,
 * STORE_QUEUE_FULL, STORE_OVERLOADED, STORE_DISCONNECTED, STORE_UNREACHABLE and STORE_CLOSED. Further codes are listed
 * with each method. While a key is locked, calls on it wait for their turn. A call that would wait for a lock held by
 * its own request (`req.store`), or by the `update` it is made from, rejects with STORE_DEADLOCK immediately.
 */
export class Collection<T = unknown> extends Keys<T> {
  readonly name: string
  readonly #calls: CollectionCalls
  readonly #codec: Codec

  /** Made by a Store. */
  constructor (engine: Engine, name: string, defaults: Defaults, scope?: Scope, codec: Codec = json) {
    checkCollection(name)
    const calls = new CollectionCalls(engine, name, defaults, scope)
    super(calls, codec)
    this.#calls = calls
    this.name = name
    this.#codec = codec
  }

  /** The same collection with values as JSON text, for callers that pass values on without parsing them. */
  get text (): Collection<string> {
    return new Collection<string>(this.#calls.engine, this.name, this.#calls.defaults, this.#calls.scope, textCodec)
  }

  /**
   * All keys, or those that start with `prefix`, in no particular order. Fetched page by page, which keeps the store
   * responsive. A key present throughout the iteration is returned exactly once; one created or deleted during it may
   * or may not be returned.
   */
  async * keys (options: PrefixOptions = {}): AsyncGenerator<string, void, undefined> {
    for await (const keys of keyPages(this.#calls, options)) yield * keys
  }

  /** All keys with their values, or those that start with `prefix`, like `keys`. Each value is read separately. */
  async * entries (options: PrefixOptions = {}): AsyncGenerator<[string, T], void, undefined> {
    yield * entryPages(this.#calls, options, (keys, wait) => this.getMany(keys, wait))
  }

  /** One page of keys with their metadata. A page can be empty although more follow: check the cursor. */
  page (options: PageOptions = {}, wait?: WaitOptions): Promise<KeyPage> {
    return keyPage(this.#calls, options, wait)
  }

  /**
   * The keys with the largest values, the largest first, among `examine` keys from `cursor` on, in no particular order.
   * Call it again with the returned cursor to search a large collection. STORE_OPTION_INVALID.
   */
  biggest (options: BiggestOptions = {}): Promise<BiggestKeys> {
    return biggestKeys(this.#calls, options)
  }

  /**
   * The current contents, then each change, as an async iterable: see WatchEvent. It reports the latest state of each
   * key, not every intermediate one, never an older version after a newer one, and resumes after a lost connection. It
   * neither waits for locks nor counts as a read, and ends when the loop is left or its signal aborts.
   */
  watch (options: WatchOptions & { values: false }): EventStream<WatchEvent<undefined>>
  watch (options?: WatchOptions): EventStream<WatchEvent<T>>
  watch (options: WatchOptions = {}): EventStream<WatchEvent<any>> {
    return watch<T>(this.#calls, this.#codec, options)
  }

  /** The number of keys with a value. */
  async size (wait?: WaitOptions): Promise<number> {
    return (await this.#calls.call('size', '', wait)).number!
  }

  /** Statistics as in `store.collections()`; undefined if the collection is not listed there. */
  async stats (wait?: WaitOptions): Promise<CollectionStats | undefined> {
    const { text } = await this.#calls.call('collections', '1', wait)
    return (JSON.parse(text!) as RawCollectionPage).collections.map(collectionOf)[0]
  }

  /**
   * Deletes all keys, or those that start with `prefix`: free keys immediately, locked ones when its turn comes. It
   * does not affect later writes. With `timeout: 0` it deletes the free keys and rejects with STORE_LOCKED if there
   * are locked ones. If it fails otherwise, or its process exits, keys that are still locked are kept.
   */
  async clear (options: PrefixOptions = {}): Promise<void> {
    checkOptions(options, KNOWN.prefix)
    const { prefix = '', ...wait } = options
    await this.#calls.call('clear', prefix, wait)
  }

  /** Changes the given options for all processes and keeps the others. STORE_OPTION_INVALID. */
  async configure (options: CollectionOptions, wait?: WaitOptions): Promise<void> {
    checkOptions(options)
    const request = this.#calls.request('configure', '', wait)
    request.text = JSON.stringify(boundsOf(options))
    await this.#calls.send(request).catch((error: StoreError) => { throw withReason(error, options) })
  }
}
