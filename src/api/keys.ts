// The calls on single keys of a collection. Each method checks its arguments, encodes the value, calls the engine and
// decodes the reply.
import type { Reply, Series } from '../core/engine.js'
import type { StoreError } from '../core/errors.js'
import { lockOf, type LockQueue, type RawLock } from '../core/stats.js'
import { MIN_SECONDS, checkToken, milliseconds, wholeNumber } from '../core/validation.js'
import type { Codec } from '../core/value.js'
import type { CollectionCalls } from './collection-calls.js'
import type { KeyLock } from './key-lock.js'
import {
  KNOWN, moment, type AcquireOptions, type BreakOptions, type CountOptions, type DecrementOptions, type DelOptions,
  type Entry, type EntryOptions, type GetOrSetOptions, type SetOptions, type TouchOptions, type UpdateOptions,
  type WaitOptions
} from './options.js'
import { NONE, listOf, pairsOf, withCount, withTtl, withValue, withVersion } from './requests.js'
import { getOrSet, update, type Updater } from './update.js'

/** The key of a counter. Where T excludes numbers no key is one, so that counting there is a type error. */
export type CounterKey<T> = number extends T ? string : NotACollectionOfNumbers

/** The name appears in the message of that type error. */
export type NotACollectionOfNumbers = string & { readonly number: never }

export class Keys<T> {
  readonly #calls: CollectionCalls
  readonly #codec: Codec

  /** Made by a Collection. */
  constructor (calls: CollectionCalls, codec: Codec) {
    this.#calls = calls
    this.#codec = codec
  }

  /** The value, or undefined if there is none. */
  get (key: string, wait?: WaitOptions): Promise<T | undefined> { // not async, which would cost a tenth of the call
    return this.#get(key, wait)
  }

  #get (key: string, wait?: WaitOptions, series?: Series): Promise<T | undefined> {
    return this.#calls.call('get', key, wait, series)
      .then(({ text }) => text === undefined ? undefined : this.#codec.decode(text) as T)
  }

  /** The value with its version and expiry, or undefined if there is none. STORE_LOCK_LOST with a `token`. */
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
   * Writes the value and resolves with its new version. `undefined` deletes the key and resolves with 0.
   * STORE_VALUE_INVALID, STORE_VALUE_TOO_LARGE, STORE_VERSION_MISMATCH, STORE_EXISTS, STORE_NOT_FOUND, STORE_FULL.
   */
  async set (key: string, value?: T, options: SetOptions = NONE): Promise<number> {
    if (value === undefined && options.ifAbsent !== true) {
      await this.#calls.write(this.#calls.request('del', key, options, KNOWN.set), options)
      return 0
    }
    return (await this.#set(key, value, options))?.version ?? 0
  }

  /** Like `set` with a value other than undefined; also resolves with whether the key was created. */
  async put (key: string, value: T, options: SetOptions = NONE): Promise<{ version: number, isNew: boolean }> {
    const reply = await this.#set(key, value, options)
    return { version: reply?.version ?? 0, isNew: reply?.number === 1 }
  }

  /** Deletes the key. True if it had a value, or with `confirm: false`. STORE_VERSION_MISMATCH, STORE_NOT_FOUND. */
  async del (key: string, options: DelOptions = NONE): Promise<boolean> {
    const reply = await this.#calls.write(this.#calls.request('del', key, options, KNOWN.del), options)
    return reply?.number !== 0
  }

  /**
   * Restarts the idle time of the key, and sets its `ttl` if one is given. Resolves with false if it has no value.
   * STORE_VERSION_MISMATCH.
   */
  async touch (key: string, options: TouchOptions = NONE): Promise<boolean> {
    const request = withVersion(withTtl(this.#calls.request('touch', key, options, KNOWN.touch), options), options)
    return (await this.#calls.send(request)).number === 1
  }

  /**
   * Adds `by` to a number, starting from 0, and resolves with the sum. `ttl` applies only when the call creates the
   * key, which fixes a counter's window at its first hit, or when the sum exceeds `limit`.
   * STORE_NOT_A_NUMBER, STORE_FULL.
   */
  async increment (key: CounterKey<T>, by = 1, options: CountOptions = NONE): Promise<number> {
    return (await this.count(key, by, options)).value
  }

  /** Like `increment`, but resolves with the version and the expiry as well: for a counter with a ttl, its window's. */
  async count (key: CounterKey<T>, by = 1, options: CountOptions = NONE): Promise<Entry<number>> {
    const request = withCount(this.#calls.request('increment', key, options, KNOWN.count), by, options)
    const { number, version, expiresIn } = await this.#calls.send(request)
    return { value: number!, version: version!, expiresAt: moment(expiresIn) }
  }

  /**
   * Takes back a count: subtracts `by`, but never goes below 0 and never creates a key. The expiry stays as it is.
   * Resolves with the remaining count, 0 if there is no value. STORE_NOT_A_NUMBER.
   */
  async decrement (key: CounterKey<T>, by = 1, options: DecrementOptions = NONE): Promise<number> {
    const request = withCount(this.#calls.request('increment', key, options, KNOWN.decrement), -by, options)
    request.down = true
    return (await this.#calls.send(request)).number!
  }

  /**
   * Locks the key, sets it to what `fn` returns for its value, and resolves with the value it has afterwards. `fn` may
   * be asynchronous. If it returns undefined, the key stays as it is; use `lock.del()` to delete it. If it throws,
   * nothing is changed and `update` rejects with its error. Otherwise it rejects like `acquire` and `set`, and with
   * STORE_LOCK_LOST if a lease expired while `fn` ran.
   */
  update (key: string, fn: Updater<T>, options: UpdateOptions = NONE): Promise<T | undefined> {
    return update<T>(this.#calls, this.#codec, key, fn, options, this.#calls.scope?.updates)
  }

  /**
   * The value, or else the result of `fn`, which is stored. Of all processes that ask for a missing key, one computes
   * it and the others wait for the result. If `fn` throws, its caller gets the error and the next in line computes. In
   * a web request it runs to its end even if the client disconnects, since others wait for it. Rejects like `acquire`
   * and `set`, and with STORE_LOCK_LOST if the `lease` expires before `fn` has finished.
   */
  getOrSet (key: string, fn: () => T | Promise<T>, options: GetOrSetOptions = {}): Promise<T> {
    return getOrSet<T>(this.#calls, this.#codec, key, fn, options, wait => this.get(key, wait))
  }

  /** Locks the key for exclusive use, first come, first served. */
  acquire (key: string, options: AcquireOptions = NONE): Promise<KeyLock<T>> {
    return this.#calls.acquire<T>(this.#codec, key, options, KNOWN.acquire, this.#calls.scope?.locks)
  }

  /** Locks the key if it is free, or else resolves with undefined immediately. */
  async tryAcquire (key: string, options: Omit<AcquireOptions, 'timeout'> = {}): Promise<KeyLock<T> | undefined> {
    try {
      return await this.acquire(key, { ...options, timeout: 0 })
    } catch (error) {
      if ((error as StoreError).code === 'STORE_LOCKED') return undefined
      throw error
    }
  }

  /**
   * Releases a lock by its token, in any process, or cancels a waiting `acquire` that was given this token.
   * STORE_LOCK_LOST.
   */
  async release (key: string, token: string, wait?: WaitOptions): Promise<void> {
    const request = this.#calls.request('release', key, wait)
    request.token = checkToken(token)
    await this.#calls.send(request)
  }

  /**
   * Renews a lease by the token of its lock, for as long as before or for `lease` seconds, and resolves with its new
   * end. STORE_LOCK_LOST.
   */
  async renew (key: string, token: string, lease?: number, wait?: WaitOptions): Promise<Date | undefined> {
    const request = this.#calls.request('renew', key, wait)
    request.token = checkToken(token)
    if (lease !== undefined) request.lease = milliseconds(lease, 'lease', MIN_SECONDS)
    return moment((await this.#calls.send(request)).expiresIn)
  }

  /**
   * Takes the lock of a key away from its holder, which loses it. Resolves with false if the key is not locked, or
   * not with the given `fence`. STORE_OPTION_INVALID.
   */
  async breakLock (key: string, options: BreakOptions = NONE): Promise<boolean> {
    const request = this.#calls.request('break', key, options, KNOWN.break)
    if (options.fence !== undefined) request.number = wholeNumber(options.fence, 'fence')
    return (await this.#calls.send(request)).number === 1
  }

  /** The holder of a key's lock and the calls that wait for it; undefined if the key is not locked. */
  async lockInfo (key: string, wait?: WaitOptions): Promise<LockQueue | undefined> {
    const { text } = await this.#calls.call('lock', key, wait)
    return text === undefined ? undefined : lockOf(JSON.parse(text) as RawLock) as LockQueue
  }

  /** The values of many keys, read one by one but sent together. */
  async getMany (keys: Iterable<string>, wait?: WaitOptions): Promise<Array<T | undefined>> {
    const of = { isSent: false }
    return await Promise.all(Array.from(listOf(keys, 'keys', 'an iterable of names'), key => this.#get(key, wait, of)))
  }

  /** Writes many keys, one by one but sent together, and resolves with their versions. Rejects with the first error. */
  async setMany (entries: Iterable<readonly [string, T | undefined]>, options?: SetOptions): Promise<number[]> {
    return await Promise.all(pairsOf(entries).map(([key, value]) => this.set(key, value, options)))
  }

  /** Not async: see CollectionCalls.write. */
  #set (key: string, value: T | undefined, options: SetOptions): Promise<Reply | undefined> {
    const request = this.#calls.request('set', key, options, KNOWN.set)
    const text = this.#codec.encode(value, this.#calls.engine.maxValueBytes)
    return this.#calls.write(withValue(request, text, options), options)
  }
}
