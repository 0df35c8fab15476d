// SessionStores that use the default collection of one store. A process may build its application again, as tests and
// hot reloads do: the new SessionStore takes over. Two applications that both run would share their sessions by
// accident, so the newer one fails as soon as the older one is read after it.
import { StoreError } from '../core/errors.js'
import { shared } from '../core/shared.js'
import type { Store } from '../api/store.js'

interface User {
  /** Grows with each SessionStore. */
  order: number
  isRefused: boolean
}

/** `readLast`: the SessionStore that was read last, of each store. */
const users = shared('session-stores.1', () => ({ count: 0, readLast: new WeakMap<Store, User>() }))

export class DefaultCollection {
  readonly #store: Store
  readonly #user: User = { order: ++users.count, isRefused: false }

  constructor (store: Store) {
    this.#store = store
  }

  /** Called before each read. STORE_OPTION_INVALID. */
  check (): void {
    const last = users.readLast.get(this.#store)
    if (last !== undefined && last.order > this.#user.order) last.isRefused = true
    if (this.#user.isRefused) {
      throw new StoreError('STORE_OPTION_INVALID', 'another SessionStore of this process also uses the default ' +
        "collection: give each a collection of its own, or collection: 'sessions' to share them")
    }
    users.readLast.set(this.#store, this.#user)
  }
}
