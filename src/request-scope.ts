// The part of a store that belongs to one HTTP request: it ends when the response does, however that ends.
import { finished } from 'node:stream'
import type { ServerResponse } from 'node:http'
import type { Scope } from './collection.js'
import type { Held } from './key-lock.js'
import type { Store } from './store.js'

class RequestScope implements Scope {
  given = false
  readonly locks = new Set<Held>()
  readonly #waits = new Set<() => void>()

  add (listener: () => void): void {
    this.#waits.add(listener)
  }

  delete (listener: () => void): void {
    this.#waits.delete(listener)
  }

  /** Gives up the waits, and releases the locks: with what was changed under them only if the response was a success. */
  end (isSuccess: boolean): void {
    this.given = true
    for (const giveUp of this.#waits) giveUp()
    for (const lock of this.locks) {
      // A detached lock is its client's own from now on, if the client has got to know of it.
      if (!isSuccess || !lock.isDetached) lock.release({ discard: !isSuccess, confirm: false }).catch(() => {})
    }
  }
}

/**
 * The store for the time of a response. Locks that are still held when it ends are released; their changes are committed if
 * the whole response was sent with a status below 500, else dropped. Detached locks stay if it was. Waits are given up when the client has gone.
 */
export function storeForResponse (store: Store, response: ServerResponse): Store {
  const scope = new RequestScope()
  finished(response, error => { scope.end(error == null && response.statusCode < 500) })
  return store.within(scope)
}
