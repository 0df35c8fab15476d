// The callback API of strong-store-cluster (2013), over the promise API.
import { EventEmitter } from 'node:events'
import { answer } from '../core/callback.js'
import { WeakRegistry } from '../core/weak-registry.js'
import type { Collection } from './collection.js'
import { StoreError } from '../core/errors.js'
import type { EventStream } from './event-stream.js'
import type { KeyLock } from './key-lock.js'
import type { CollectionOptions } from './options.js'
import { createStore, type Store } from './store.js'
import type { WatchEvent } from './watch.js'

export type ErrorCallback = (err: StoreError | null) => void
export type ValueCallback<T> = (err: StoreError | null, value?: T) => void
export type LockCallback<T> = (err: StoreError | null, keylock?: CallbackKeyLock<T>, value?: T) => void

let own: Store | undefined

/** The default store. It is kept here because `createStore` may return a new one for each call. */
function defaultStore (): Store {
  if (own?.isClosed === false) return own
  const store = createStore()
  own = store.isShared ? undefined : store
  return store
}

const collections = new WeakRegistry<CallbackCollection<unknown>>()

/** The collection with this name in the default store. Throws STORE_NAME_INVALID. */
export function collection<T = any> (name: string): CallbackCollection<T> {
  return collections.get(name, () => new CallbackCollection(name)) as CallbackCollection<T>
}

/**
 * A collection with callbacks. A call without a callback is not confirmed, and its errors are ignored.
 *
 * Event 'error' (StoreError): an error of the store, as emitted by Store, or of `configure`.
 * Event 'change' (WatchEvent): as from `promises.watch`, while there is a listener.
 */
export class CallbackCollection<T = any> extends EventEmitter<{ error: [StoreError], change: [WatchEvent<T>] }> {
  readonly name: string
  #store: Store | undefined
  #changes: EventStream<WatchEvent<T>> | undefined

  /** Made by `collection(name)`. */
  constructor (name: string) {
    super()
    this.name = name
    defaultStore().collection(name) // throws if the name is invalid
    this.on('newListener' as 'error', (event: unknown) => {
      if (event === 'error') this.#subscribe()
      if (event === 'change' && this.#changes === undefined) this.#watch(this.#changes = this.promises.watch())
    })
    this.on('removeListener' as 'error', (event: unknown) => {
      if (event !== 'change' || this.listenerCount('change') > 0) return
      this.#changes?.return().catch(() => {})
      this.#changes = undefined
    })
  }

  /** The same collection with promises, like `fs.promises`. */
  get promises (): Collection<T> {
    return defaultStore().collection<T>(this.name)
  }

  /** Changes the given options for all processes. Errors are emitted as 'error' events, or else as warnings. */
  configure (options: CollectionOptions = {}): this {
    this.promises.configure(options).catch((error: StoreError) => {
      if (!this.#report(error)) process.emitWarning(error)
    })
    return this
  }

  /** Reads a value; undefined if there is none. */
  get (key: string, callback: ValueCallback<T>): void {
    required(callback)
    answer<T | undefined>(this.promises.get(key), callback)
  }

  /** Writes a value. Leaving it out, or undefined, deletes the key. */
  set (key: string, callback?: ErrorCallback): void
  set (key: string, value: T | undefined, callback?: ErrorCallback): void
  set (key: string, ...rest: Array<T | ErrorCallback | undefined>): void {
    const callback = typeof rest.at(-1) === 'function' ? rest.pop() as ErrorCallback : undefined
    confirm(this.promises.set(key, rest[0] as T | undefined, { confirm: callback !== undefined }), callback)
  }

  /** Deletes a key. */
  del (key: string, callback?: ErrorCallback): void {
    confirm(this.promises.del(key, { confirm: callback !== undefined }), callback)
  }

  /** Locks a key for exclusive use and passes the lock and the value to the callback. */
  acquire (key: string, callback: LockCallback<T>): void {
    required(callback)
    this.promises.acquire(key).then(
      lock => { process.nextTick(callback, null, new CallbackKeyLock(lock), lock.get()) },
      (error: StoreError) => { process.nextTick(callback, error) }
    )
  }

  #subscribe (): void {
    const store = defaultStore()
    if (this.#store === store) return
    this.#store = store
    store.on('error', error => { this.#report(error) })
  }

  #watch (changes: EventStream<WatchEvent<T>>): void {
    const follow = async (): Promise<void> => {
      for (let next; (next = await changes.next()).done !== true;) {
        const { value } = next
        // In a separate tick: an error thrown by a listener is not an error of the watch.
        process.nextTick(() => { if (this.#changes === changes) this.emit('change', value) })
      }
    }
    follow().catch((error: StoreError) => {
      if (this.#changes === changes) this.#changes = undefined
      this.#report(error)
    })
  }

  #report (error: StoreError): boolean {
    return this.listenerCount('error') > 0 && this.emit('error', error)
  }
}

/** A locked key, as passed to the callback of `acquire`. */
export class CallbackKeyLock<T = any> {
  readonly #lock: KeyLock<T>

  constructor (lock: KeyLock<T>) {
    this.#lock = lock
  }

  /** The value, including changes made through this lock. Works after the release, too. */
  get (): T | undefined {
    return this.#lock.get()
  }

  /** Changes the value when the lock is released; `undefined` deletes. Throws after the release. */
  set (value?: T): void {
    this.#lock.set(value)
  }

  /** Deletes the key when the lock is released. Throws after the release. */
  del (): void {
    this.#lock.del()
  }

  /** Commits the changes and releases the lock. Throws STORE_LOCK_RELEASED if called again. */
  release (callback?: ErrorCallback): void {
    if (this.#lock.isReleased) throw new StoreError('STORE_LOCK_RELEASED', JSON.stringify(this.#lock.key))
    confirm(this.#lock.release({ confirm: callback !== undefined }), callback)
  }
}

function confirm (promise: Promise<unknown>, callback: ErrorCallback = () => {}): void {
  promise.then(() => { process.nextTick(callback, null) }, (error: StoreError) => { process.nextTick(callback, error) })
}

function required (callback: unknown): void {
  if (typeof callback !== 'function') throw new StoreError('STORE_OPTION_INVALID', 'a callback is required')
}
