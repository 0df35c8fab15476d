// The part of a store that belongs to one HTTP request: it ends when the response does, however that ends.
import type { ServerResponse } from 'node:http'
import type { Scope } from '../api/collection.js'
import type { Abortable } from '../core/engine.js'
import type { OwnedLock } from '../api/key-lock.js'
import type { Store } from '../api/store.js'

class RequestScope implements Scope {
  aborted = false
  readonly locks = new Set<OwnedLock>()
  readonly #waits = new Set<Abortable>()

  add (wait: Abortable): void {
    this.#waits.add(wait)
  }

  delete (wait: Abortable): void {
    this.#waits.delete(wait)
  }

  /** Gives up the waits, and releases the locks: with what was changed under them only if the response was a success. */
  end (isSuccess: boolean): void {
    this.aborted = true
    for (const wait of this.#waits) wait.abort()
    for (const lock of this.locks) {
      // A detached lock is its client's own from now on, if the client has got to know of it.
      if (!isSuccess || !lock.isDetached) lock.release({ discard: !isSuccess, confirm: false }).catch(() => {})
    }
  }
}

/**
 * The store for the time of a response. Locks that are still held when it ends are released; their changes are committed if
 * the whole response was sent with a status below 500, else dropped. Detached locks stay if it was. Waits are aborted up when the client has gone.
 */
export function storeForResponse (store: Store, response: ServerResponse): Store {
  const scope = new RequestScope()
  // 'close' comes after every response, whole or not, and one listener is a tenth of what stream.finished() costs.
  const end = (): void => { scope.end(isWhole(response) && response.statusCode < 500) }
  if (response.closed) process.nextTick(end)
  else response.once('close', end)
  return store.within(scope)
}

/** Whether a response that is closed was sent to its end. What `app.inject` makes is closed before its socket says so, which stays open. */
function isWhole (response: ServerResponse): boolean {
  return response.writableFinished || (response.writableEnded && response.socket?.destroyed === false)
}
