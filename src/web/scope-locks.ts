// The locks that one request holds. Most requests hold none, so nothing is allocated before the first.
import type { LockRegistry, OwnedLock } from '../api/key-lock.js'
import type { Engine, Request } from '../core/engine.js'

const NONE: readonly OwnedLock[] = []

export class ScopeLocks implements LockRegistry {
  /** By key, which can be locked in several collections. */
  #locks: Map<string, OwnedLock[]> | undefined
  readonly #onadd: (() => void) | undefined

  /** `onadd` is called for each acquired lock. */
  constructor (onadd?: () => void) {
    this.#onadd = onadd
  }

  get size (): number {
    return this.#locks?.size ?? 0
  }

  add (lock: OwnedLock): void {
    this.#locks ??= new Map()
    this.#locks.set(lock.key, [...this.#locks.get(lock.key) ?? [], lock])
    this.#onadd?.()
  }

  delete (lock: OwnedLock): void {
    const others = this.#locks?.get(lock.key)?.filter(other => other !== lock) ?? []
    if (others.length > 0) this.#locks!.set(lock.key, others)
    else this.#locks?.delete(lock.key)
  }

  inWayOf (engine: Engine, request: Request): OwnedLock | undefined {
    if (this.size === 0) return undefined
    const locks = request.op === 'clear' ? this.list() : this.#locks!.get(request.key)
    return locks?.find(lock => lock.isInWayOf(engine, request))
  }

  /** Sorted by when their keys were first locked. */
  list (): readonly OwnedLock[] {
    return this.size === 0 ? NONE : Array.from(this.#locks!.values()).flat()
  }
}
