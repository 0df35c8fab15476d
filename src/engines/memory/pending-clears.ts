// The clears of a collection that have not been answered yet, oldest first.
import type { Clear } from './clear.js'
import type { Lock } from './lock.js'

export class PendingClears extends Set<Clear> {
  /** The revision of the latest clear added. */
  #latest = 0

  override add (clear: Clear): this {
    this.#latest = clear.revision
    return super.add(clear)
  }

  /** Applies the clears that arrived before the revision `before` to a locked key. `now` is the current revision. */
  pass (lock: Lock, before: number, now: number): void {
    if (this.#latest <= lock.revision) return
    for (const clear of this) {
      if (clear.revision > before) break
      if (clear.isBehind(lock)) clear.pass(lock)
    }
    lock.revision = Math.min(before, now)
  }

  /** The clears in the queue of a lock. */
  behind (lock: Lock): Clear[] {
    if (this.#latest <= lock.revision) return []
    return [...this].filter(clear => !clear.request.nowait && clear.isBehind(lock))
  }

  /** The lock has passed from REVOKER to a caller. */
  meet (lock: Lock): void {
    for (const clear of this) clear.meet(lock)
  }
}
