// A held key. Changes stay here until the release commits them, once.
import { MIN_SECONDS, milliseconds, onlyKnown } from '../core/validation.js'
import { Request, type Engine, type Reply } from '../core/engine.js'
import { StoreError } from '../core/errors.js'
import type { Codec } from '../core/value.js'

export interface LockSetOptions {
  /** Seconds until the key ends, from the release on: from 0.001 on. Default: none, the key keeps the time it has. */
  ttl?: number | undefined
}

export interface ReleaseOptions {
  /** Release without committing what was set. Default false. */
  discard?: boolean | undefined
  /** False: resolve at once, ask for no confirmation and ignore errors. Default true. */
  confirm?: boolean | undefined
}

const LOCK_SET = ['ttl']
const RELEASE = ['discard', 'confirm']

/** Where a lock is registered while it is held, by whoever sees to its end. */
export interface LockRegistry {
  add (lock: OwnedLock): void
  delete (lock: OwnedLock): void
  /** The lock of these for which the call would wait. */
  inWayOf (engine: Engine, request: Request): OwnedLock | undefined
}

export interface OwnedLock {
  readonly key: string
  /** Whether it outlives what it was taken in. */
  readonly isDetached: boolean
  /** Whether a release would change the value. */
  readonly hasChange: boolean
  release (options?: ReleaseOptions): Promise<void>
  /** The client for which it was taken has gone: its signal aborts, and its change will not be committed. */
  abort (): void
  /** Whether the call would wait for this lock. */
  isInWayOf (engine: Engine, request: Request): boolean
}

/**
 * A key that is locked for its holder alone, from `collection.acquire` or `tryAcquire`.
 * `await using lock = …` releases it at the end of the block, however the block ends.
 */
export class KeyLock<T = unknown> implements OwnedLock {
  readonly key: string
  /** The proof of holding, good for this lock only. Whoever has it can release the lock through the admin API. */
  readonly token: string
  /** Grows with every grant of the whole store. Hand it to what the lock protects, so that it can refuse a late holder. */
  readonly fence: number
  /** The version the value had when it was locked; 0 if there was none. */
  readonly version: number
  /** Whether it ends with its lease alone, as asked for by `detached`. */
  readonly isDetached: boolean
  readonly #engine: Engine
  readonly #codec: Codec
  readonly #collection: string
  readonly #registry: LockRegistry | undefined
  readonly #lease: number | undefined
  #expiresAt: number | undefined
  #state: 'held' | 'released' | 'lost' = 'held'
  #isAborted = false
  #text: string | undefined
  #change: 'set' | 'del' | undefined
  #ttl: number | undefined
  #controller: AbortController | undefined

  /** Made by a Collection. */
  constructor (engine: Engine, codec: Codec, request: Request, reply: Reply, registry: LockRegistry | undefined) {
    this.#engine = engine
    this.#codec = codec
    this.#collection = request.collection
    this.#lease = request.lease
    this.#registry = registry
    this.key = request.key
    this.isDetached = request.detached
    this.token = reply.token!
    this.fence = reply.fence!
    this.version = reply.version ?? 0
    this.#text = reply.text
    this.#setEnd(reply.expiresIn)
    registry?.add(this)
    reply.grant!.onlost = () => { this.#lose() }
    if (reply.grant!.isLost) this.#lose()
  }

  /** The value as the lock found it, or as `set` and `del` have left it; the last of them after the release. A copy of its own each time. */
  get (): T | undefined {
    return this.#text === undefined ? undefined : this.#codec.decode(this.#text) as T
  }

  /**
   * Changes the value here; the release commits it. `undefined` deletes. What is stored is the value as it is now.
   * Throws STORE_LOCK_RELEASED, STORE_LOCK_LOST, STORE_ABORTED, STORE_VALUE_INVALID, STORE_VALUE_TOO_LARGE, STORE_OPTION_INVALID.
   */
  set (value?: T, options: LockSetOptions = {}): void {
    onlyKnown(options, LOCK_SET)
    this.#check()
    if (this.#isAborted) throw this.#error()
    const { ttl } = options
    const life = ttl === undefined ? undefined : milliseconds(ttl, 'ttl', MIN_SECONDS)
    this.#text = value === undefined ? undefined : this.#codec.encode(value, this.#engine.maxValueBytes)
    this.#ttl = life
    this.#change = value === undefined ? 'del' : 'set'
  }

  /** Deletes the key when the lock is released. Throws as `set` does. Gives undefined, for `update(key, (value, lock) => lock.del())`. */
  del (): undefined {
    this.set(undefined)
  }

  /**
   * Commits the change, if there is one, and ends the lock, whatever becomes of the change.
   * Rejects with STORE_LOCK_RELEASED the second time, STORE_LOCK_LOST, STORE_FULL, STORE_DISCONNECTED, STORE_CLOSED; and with STORE_ABORTED
   * where the change was dropped because the client of the request that took the lock has gone.
   */
  async release (options: ReleaseOptions = {}): Promise<void> {
    onlyKnown(options, RELEASE)
    this.#registry?.delete(this)
    this.#check()
    const { discard = false, confirm = true } = options
    const isRefused = this.#isAborted && this.hasChange && !discard
    const request = new Request(discard || isRefused ? 'release' : this.#change ?? 'release', this.#collection, this.key)
    this.#state = 'released'
    request.token = this.token
    request.release = true
    if (request.op === 'set') {
      request.text = this.#text
      request.ttl = this.#ttl
    }
    if (confirm) await this.#engine.call(request)
    else this.#engine.post(request)
    if (isRefused) throw this.#error()
  }

  /**
   * Starts the lease anew: with its own length, or with `lease` seconds. Does nothing for a lock without either.
   * Rejects as `release` does.
   */
  async renew (lease?: number): Promise<void> {
    this.#check()
    const request = new Request('renew', this.#collection, this.key)
    request.token = this.token
    request.lease = lease === undefined ? this.#lease : milliseconds(lease, 'lease', MIN_SECONDS)
    const { expiresIn } = await this.#engine.call(request)
    this.#setEnd(expiresIn)
  }

  /** True until the lock is released or known to be lost. */
  get held (): boolean {
    return this.#state === 'held'
  }

  /** True once `release` was called. */
  get isReleased (): boolean {
    return this.#state === 'released'
  }

  /** When the lease ends; undefined for a lock that ends with this process alone. */
  get expiresAt (): Date | undefined {
    return this.#expiresAt === undefined ? undefined : new Date(this.#expiresAt)
  }

  /** Whether `set` or `del` has made a change that the release commits. */
  get hasChange (): boolean {
    return this.#change !== undefined
  }

  /**
   * Aborts as soon as it is known that the lock was lost, with STORE_LOCK_LOST as its reason; or with STORE_ABORTED when the client of the
   * request that took the lock has gone. In that case the lock is still held, until the handler of the request has ended.
   */
  get signal (): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#state === 'lost' || this.#isAborted) this.#controller.abort(this.#error())
    return this.#controller.signal
  }

  /** For the scope of a request, when its client has gone: see `signal`. */
  abort (): void {
    if (this.#state !== 'held' || this.#isAborted) return
    this.#isAborted = true
    this.#controller?.abort(this.#error())
  }

  /** For Collection: whether a call would wait for this lock. */
  isInWayOf (engine: Engine, { op, collection, key }: Request): boolean {
    return this.held && engine === this.#engine && collection === this.#collection &&
      (op === 'clear' ? this.key.startsWith(key) : this.key === key)
  }

  /** Releases the lock if that was not done. */
  async [Symbol.asyncDispose] (): Promise<void> {
    if (this.#state !== 'released') await this.release()
  }

  #check (): void {
    if (this.#state !== 'held') throw this.#error()
  }

  #error (): StoreError {
    if (this.#state === 'lost') return new StoreError('STORE_LOCK_LOST', JSON.stringify(this.key))
    if (this.#isAborted) return new StoreError('STORE_ABORTED', `the lock of ${JSON.stringify(this.key)} was taken for a client that has gone`)
    return new StoreError('STORE_LOCK_RELEASED', JSON.stringify(this.key))
  }

  #lose (): void {
    if (this.#state !== 'held') return
    this.#state = 'lost' // and stays in the registry: the commit of its change has to fail
    this.#controller?.abort(this.#error())
  }

  #setEnd (expiresIn: number | undefined): void {
    this.#expiresAt = expiresIn === undefined ? undefined : Date.now() + expiresIn
  }
}
