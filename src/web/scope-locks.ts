// The locks that one request holds.
import type { LockRegistry, OwnedLock } from '../api/key-lock.js'
import type { Engine, Request } from '../core/engine.js'

export class ScopeLocks implements LockRegistry, Iterable<OwnedLock> {
  /** By key: those of one key are of different collections. */
  readonly #locks = new Map<string, OwnedLock[]>()
  readonly #onadd: (() => void) | undefined

  /** `onadd` is called for each lock that is taken. */
  constructor (onadd?: () => void) {
    this.#onadd = onadd
  }

  get size (): number {
    return this.#locks.size
  }

  add (lock: OwnedLock): void {
    this.#locks.set(lock.key, [...this.#locks.get(lock.key) ?? [], lock])
    this.#onadd?.()
  }

  delete (lock: OwnedLock): void {
    const others = this.#locks.get(lock.key)?.filter(other => other !== lock) ?? []
    if (others.length > 0) this.#locks.set(lock.key, others)
    else this.#locks.delete(lock.key)
  }

  inWayOf (engine: Engine, request: Request): OwnedLock | undefined {
    const locks = request.op === 'clear' ? Array.from(this) : this.#locks.get(request.key)
    return locks?.find(lock => lock.isInWayOf(engine, request))
  }

  /** In the order in which their keys were locked. */
  * [Symbol.iterator] (): Generator<OwnedLock> {
    for (const locks of this.#locks.values()) yield * locks
  }
}
