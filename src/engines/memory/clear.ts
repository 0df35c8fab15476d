// A clear of a collection or a prefix. Unlocked keys are deleted immediately. Locked keys are deleted when their lock's
// queue reaches the clear: it does not stand in the queue, its position follows from its revision.
import { Reply, type Request } from '../../core/engine.js'
import type { Bytes } from '../../core/value.js'
import type { Budget } from './agenda.js'
import { REVOKER, type Caller, type Lock, type Waiting } from './lock.js'
import { keyed } from './keyed.js'
import { Table } from './table.js'

/** The parts of a collection that a Clear uses. */
export interface Clearable {
  readonly locks: Table<Lock>
  readonly clears: Set<Clear>
  countWaiters (more: number): void
  delete (key: string): boolean
}

export class Clear implements Waiting {
  /** The locks found so far that it waits for. */
  readonly #locks = new Table<Lock>(keyed)
  /** The position of the search for locks. */
  #unseen: Iterator<Lock> | undefined
  #hasFreeKeys = true
  #hasMetLock = false
  isOver = false
  /** Whether nobody can read copies of the keys any more. */
  isRevoked = true

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

  /** Searches for locks to wait for. True if the budget was spent first. */
  look (budget: Budget): boolean {
    for (let next; (next = this.#unseen?.next()) !== undefined && next.done !== true;) {
      if (this.isBehind(next.value)) {
        if (this.request.nowait && next.value.holder !== REVOKER) {
          this.#hasMetLock = true
          break
        }
        this.#locks.add(next.value)
      }
      if (budget.isSpent()) return true
    }
    this.#unseen = undefined
    this.#settle()
    return false
  }

  /** Called when the unlocked keys are removed. */
  onremoved (): void {
    this.#hasFreeKeys = false
    this.#settle()
  }

  /** Called when nobody can read copies of the keys any more. */
  onrevoked (): void {
    this.isRevoked = true
    this.#settle()
  }

  /** Called when its turn comes in the queue of a lock. */
  pass (lock: Lock): void {
    if (this.caller.hasLeft && this.id !== 0) {
      this.withdraw()
      return
    }
    if (!this.request.nowait || lock.holder === REVOKER) this.collection.delete(lock.key)
    else this.#hasMetLock = true
    this.#locks.delete(lock.key)
    this.#settle()
  }

  /** The lock of REVOKER that it waits for has got another holder. */
  meet (lock: Lock): void {
    if (!this.request.nowait || !this.isBehind(lock)) return
    this.#hasMetLock = true
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
    const isDone = this.isRevoked && !this.#hasFreeKeys && this.#unseen === undefined && this.#locks.size === 0
    if (this.isOver || !isDone) return
    this.withdraw()
    this.caller.answer(this.id, new Reply(this.request.nowait && this.#hasMetLock ? 'STORE_LOCKED' : undefined))
  }
}
