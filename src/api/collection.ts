// A collection as its users hold it: check, turn into text, ask the engine, turn back.
import { MIN_SECONDS, checkCollection, checkCursor, checkToken, milliseconds, wholeNumber } from '../core/validation.js'
import type { Engine, Reply } from '../core/engine.js'
import type { StoreError } from '../core/errors.js'
import { CollectionCalls, type Scope } from './collection-calls.js'
import type { KeyLock, LockRegistry } from './key-lock.js'
import {
  KNOWN, boundsOf, type AcquireOptions, type CollectionOptions, type CountOptions, type DelOptions, type Entry, type EntryOptions, type GetOrSetOptions,
  type KeyPage, type PageOptions, type PrefixOptions, type SetOptions, type TtlOptions, type UpdateOptions, type WaitOptions
} from './options.js'
import { NONE, checkOptions, withCount, withTtl, withValue, type Defaults } from './requests.js'
import { runUpdate } from './update-context.js'
import { collectionOf, lockOf, type CollectionStats, type LockQueue, type RawCollectionPage, type RawLock } from '../core/stats.js'
import { json, text as textCodec, type Codec } from '../core/value.js'

/** The key of a number: in a collection that can have none, there is no such key. */
export type CounterKey<T> = number extends T ? string : never

const PAGE = 500

/**
 * Keys and values that all processes share. Values are whatever JSON can hold; each read gives a copy of its own.
 *
 * Every method can reject with STORE_KEY_INVALID, STORE_OPTION_INVALID, STORE_TIMEOUT, STORE_LOCKED, STORE_ABORTED,
 * STORE_QUEUE_FULL, STORE_OVERLOADED, STORE_DISCONNECTED, STORE_UNREACHABLE and STORE_CLOSED; what else, stands beside it.
 * While a key is locked, calls on it wait for their turn. One that would wait for a lock of its own request (`req.store`), or of
 * the `update` that makes it, rejects with STORE_DEADLOCK at once.
 */
export class Collection<T = unknown> {
  readonly name: string
  readonly #calls: CollectionCalls
  readonly #codec: Codec

  /** Made by a Store. */
  constructor (engine: Engine, name: string, defaults: Defaults, scope?: Scope, codec: Codec = json) {
    checkCollection(name)
    this.#calls = new CollectionCalls(engine, name, defaults, scope)
    this.name = name
    this.#codec = codec
  }

  /** The same collection, whose values are their JSON text: for who carries values without looking into them. */
  get text (): Collection<string> {
    return new Collection<string>(this.#calls.engine, this.name, this.#calls.defaults, this.#calls.scope, textCodec)
  }

  /** The value, or undefined if there is none. */
  get (key: string, wait?: WaitOptions): Promise<T | undefined> { // not async, which would cost a tenth of the call
    return this.#calls.call('get', key, wait).then(({ text }) => text === undefined ? undefined : this.#codec.decode(text) as T)
  }

  /** The value with its version and its end, or undefined if there is none. */
  async entry (key: string, options: EntryOptions = NONE): Promise<Entry<T> | undefined> {
    const request = this.#calls.request(options.peek === true ? 'peek' : 'entry', key, options, KNOWN.entry)
    if (options.token !== undefined) request.token = checkToken(options.token)
    const { text, version, expiresIn } = await this.#calls.send(request)
    if (text === undefined) return undefined
    return { value: this.#codec.decode(text) as T, version: version!, expiresAt: moment(expiresIn) }
  }

  /** Whether the key has a value. Counts as a read. */
  async has (key: string, wait?: WaitOptions): Promise<boolean> {
    return (await this.#calls.call('head', key, wait)).version !== undefined
  }

  /**
   * Writes, and resolves with the new version. `undefined` deletes, and resolves with 0.
   * STORE_VALUE_INVALID, STORE_VALUE_TOO_LARGE, STORE_VERSION_MISMATCH, STORE_EXISTS, STORE_FULL.
   */
  async set (key: string, value?: T, options: SetOptions = NONE): Promise<number> {
    if (value === undefined && options.ifAbsent !== true) {
      await this.#calls.write(this.#calls.request('del', key, options, KNOWN.set), options)
      return 0
    }
    return (await this.#set(key, value, options))?.version ?? 0
  }

  /** As `set`, of a value that is not undefined, and tells whether the key is new. */
  async put (key: string, value: T, options: SetOptions = NONE): Promise<{ version: number, isNew: boolean }> {
    const reply = await this.#set(key, value, options)
    return { version: reply?.version ?? 0, isNew: reply?.number === 1 }
  }

  /** Deletes; true if there was a value (or if not asked, with `confirm: false`). STORE_VERSION_MISMATCH. */
  async del (key: string, options: DelOptions = NONE): Promise<boolean> {
    const reply = await this.#calls.write(this.#calls.request('del', key, options, KNOWN.del), options)
    return reply?.number !== 0
  }

  /** Counts as a use of the key, and sets its end where `ttl` is given. False if there is no value. */
  async touch (key: string, options: TtlOptions = NONE): Promise<boolean> {
    return (await this.#calls.send(withTtl(this.#calls.request('touch', key, options, KNOWN.touch), options))).number === 1
  }

  /**
   * Adds to a number, 0 if there is none, and resolves with the sum. `ttl` counts only for the call that creates the
   * key, so that a counter's window is fixed at its first hit, or where the sum is above `limit`. STORE_NOT_A_NUMBER, STORE_FULL.
   */
  async increment (key: CounterKey<T>, by = 1, options: CountOptions = NONE): Promise<number> {
    return (await this.#calls.send(withCount(this.#calls.request('increment', key, options, KNOWN.count), by, options))).number!
  }

  /** As `increment`, but resolves with the version and the end as well: that of the window, for a counter with a ttl. */
  async count (key: CounterKey<T>, by = 1, options: CountOptions = NONE): Promise<Entry<number>> {
    const { number, version, expiresIn } = await this.#calls.send(withCount(this.#calls.request('increment', key, options, KNOWN.count), by, options))
    return { value: number!, version: version!, expiresAt: moment(expiresIn) }
  }

  /**
   * Takes back what was counted: subtracts, but never goes below 0 and never makes a key that is not there (any more). It
   * keeps the end it has. Resolves with what is left; 0 if there is no value. STORE_NOT_A_NUMBER.
   */
  async decrement (key: CounterKey<T>, by = 1, options: EntryOptions = NONE): Promise<number> {
    const request = withCount(this.#calls.request('increment', key, options, KNOWN.decrement), -by, options)
    request.down = true
    return (await this.#calls.send(request)).number!
  }

  /**
   * Sets the key to what `fn` makes of its value, while the key is locked for it; `fn` may be asynchronous. `undefined` leaves the key as it is:
   * to delete it, there is `lock.del()`. Resolves with the value that the key has then. If `fn` throws, nothing is changed, and it rejects
   * with that error. Else it rejects as `acquire` and `set` do, and with STORE_LOCK_LOST where a lease ran out meanwhile.
   */
  update (
    key: string, fn: (value: T | undefined, lock: KeyLock<T>) => T | undefined | Promise<T | undefined>, options: UpdateOptions = NONE
  ): Promise<T | undefined> {
    return this.#update(key, fn, options, this.#calls.scope?.updates)
  }

  /**
   * The value, or what `fn` gives, which is written then. Of all processes that ask for a key without value one computes, the others wait for what
   * comes of it. If `fn` throws, it rejects with that error, and the next in line computes. It goes on for the others if its client has gone.
   * Rejects as `acquire` and `set` do, and with STORE_LOCK_LOST where the `lease` has run out before `fn` was done.
   */
  async getOrSet (key: string, fn: () => T | Promise<T>, options: GetOrSetOptions = {}): Promise<T> {
    checkOptions(options, KNOWN.getOrSet)
    const { signal, timeout } = options
    const started = performance.now()
    const found = await this.get(key, { signal, timeout })
    if (found !== undefined) return found
    const left = timeout === undefined || timeout === 0 ? timeout : Math.max(timeout - (performance.now() - started) / 1000, MIN_SECONDS)
    return await this.#update(key, value => value === undefined ? fn() : undefined, { ...options, timeout: left }, undefined) as T
  }

  /** Locks the key for exclusive use, after all who asked before. */
  acquire (key: string, options: AcquireOptions = NONE): Promise<KeyLock<T>> {
    return this.#calls.acquire<T>(this.#codec, key, options, KNOWN.acquire, this.#calls.scope?.locks)
  }

  /** Locks the key if it is free, else resolves with undefined at once. */
  async tryAcquire (key: string, options: Omit<AcquireOptions, 'timeout'> = {}): Promise<KeyLock<T> | undefined> {
    try {
      return await this.acquire(key, { ...options, timeout: 0 })
    } catch (error) {
      if ((error as StoreError).code === 'STORE_LOCKED') return undefined
      throw error
    }
  }

  /** Releases a lock by its token, wherever it was taken, or gives up the wait of an `acquire` that named it. STORE_LOCK_LOST. */
  async release (key: string, token: string, wait?: WaitOptions): Promise<void> {
    const request = this.#calls.request('release', key, wait)
    request.token = checkToken(token)
    await this.#calls.send(request)
  }

  /** Starts a lease anew by the token of the lock: with its own length, or `lease` seconds. Resolves with its end. STORE_LOCK_LOST. */
  async renew (key: string, token: string, lease?: number, wait?: WaitOptions): Promise<Date | undefined> {
    const request = this.#calls.request('renew', key, wait)
    request.token = checkToken(token)
    if (lease !== undefined) request.lease = milliseconds(lease, 'lease', MIN_SECONDS)
    return moment((await this.#calls.send(request)).expiresIn)
  }

  /** Takes the lock of a key from whoever holds it, who then has lost it. False if the key is not locked. */
  async breakLock (key: string, wait?: WaitOptions): Promise<boolean> {
    return (await this.#calls.call('break', key, wait)).number === 1
  }

  /** Who holds the lock of a key, and who waits for it; undefined if it is not locked. */
  async lockInfo (key: string, wait?: WaitOptions): Promise<LockQueue | undefined> {
    const { text } = await this.#calls.call('lock', key, wait)
    return text === undefined ? undefined : lockOf(JSON.parse(text) as RawLock) as LockQueue
  }

  /** The values of many keys, each read on its own, in one crossing where the engine has one. */
  async getMany (keys: Iterable<string>, wait?: WaitOptions): Promise<Array<T | undefined>> {
    return await Promise.all(Array.from(keys, key => this.get(key, wait)))
  }

  /** Writes many keys, each on its own; resolves with their versions. Rejects as `set` does, with the first error. */
  async setMany (entries: Iterable<readonly [string, T | undefined]>, options?: SetOptions): Promise<number[]> {
    return await Promise.all(Array.from(entries, ([key, value]) => this.set(key, value, options)))
  }

  /**
   * The names of all keys, or of those that begin with `prefix`, in no order that means anything. Fetched in pages, so it
   * holds nobody up. A key that is there all the while comes exactly once, one that comes or goes meanwhile may.
   */
  async * keys (options: PrefixOptions = {}): AsyncGenerator<string, void, undefined> {
    for await (const keys of this.#pages(options)) yield * keys
  }

  /** All keys with their values, or those of a prefix, as `keys` finds them; each value is read on its own. */
  async * entries (options: PrefixOptions = {}): AsyncGenerator<[string, T], void, undefined> {
    const { prefix, ...wait } = options
    for await (const keys of this.#pages(options)) {
      const values = await this.getMany(keys, wait)
      for (const [i, key] of keys.entries()) {
        const value = values[i]
        if (value !== undefined) yield [key, value]
      }
    }
  }

  /** One page of the keys, with what is known of each but its value. A page may be empty with more to come. STORE_OPTION_INVALID. */
  async page (options: PageOptions = {}, wait?: WaitOptions): Promise<KeyPage> {
    checkOptions(options, KNOWN.page)
    const { prefix = '', cursor, limit = 100 } = options
    const request = this.#calls.request('scan', prefix, wait)
    if (cursor !== undefined) request.cursor = checkCursor(cursor)
    request.number = wholeNumber(limit, 'limit', 1)
    const page = JSON.parse((await this.#calls.send(request)).text!) as { keys: Array<[string, number, number | null, number]>, cursor?: string }
    return {
      keys: page.keys.map(([key, version, expiresIn, bytes]) => ({ key, version, bytes, expiresAt: moment(expiresIn ?? undefined) })),
      cursor: page.cursor
    }
  }

  /** How many keys have a value. */
  async size (wait?: WaitOptions): Promise<number> {
    return (await this.#calls.call('size', '', wait)).number!
  }

  /** As `store.collections` describes it; undefined if it has neither keys nor locks nor options nor a recent past. */
  async stats (wait?: WaitOptions): Promise<CollectionStats | undefined> {
    const { text } = await this.#calls.call('collections', '1', wait)
    return (JSON.parse(text!) as RawCollectionPage).collections.map(collectionOf)[0]
  }

  /**
   * Deletes all keys, or those that begin with `prefix`: free ones at once, a locked one when its turn comes. What is written after
   * the call was made stays. With `timeout: 0` locked keys stay, and it rejects with STORE_LOCKED when the free ones are gone; if it
   * fails for another reason, or its process ends, those that are still locked stay.
   */
  async clear (options: PrefixOptions = {}): Promise<void> {
    checkOptions(options, KNOWN.prefix)
    const { prefix = '', ...wait } = options
    await this.#calls.call('clear', prefix, wait)
  }

  /** Changes the options that are given, for all processes. STORE_OPTION_INVALID. */
  async configure (options: CollectionOptions, wait?: WaitOptions): Promise<void> {
    const request = this.#calls.request('configure', '', wait)
    request.text = JSON.stringify(boundsOf(options))
    await this.#calls.send(request)
  }

  async * #pages (options: PrefixOptions): AsyncGenerator<string[], void, undefined> {
    checkOptions(options, KNOWN.prefix)
    const { prefix = '', ...wait } = options
    let cursor: string | undefined
    do {
      const page: KeyPage = await this.page({ prefix, cursor, limit: PAGE }, wait)
      yield page.keys.map(({ key }) => key)
      cursor = page.cursor
    } while (cursor !== undefined)
  }

  async #update (
    key: string, fn: (value: T | undefined, lock: KeyLock<T>) => T | undefined | Promise<T | undefined>, options: UpdateOptions, registry: LockRegistry | undefined
  ): Promise<T | undefined> {
    const { ttl } = options
    if (ttl !== undefined) milliseconds(ttl, 'ttl', MIN_SECONDS)
    const lock = await this.#calls.acquire<T>(this.#codec, key, options, KNOWN.update, registry)
    let value: T | undefined
    try {
      value = await runUpdate(lock, () => fn(lock.get(), lock))
      if (value !== undefined) lock.set(value, { ttl })
    } catch (error) {
      if (lock.held) await lock.release({ discard: true, confirm: false })
      throw error
    }
    if (!lock.isReleased) await lock.release()
    return value === undefined ? lock.get() : value
  }

  /** Not asynchronous where it can be helped: see CollectionCalls.write. */
  #set (key: string, value: T | undefined, options: SetOptions): Promise<Reply | undefined> {
    const request = this.#calls.request('set', key, options, KNOWN.set)
    return this.#calls.write(withValue(request, this.#codec.encode(value, this.#calls.engine.maxValueBytes), options), options)
  }
}

function moment (expiresIn: number | undefined): Date | undefined {
  return expiresIn === undefined ? undefined : new Date(Date.now() + expiresIn)
}
