// Callers that are gone. What thousands of locks and waits they leave behind is seen to in slices, so that nobody is held up by it.
import type { Budget } from './expiry.js'
import type { Caller, Lock } from './lock.js'

export class Disconnects {
  readonly #callers = new Set<Caller>()
  readonly #end: (lock: Lock) => void

  /** `end`: ends a hold and serves who waits. */
  constructor (end: (lock: Lock) => void) {
    this.#end = end
  }

  add (caller: Caller): void {
    caller.hasLeft = true
    this.#callers.add(caller)
  }

  /** Ends their locks and waits; true if the slice was over before that was done. */
  sweep (budget: Budget): boolean {
    for (const caller of this.#callers) {
      for (const lock of caller.holding) {
        this.#end(lock)
        if (budget.isSpent()) return true
      }
      for (const waiter of caller.waiting.values()) {
        waiter.lock.remove(waiter)
        if (budget.isSpent()) return true
      }
      this.#callers.delete(caller)
    }
    return false
  }
}
