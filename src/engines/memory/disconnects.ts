// Cleans up after disconnected callers. Their locks, waits and copies, possibly thousands, are ended in slices.
import type { Context } from './context.js'
import type { Budget, Task } from './agenda.js'
import type { Copy } from './copies.js'
import type { Caller, Lock } from './lock.js'

export class Disconnects implements Task {
  slot = -1
  readonly isUrgent = true
  readonly #context: Context
  readonly #callers = new Set<Caller>()
  readonly #end: (lock: Lock) => void
  readonly #release: (copy: Copy) => void

  /** `end`: ends a lock and serves its waiters. `release`: see Copies. */
  constructor (context: Context, end: (lock: Lock) => void, release: (copy: Copy) => void) {
    this.#context = context
    this.#end = end
    this.#release = release
  }

  add (caller: Caller): void {
    caller.hasLeft = true
    this.#callers.add(caller)
    this.#context.agenda.schedule(this, this.#context.clock.now)
  }

  run (budget: Budget): number | undefined {
    for (const caller of this.#callers) {
      for (let lock; (lock = caller.holding.first) !== undefined;) {
        this.#end(lock)
        if (budget.isSpent()) return this.#context.clock.now
      }
      for (const waiting of caller.waiting.values()) {
        waiting.withdraw()
        if (budget.isSpent()) return this.#context.clock.now
      }
      for (const copy of caller.copies?.values() ?? []) {
        this.#release(copy)
        if (budget.isSpent()) return this.#context.clock.now
      }
      this.#callers.delete(caller)
    }
    return undefined
  }
}
