// The part of a store that belongs to one HTTP request: its waits and its locks.
//
//   the answer is ready     changes are committed before its head is written; dropped where its status is 500 or above
//   the response is closed, sent to its end         the locks that are left are released; detached ones stay
//   the response is closed, its client has gone     waits are given up, lock.signal aborts; the locks stay until the handler has ended,
//                                                   for MAX_GRACE_MS at most, then their changes are dropped
import type { ServerResponse } from 'node:http'
import type { Scope } from '../api/collection-calls.js'
import type { OwnedLock } from '../api/key-lock.js'
import type { Store } from '../api/store.js'
import type { Abortable } from '../core/engine.js'
import { Timer } from '../core/timer.js'
import { commitFirst, type Uncommitted } from './commit-first.js'
import { ScopeLocks } from './scope-locks.js'
import { isClosed, isWhole, onClose } from './transport.js'

/** How long a handler may go on under its locks after its client has gone. */
const MAX_GRACE_MS = 30_000

const SCOPE = Symbol('strong-store.scope') // a property costs a request less than a WeakMap

export class RequestScope implements Scope, Uncommitted {
  aborted = false
  /** In the turn in which its client went: what settles in it has waited for the response. */
  isClosing = false
  readonly locks = new ScopeLocks(() => { this.#watch() })
  readonly updates = new ScopeLocks()
  /** Called once, when the first lock is held. */
  onlock: (() => void) | undefined
  refuse: Uncommitted['refuse']
  readonly #waits = new Set<Abortable>()
  readonly #response: ServerResponse
  #grace: Timer | undefined
  #isWatching = false
  #isHandled = false

  /** The scope of a response, one for all who ask. */
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

  get hasChanges (): boolean {
    return this.locks.size > 0 && this.#changed().length > 0
  }

  /** Commits what was changed, lock by lock. Where one is refused the changes of those after it are dropped, and it rejects. */
  async commit (): Promise<void> {
    try {
      for (const lock of this.#changed()) await lock.release()
    } catch (error) {
      this.drop()
      throw error
    }
  }

  /** Ends the locks under which something was changed, without the changes. */
  drop (): void {
    for (const lock of this.#changed()) release(lock, true)
  }

  /** The handler has ended: it has answered, or has settled without an answer. */
  handled (): void {
    this.#isHandled = true
    if (this.aborted) this.#end(false)
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
    for (const wait of this.#waits) wait.abort()
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
      // A detached lock is its client's own from now on, if the client has got to know of it.
      if (!isSuccess || !lock.isDetached) release(lock, !isSuccess)
    }
  }
}

/** The same store for the time of a response. */
export function storeForResponse (store: Store, response: ServerResponse): Store {
  return store.within(RequestScope.of(response))
}

/** Calls `fn` when all that follows from the current event without waiting for another has run. */
function afterMicrotasks (fn: () => void): void {
  process.nextTick(() => { queueMicrotask(() => { process.nextTick(fn) }) })
}

function release (lock: OwnedLock, discard: boolean): void {
  lock.release({ discard, confirm: false }).catch(() => {})
}
