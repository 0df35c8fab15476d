// SessionStores that use the default collection of one store. A process may build its application again, as tests and
// hot reloads do: the new SessionStore takes over. Two applications that both run would share their sessions by
// accident, so the newer one fails as soon as the older one is read after it. Saves of the older one do not count: it
// may be finishing its last requests.
import { StoreError } from '../core/errors.js'
import { shared } from '../core/shared.js'
import type { Store } from '../api/store.js'

interface User {
  /** Grows with each SessionStore. */
  order: number
  isRefused: boolean
}

/** `usedLast`: the SessionStore that was used last, of each store. */
const users = shared('session-stores.2', () => ({ count: 0, usedLast: new WeakMap<Store, User>() }))

export class DefaultCollection {
  readonly #store: Store
  readonly #user: User = { order: ++users.count, isRefused: false }

  constructor (store: Store) {
    this.#store = store
  }

  /** Called before each read, save and touch. Returns STORE_OPTION_INVALID if another SessionStore is in use. */
  errorOf (use: 'read' | 'write'): StoreError | undefined {
    const last = users.usedLast.get(this.#store)
    const isOlder = last !== undefined && last.order > this.#user.order
    if (isOlder && use === 'read') last.isRefused = true
    if (!this.#user.isRefused) {
      if (last !== this.#user && (!isOlder || use === 'read')) users.usedLast.set(this.#store, this.#user)
      return undefined
    }
    return new StoreError('STORE_OPTION_INVALID', 'another SessionStore of this process also uses the default ' +
      "collection: give each a collection of its own, or collection: 'sessions' to share them")
  }
}
