// A collection as its users hold it: check, turn into text, ask the engine, turn back.
import { SHORTEST, checkCollection, checkKey, checkName, milliseconds, onlyKnown, wholeNumber } from './checks.js'
import { Request, type Engine, type GiveUp, type Op, type Reply } from './engine.js'
import { StoreError } from './errors.js'
import { KeyLock, type Holder } from './key-lock.js'
import { decode, encode } from './value.js'

export interface WaitOptions {
  /** Gives the call up: STORE_ABORTED. A write that was on its way may still be made. */
  signal?: AbortSignal | undefined
  /** Seconds until the call fails with STORE_TIMEOUT; 0: fail with STORE_LOCKED where it would have to wait for a lock. Default: none. */
  timeout?: number | undefined
}

export interface SetOptions extends WaitOptions {
  /** Seconds after which the key ends, reads or not, from 0.001 on. Default: it ends by `expireKeys` alone. */
  ttl?: number | undefined
  /** Write only if the key has this version, else STORE_VERSION_MISMATCH. 0 stands for "has no value". */
  ifVersion?: number | undefined
  /** Write only if the key has no value, else STORE_EXISTS. */
  ifAbsent?: boolean | undefined
  /** False: resolve at once with 0, ask for no confirmation and ignore errors. Order is kept. Default true. */
  confirm?: boolean | undefined
}

export type DelOptions = Pick<SetOptions, 'signal' | 'timeout' | 'ifVersion' | 'confirm'>

export interface TtlOptions extends WaitOptions {
  /** Seconds after which the key ends, from 0.001 on. */
  ttl?: number | undefined
}

export interface AcquireOptions extends WaitOptions {
  /**
   * Seconds, from 0.001 on, after which the lock is taken from a holder that has neither released nor renewed it.
   * Default: none, it ends with the holder's process at the latest.
   */
  lease?: number | undefined
  /** Who holds it, for people who look; at most 1024 bytes. Default: the process id. */
  owner?: string | undefined
}

export interface CollectionOptions {
  /** Seconds without a read or an update after which a key goes; 0: never. Default 0. */
  expireKeys?: number | undefined
  /** Keys the collection may have; 0: no bound. Default 0. */
  maxKeys?: number | undefined
  /** Bytes that names and values (JSON text) together may have; 0: no bound. Default 0. */
  maxBytes?: number | undefined
  /** What happens at a bound. True: the least recently used unlocked keys go. False: STORE_FULL. Default true. */
  evict?: boolean | undefined
}

export interface Entry<T> {
  value: T
  /** Grows with every change of the key and never repeats for it, also after a delete. */
  version: number
  /** When the key ends if it is not used before; undefined if it stays. */
  expiresAt: Date | undefined
}

/** What a request's end takes with it: its waits and its locks. */
export interface Scope extends GiveUp {
  readonly locks: Holder
}

const PAGE = 500
const BOUNDS = ['expireKeys', 'maxKeys', 'maxBytes', 'evict'] as const

/**
 * Keys and values that all processes share. Values are whatever JSON can hold; each read gives a copy of its own.
 *
 * Every method can reject with STORE_KEY_INVALID, STORE_OPTION_INVALID, STORE_TIMEOUT, STORE_LOCKED, STORE_ABORTED,
 * STORE_QUEUE_FULL, STORE_OVERLOADED, STORE_DISCONNECTED, STORE_UNREACHABLE and STORE_CLOSED; what else, stands beside it.
 * While a key is locked, calls on it wait for their turn.
 */
export class Collection<T = unknown> {
  readonly name: string
  readonly #engine: Engine
  readonly #scope: Scope | undefined

  /** Made by a Store. */
  constructor (engine: Engine, name: string, scope?: Scope) {
    checkCollection(name)
    this.#engine = engine
    this.name = name
    this.#scope = scope
  }

  /** The value, or undefined if there is none. */
  async get (key: string, wait?: WaitOptions): Promise<T | undefined> {
    const { text } = await this.#call('get', key, wait)
    return decode(text) as T | undefined
  }

  /** The value with its version and its end, or undefined if there is none. */
  async entry (key: string, wait?: WaitOptions): Promise<Entry<T> | undefined> {
    const { text, version, expiresIn } = await this.#call('entry', key, wait)
    if (text === undefined) return undefined
    return { value: decode(text) as T, version: version!, expiresAt: moment(expiresIn) }
  }

  /** Whether the key has a value. Counts as a read. */
  async has (key: string, wait?: WaitOptions): Promise<boolean> {
    return (await this.#call('head', key, wait)).version !== undefined
  }

  /**
   * Writes, and resolves with the new version. `undefined` deletes, and resolves with 0.
   * STORE_VALUE_INVALID, STORE_VALUE_TOO_LARGE, STORE_VERSION_MISMATCH, STORE_EXISTS, STORE_FULL.
   */
  async set (key: string, value?: T, options: SetOptions = {}): Promise<number> {
    if (value === undefined && options.ifAbsent !== true) {
      await this.del(key, options)
      return 0
    }
    const request = this.#request('set', key, options)
    request.text = encode(value, this.#engine.maxValueBytes)
    if (options.ttl !== undefined) request.ttl = milliseconds(options.ttl, 'ttl', SHORTEST)
    request.ifAbsent = options.ifAbsent === true
    return (await this.#write(request, options))?.version ?? 0
  }

  /** Deletes; true if there was a value (or if not asked, with `confirm: false`). STORE_VERSION_MISMATCH. */
  async del (key: string, options: DelOptions = {}): Promise<boolean> {
    const reply = await this.#write(this.#request('del', key, options), options)
    return reply?.number !== 0
  }

  /** Counts as a use of the key, and sets its end where `ttl` is given. False if there is no value. */
  async touch (key: string, options: TtlOptions = {}): Promise<boolean> {
    const request = this.#request('touch', key, options)
    if (options.ttl !== undefined) request.ttl = milliseconds(options.ttl, 'ttl', SHORTEST)
    return (await this.#engine.call(request)).number === 1
  }

  /**
   * Adds to a number, 0 if there is none, and resolves with the sum. `ttl` counts only for the call that creates the
   * key, so that a counter's window is fixed at its first hit. STORE_NOT_A_NUMBER, STORE_FULL.
   */
  async increment (key: string, by = 1, options: TtlOptions = {}): Promise<number> {
    if (!Number.isFinite(by)) throw new StoreError('STORE_OPTION_INVALID', `by must be a finite number, got ${String(by)}`)
    const request = this.#request('increment', key, options)
    request.number = by
    if (options.ttl !== undefined) request.ttl = milliseconds(options.ttl, 'ttl', SHORTEST)
    return (await this.#engine.call(request)).number!
  }

  /**
   * Sets the key to what `fn` makes of its value, while the key is locked for it; `fn` may be asynchronous. Resolves with
   * the new value; `undefined` deletes. If `fn` throws nothing is changed. Rejects as `acquire` and `set` do.
   */
  async update (key: string, fn: (value: T | undefined) => T | undefined | Promise<T | undefined>, options?: AcquireOptions): Promise<T | undefined> {
    const lock = await this.acquire(key, options)
    try {
      const value = await fn(lock.get())
      lock.set(value)
      await lock.release()
      return value
    } catch (error) {
      if (lock.held) await lock.release({ discard: true })
      throw error
    }
  }

  /** Locks the key for exclusive use, after all who asked before. */
  async acquire (key: string, options: AcquireOptions = {}): Promise<KeyLock<T>> {
    const request = this.#request('acquire', key, options)
    if (options.lease !== undefined) request.lease = milliseconds(options.lease, 'lease', SHORTEST)
    if (options.owner !== undefined) checkName(options.owner, 'STORE_OPTION_INVALID')
    request.owner = options.owner
    const lock = new KeyLock<T>(this.#engine, request, await this.#engine.call(request), this.#scope?.locks)
    if (this.#scope?.given === true) {
      await lock.release({ discard: true, confirm: false })
      throw new StoreError('STORE_ABORTED', 'the request that asked for the lock has ended')
    }
    return lock
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
  async * keys ({ prefix = '', ...wait }: WaitOptions & { prefix?: string | undefined } = {}): AsyncGenerator<string, void, undefined> {
    let cursor: number | undefined = 0
    while (cursor !== undefined) {
      const request: Request = this.#request('scan', prefix, wait)
      request.cursor = cursor
      request.number = PAGE
      const page = decode((await this.#engine.call(request)).text) as { keys: Array<[string]>, cursor?: number }
      for (const [key] of page.keys) yield key
      cursor = page.cursor
    }
  }

  /** How many keys have a value. */
  async size (wait?: WaitOptions): Promise<number> {
    return (await this.#call('size', '', wait)).number!
  }

  /** Deletes all keys: free ones at once, a locked one when its turn comes. */
  async clear (wait?: WaitOptions): Promise<void> {
    await this.#call('clear', '', wait)
  }

  /** Changes the options that are given, for all processes. STORE_OPTION_INVALID. */
  async configure (options: CollectionOptions, wait?: WaitOptions): Promise<void> {
    const request = this.#request('configure', '', wait)
    request.text = JSON.stringify(boundsOf(options))
    await this.#engine.call(request)
  }

  #call (op: Op, key: string, wait?: WaitOptions): Promise<Reply> {
    return this.#engine.call(this.#request(op, key, wait))
  }

  #request (op: Op, key: string, wait?: WaitOptions): Request {
    checkKey(key)
    const request = new Request(op, this.name, key)
    if (wait === undefined && this.#scope === undefined) return request
    const { signal, timeout } = wait ?? {}
    if (timeout === 0) request.nowait = true
    if (signal !== undefined || timeout !== undefined || this.#scope !== undefined) {
      request.wait = {
        timeout: timeout === undefined || timeout === 0 ? undefined : milliseconds(timeout, 'timeout'),
        signal,
        giveUp: this.#scope
      }
    }
    return request
  }

  async #write (request: Request, { ifVersion, confirm }: DelOptions): Promise<Reply | undefined> {
    if (ifVersion !== undefined) request.ifVersion = wholeNumber(ifVersion, 'ifVersion')
    if (confirm !== false) return await this.#engine.call(request)
    this.#engine.post(request)
    return undefined
  }
}

/** The options of a collection as the keyspace keeps them. */
function boundsOf (options: CollectionOptions): object {
  onlyKnown(options, BOUNDS)
  const { expireKeys, maxKeys, maxBytes, evict } = options
  if (evict !== undefined && typeof evict !== 'boolean') throw new StoreError('STORE_OPTION_INVALID', 'evict must be true or false')
  return {
    idle: expireKeys === undefined ? undefined : milliseconds(expireKeys, 'expireKeys'),
    maxKeys: maxKeys === undefined ? undefined : wholeNumber(maxKeys, 'maxKeys'),
    maxBytes: maxBytes === undefined ? undefined : wholeNumber(maxBytes, 'maxBytes'),
    evict
  }
}

function moment (expiresIn: number | undefined): Date | undefined {
  return expiresIn === undefined ? undefined : new Date(Date.now() + expiresIn)
}
