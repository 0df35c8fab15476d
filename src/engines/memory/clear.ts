// A call that deletes all keys of a collection, or those with a prefix. Free keys are gone at once. In the queue of
// each locked key it has its place without standing there: it came after those with an earlier revision. What it
// waits for is deleted when its turn comes.
import { Reply, type Request } from '../../core/engine.js'
import type { Bytes } from '../../core/value.js'
import type { Budget } from './agenda.js'
import type { Caller, Lock, Waiting } from './lock.js'
import { Table } from './table.js'

/** What is cleared. */
export interface Clearable {
  readonly locks: Table<Lock>
  readonly clears: Set<Clear>
  countWaiters (more: number): void
  delete (key: string): boolean
}

/** Clears that are not answered yet, the oldest first. */
export class PendingClears extends Set<Clear> {
  /** Revision of the latest one that was added. */
  latest = 0

  override add (clear: Clear): this {
    this.latest = clear.revision
    return super.add(clear)
  }
}

export class Clear implements Waiting {
  /** That it has found and waits for. */
  readonly #locks = new Table<Lock>()
  /** Where it has got to in looking for them. */
  #unseen: Iterator<Lock> | undefined
  #hasFreeKeys = true
  #hasMetLock = false
  isOver = false

  constructor (
    readonly collection: Clearable,
    readonly request: Request<Bytes>,
    readonly caller: Caller,
    readonly id: number,
    readonly since: number,
    readonly revision: number
  ) {
    this.#unseen = collection.locks.walk()
  }

  /** Whether it is in the queue of a lock. */
  isBehind ({ key, revision }: Lock): boolean {
    return revision < this.revision && key.startsWith(this.request.key)
  }

  /** Looks for locks to wait for; true if the budget was spent before all were seen. */
  look (budget: Budget): boolean {
    for (let next; (next = this.#unseen?.next()) !== undefined && next.done !== true;) {
      if (this.isBehind(next.value)) {
        this.#hasMetLock = true
        if (this.request.nowait) break
        this.#locks.add(next.value)
      }
      if (budget.isSpent()) return true
    }
    this.#unseen = undefined
    this.#settle()
    return false
  }

  /** Its free keys are removed. */
  onremoved (): void {
    this.#hasFreeKeys = false
    this.#settle()
  }

  /** It is its turn, behind a holder or another waiter. */
  pass (lock: Lock): void {
    if (this.caller.hasLeft && this.id !== 0) {
      this.withdraw()
      return
    }
    this.#hasMetLock = true
    if (!this.request.nowait) this.collection.delete(lock.key)
    this.#locks.delete(lock.key)
    this.#settle()
  }

  withdraw (): void {
    if (this.isOver) return
    this.isOver = true
    this.collection.clears.delete(this)
    this.collection.countWaiters(-1)
    this.caller.waiting.delete(this.id)
  }

  #settle (): void {
    if (this.isOver || this.#hasFreeKeys || this.#unseen !== undefined || this.#locks.size > 0) return
    this.withdraw()
    this.caller.answer(this.id, new Reply(this.request.nowait && this.#hasMetLock ? 'STORE_LOCKED' : undefined))
  }
}
