// The waits and locks of one HTTP request, and when they end:
//
//   the response is ready           changes are committed before its head is written, or dropped if it is a 5xx
//   the response was ended          remaining locks are released, except detached ones: a slow client, or an earlier
//                                   response of the connection, may hold up the rest for as long as it likes
//   the client has disconnected     waits are cancelled and lock.signal aborts; locks are kept until the handler has
//                                   finished, for MAX_GRACE_MS at most, and then released without their changes
import type { ServerResponse } from 'node:http'
import type { Scope } from '../api/collection-calls.js'
import type { OwnedLock } from '../api/key-lock.js'
import type { Store } from '../api/store.js'
import type { Abortable } from '../core/engine.js'
import { Timer } from '../core/timer.js'
import { commitFirst, type Uncommitted } from './commit-first.js'
import { ScopeLocks } from './scope-locks.js'
import { isClosed, isWhole, onClose } from './transport.js'

/** How long a handler may keep its locks after its client has disconnected. */
const MAX_GRACE_MS = 30_000

/** Shared by copies of this package. A property is cheaper than a WeakMap. */
const SCOPE = Symbol.for('strong-store.scope.1')

export class RequestScope implements Scope, Uncommitted {
  aborted = false
  /**
   * Set in the tick in which the client disconnects: a handler that settles in that tick has waited for the response.
   */
  isClosing = false
  readonly locks = new ScopeLocks(() => { this.#watch() })
  readonly updates = new ScopeLocks()
  /** Called once, when the request gets its first lock. */
  onlock: (() => void) | undefined
  refuse: Uncommitted['refuse']
  readonly #waits = new Set<Abortable>()
  readonly #response: ServerResponse
  #grace: Timer | undefined
  #isWatching = false
  #isHandled = false

  /** The scope of a response; there is one for each. */
  static of (response: ServerResponse): RequestScope {
    const owner = response as ServerResponse & { [SCOPE]?: RequestScope }
    owner[SCOPE] ??= new RequestScope(response)
    return owner[SCOPE]
  }

  constructor (response: ServerResponse) {
    this.#response = response
    if (isClosed(response)) this.#closed()
    else onClose(response, () => { this.#closed() })
  }

  add (wait: Abortable): void {
    this.#waits.add(wait)
  }

  delete (wait: Abortable): void {
    this.#waits.delete(wait)
  }

  /** Fails the calls that wait with STORE_ABORTED. */
  cancelWaits (): void {
    for (const wait of this.#waits) wait.abort()
  }

  get hasChanges (): boolean {
    return this.locks.size > 0 && this.#changed().length > 0
  }

  /** Commits the changes, lock by lock. If one fails, drops those of the following locks and rejects. */
  async commit (): Promise<void> {
    try {
      for (const lock of this.#changed()) await lock.release()
    } catch (error) {
      this.drop()
      throw error
    }
  }

  /** Releases the locks that have changes, without committing them. */
  drop (): void {
    for (const lock of this.#changed()) release(lock, true)
  }

  /** The handler has finished: it has replied, or has settled without a reply. */
  handled (): void {
    this.#isHandled = true
    if (this.aborted) this.#end(false)
  }

  ended (): void {
    for (const lock of this.locks.list()) if (!lock.isDetached) release(lock, false)
  }

  #all (): OwnedLock[] {
    return [...this.locks.list(), ...this.updates.list()]
  }

  #changed (): OwnedLock[] {
    return this.locks.list().filter(lock => lock.hasChange && !lock.isDetached)
  }

  #watch (): void {
    if (this.#isWatching) return
    this.#isWatching = true
    commitFirst(this.#response, this)
    this.onlock?.()
  }

  #closed (): void {
    if (this.aborted) return
    this.aborted = true
    this.cancelWaits()
    const isSuccess = isWhole(this.#response) && this.#response.statusCode < 500
    if (isSuccess || this.#isHandled) {
      this.#end(isSuccess)
      return
    }
    const locks = this.#all()
    for (const lock of locks) lock.abort()
    if (locks.length === 0) return
    this.isClosing = true
    afterMicrotasks(() => { this.isClosing = false })
    this.#grace = new Timer()
    this.#grace.setReferenced(false)
    this.#grace.start(MAX_GRACE_MS, () => { this.#end(false) })
  }

  #end (isSuccess: boolean): void {
    this.#grace?.stop()
    for (const lock of this.#all()) {
      // A detached lock now belongs to the client, if it has received the response.
      if (!isSuccess || !lock.isDetached) release(lock, !isSuccess)
    }
  }
}

/** The same store, scoped to a response. */
export function storeForResponse (store: Store, response: ServerResponse): Store {
  return store.within(RequestScope.of(response))
}

/** Calls `fn` after all ticks and microtasks that follow from the current event. */
function afterMicrotasks (fn: () => void): void {
  process.nextTick(() => { queueMicrotask(() => { process.nextTick(fn) }) })
}

function release (lock: OwnedLock, discard: boolean): void {
  lock.release({ discard, confirm: false }).catch(() => {})
}
