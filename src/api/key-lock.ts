// A locked key. Changes are kept here until the release commits them, all at once.
import { performance } from 'node:perf_hooks'
import { MIN_SECONDS, milliseconds, onlyKnown } from '../core/validation.js'
import { Request, type Engine, type Reply } from '../core/engine.js'
import { StoreError } from '../core/errors.js'
import { Timer } from '../core/timer.js'
import type { Codec } from '../core/value.js'

export interface LockSetOptions {
  /** Seconds from the release until the key expires, at least 0.001. Default: none, the key keeps its expiry. */
  ttl?: number | undefined
}

export interface ReleaseOptions {
  /** Release the lock without committing its changes. Default false. */
  discard?: boolean | undefined
  /** False: resolve immediately, without confirmation and ignoring errors. Default true. */
  confirm?: boolean | undefined
  /** True: resolve when the change is on disk, as in SetOptions. Default: that of the collection. */
  durable?: boolean | undefined
}

const LOCK_SET = ['ttl']
const RELEASE = ['discard', 'confirm', 'durable']

/** Tracks held locks so that their owner can release them: see the scope of a web request. */
export interface LockRegistry {
  add (lock: OwnedLock): void
  delete (lock: OwnedLock): void
  /** The registered lock that the call would wait for, if any. */
  inWayOf (engine: Engine, request: Request): OwnedLock | undefined
}

export interface OwnedLock {
  readonly key: string
  /** Whether it survives its owner. */
  readonly isDetached: boolean
  /** Whether a release would change the value. */
  readonly hasChange: boolean
  release (options?: ReleaseOptions): Promise<void>
  /** Its client has disconnected: the signal aborts, and changes will not be committed. */
  abort (): void
  /** Whether the call would wait for this lock. */
  isInWayOf (engine: Engine, request: Request): boolean
}

/**
 * A key locked for exclusive use, from `collection.acquire` or `tryAcquire`.
 * `await using lock = …` releases it at the end of the block, even if the block throws.
 */
export class KeyLock<T = unknown> implements OwnedLock {
  readonly key: string
  /** Identifies this lock. Anyone who has the token can write under the lock and release it, in any process. */
  readonly token: string
  /** Grows with every lock granted by the store. Pass it to the resource the lock protects, to reject stale holders. */
  readonly fence: number
  /** The version of the value when the key was locked; 0 if it had none. */
  readonly version: number
  /** Whether the lock ends only with its lease, as requested with `detached`. */
  readonly isDetached: boolean
  readonly #engine: Engine
  readonly #codec: Codec
  readonly #collection: string
  readonly #registry: LockRegistry | undefined
  readonly #lease: number | undefined
  #expiresAt: number | undefined
  /** With a lease: when it ends by the monotonic clock, and the timer that reports it even if the store is silent. */
  #end: number | undefined
  #timer: Timer | undefined
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

  /** The value, including changes made through this lock, also after the release. Each call returns its own copy. */
  get (): T | undefined {
    return this.#text === undefined ? undefined : this.#codec.decode(this.#text) as T
  }

  /**
   * Sets the value, which the release commits. `undefined` deletes the key. The value is copied: changing it afterwards
   * has no effect. Throws STORE_LOCK_RELEASED, STORE_LOCK_LOST, STORE_ABORTED, STORE_VALUE_INVALID,
   * STORE_VALUE_TOO_LARGE, STORE_OPTION_INVALID.
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

  /**
   * Deletes the key when the lock is released. Throws like `set`. Returns undefined, so that an updater can be
   * `(value, lock) => lock.del()`.
   */
  del (): undefined {
    this.set(undefined)
  }

  /**
   * Commits the change, if there is one, and releases the lock even if the commit fails.
   * Rejects with STORE_LOCK_RELEASED if called again, with STORE_LOCK_LOST, STORE_FULL, STORE_DISCONNECTED and
   * STORE_CLOSED, and with STORE_ABORTED if the change was dropped because the client of its web request disconnected.
   */
  async release (options: ReleaseOptions = {}): Promise<void> {
    onlyKnown(options, RELEASE)
    this.#registry?.delete(this)
    this.#check()
    const { discard = false, confirm = true, durable = false } = options
    const isRefused = this.#isAborted && this.hasChange && !discard
    const op = discard || isRefused ? 'release' : this.#change ?? 'release'
    const request = new Request(op, this.#collection, this.key)
    this.#state = 'released'
    this.#timer?.stop()
    request.token = this.token
    request.release = true
    request.durable = durable && op !== 'release'
    if (request.op === 'set') {
      request.text = this.#text
      request.ttl = this.#ttl
    }
    if (confirm) await this.#engine.call(request)
    else this.#engine.post(request)
    if (isRefused) throw this.#error()
  }

  /**
   * Renews the lease, for as long as before or for `lease` seconds. Does nothing for a lock without a lease.
   * Rejects like `release`, and with STORE_LOCK_LOST if the lease ended before the store replied.
   */
  async renew (lease?: number): Promise<void> {
    this.#check()
    const request = new Request('renew', this.#collection, this.key)
    request.token = this.token
    request.lease = lease === undefined ? this.#lease : milliseconds(lease, 'lease', MIN_SECONDS)
    const { expiresIn } = await this.#engine.call(request)
    if (this.#state === 'lost') { // the store has renewed a lock that would never be released
      const release = new Request('release', this.#collection, this.key)
      release.token = this.token
      this.#engine.post(release)
      throw this.#error()
    }
    if (this.#state === 'held') this.#setEnd(expiresIn)
  }

  /** Whether the lock is held: neither released nor, as far as this process knows, lost. */
  get held (): boolean {
    this.#checkLease()
    return this.#state === 'held'
  }

  /** Whether `release` was called. */
  get isReleased (): boolean {
    return this.#state === 'released'
  }

  /** When the lease ends, as far as it was renewed through this handle; undefined for a lock without one. */
  get expiresAt (): Date | undefined {
    return this.#expiresAt === undefined ? undefined : new Date(this.#expiresAt)
  }

  /** Whether there is a change for the release to commit. */
  get hasChange (): boolean {
    return this.#change !== undefined
  }

  /**
   * Aborts with STORE_LOCK_LOST as soon as this process knows that the lock was lost: at the latest when its lease
   * expires, even if the store does not reply. Aborts with STORE_ABORTED when the client of its web request has
   * disconnected; the lock is then still held until the handler finishes.
   */
  get signal (): AbortSignal {
    this.#checkLease()
    this.#controller ??= new AbortController()
    if (this.#state === 'lost' || this.#isAborted) this.#controller.abort(this.#error())
    return this.#controller.signal
  }

  /** Called by the scope of a web request whose client has disconnected: see `signal`. */
  abort (): void {
    if (this.#state !== 'held' || this.#isAborted) return
    this.#isAborted = true
    this.#controller?.abort(this.#error())
  }

  /** Whether a call would wait for this lock. */
  isInWayOf (engine: Engine, { op, collection, key }: Request): boolean {
    return this.held && engine === this.#engine && collection === this.#collection &&
      (op === 'clear' ? this.key.startsWith(key) : this.key === key)
  }

  /** Releases the lock unless it was released before. */
  async [Symbol.asyncDispose] (): Promise<void> {
    if (this.#state !== 'released') await this.release()
  }

  #check (): void {
    this.#checkLease()
    if (this.#state !== 'held') throw this.#error()
  }

  #error (): StoreError {
    if (this.#state === 'lost') return new StoreError('STORE_LOCK_LOST', JSON.stringify(this.key))
    if (this.#isAborted) {
      const message = `the client of the web request that holds the lock of ${JSON.stringify(this.key)} has disconnected`
      return new StoreError('STORE_ABORTED', message)
    }
    return new StoreError('STORE_LOCK_RELEASED', JSON.stringify(this.key))
  }

  #lose (): void {
    if (this.#state !== 'held') return
    this.#timer?.stop()
    this.#state = 'lost' // It stays in the registry, where committing its change must fail.
    this.#controller?.abort(this.#error())
  }

  #setEnd (expiresIn: number | undefined): void {
    this.#timer?.stop()
    this.#end = this.#expiresAt = undefined
    if (expiresIn === undefined) return
    this.#expiresAt = Date.now() + expiresIn
    this.#end = performance.now() + expiresIn
    this.#timer ??= new Timer()
    this.#timer.setReferenced(false)
    this.#watchLease()
  }

  #watchLease (): void {
    this.#timer!.start(this.#end! - performance.now(), () => {
      this.#checkLease()
      if (this.#state === 'held') this.#watchLease() // the timer was a little early
    })
  }

  /** Goes by the clock: the timer is late if the event loop was blocked. */
  #checkLease (): void {
    if (this.#end !== undefined && performance.now() >= this.#end) this.#lose()
  }
}
