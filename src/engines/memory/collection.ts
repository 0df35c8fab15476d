// One collection of the keyspace: its entries, its locks, its counters. As a task it is what becomes due in it: keys past their
// time, over lowered bounds or cleared, and in the end the collection itself, which is forgotten when it has been empty for a while.
import type { Request } from '../../core/engine.js'
import type { Bytes } from '../../core/value.js'
import { Budget, Task } from './agenda.js'
import { Clear } from './clear.js'
import type { Context } from './context.js'
import type { Entry } from './entry.js'
import { Entries } from './entries.js'
import type { Caller, Lock } from './lock.js'

/** How long a collection is remembered that has nothing in it: less where there are very many. */
const EMPTY_MS = 10_000
const EMPTY_MS_OF_MANY = 1000
const MANY = 10_000
/** Keys and locks up to which a clear is carried out at once. */
const MAX_AT_ONCE = 1000

const NO_LOCKS = new Map<string, Lock>()
const NO_CLEARS = new Set<Clear>()

/** The table that a collection is in. */
interface Table {
  readonly context: Context
  readonly size: number
  delete (collection: Collection): void
}

export class Collection extends Task {
  override get isUrgent (): boolean { return false }
  readonly entries: Entries
  locks = NO_LOCKS
  /** Those that are not answered yet, the oldest first. */
  clears = NO_CLEARS
  #lastClear = 0
  waiters = 0
  reads = 0
  writes = 0
  /** When it may be forgotten, if it has nothing in it. */
  #forgetAt = 0
  readonly #table: Table

  /** `key`: its name. */
  constructor (readonly key: string, table: Table) {
    super()
    this.#table = table
    this.entries = new Entries(table.context, this)
    this.onempty()
  }

  get name (): string {
    return this.key
  }

  countWaiters (more: number): void {
    this.waiters += more
    this.#table.context.counters.totals.waiters += more
  }

  addLock (lock: Lock): void {
    if (this.locks === NO_LOCKS) this.locks = new Map()
    this.locks.set(lock.key, lock)
    this.#table.context.counters.totals.locks++
  }

  deleteLock (lock: Lock): void {
    this.locks.delete(lock.key)
    this.#table.context.counters.totals.locks--
    if (this.locks.size === 0) this.onempty()
  }

  /** Deletes what is there. */
  delete (key: string): boolean {
    const entry = this.entries.find(key)
    if (entry !== undefined) this.deleteEntry(entry)
    return entry !== undefined
  }

  deleteEntry (entry: Entry): void {
    this.#table.context.revision++
    this.entries.remove(entry)
    this.writes++
    this.#table.context.counters.totals.writes++
  }

  /** Takes effect at once for all free keys, in its turn for each locked one; then it is answered. `request.key` is the prefix. */
  clear (request: Request<Bytes>, caller: Caller, id: number): void {
    const { context } = this.#table
    const clear = new Clear(this, request, caller, id, context.clock.now, ++context.revision)
    this.#lastClear = clear.revision
    if (this.clears === NO_CLEARS) this.clears = new Set()
    this.clears.add(clear)
    this.countWaiters(1)
    this.entries.clear(request.key, this.locks, () => { clear.onremoved() })
    if (this.entries.size + this.locks.size <= MAX_AT_ONCE) this.run(new Budget())
    if (clear.isOver) return
    if (id !== 0) caller.waiting.set(id, clear)
    this.schedule(context.clock.now)
  }

  /** The turn of the clears that came to a locked key before the revision `before`. */
  passClears (lock: Lock, before: number): void {
    if (this.#lastClear <= lock.revision) return
    for (const clear of this.clears) {
      if (clear.revision > before) break
      if (clear.isBehind(lock)) clear.pass(lock)
    }
    lock.revision = Math.min(before, this.#table.context.revision)
  }

  /** Those that wait in the queue of a lock, the oldest first. */
  clearsBehind (lock: Lock): Clear[] {
    return this.#lastClear > lock.revision ? [...this.clears].filter(clear => !clear.request.nowait && clear.isBehind(lock)) : []
  }

  schedule (time: number): void {
    this.#table.context.agenda.schedule(this, time)
  }

  /** It may have nothing in it any more. */
  onempty (): void {
    this.#forgetAt = this.#table.context.clock.now + (this.#table.size < MANY ? EMPTY_MS : EMPTY_MS_OF_MANY)
    this.schedule(this.#forgetAt)
  }

  run (budget: Budget): number | undefined {
    const { now } = this.#table.context.clock
    for (const clear of this.clears) {
      if (clear.look(budget)) return now
    }
    if (this.entries.run(budget)) return now
    if (this.locks.size === 0) this.locks = NO_LOCKS
    if (this.clears.size === 0) this.clears = NO_CLEARS
    if (this.#isDisposable) {
      if (now < this.#forgetAt) return this.#forgetAt
      this.#table.delete(this)
      return undefined
    }
    const { nextEnd } = this.entries
    return nextEnd === Infinity ? undefined : nextEnd
  }

  /** Whether forgetting it loses no more than its counters. */
  get #isDisposable (): boolean {
    const { size, bounds } = this.entries
    return size === 0 && this.locks.size === 0 && bounds.idle + bounds.maxKeys + bounds.maxBytes === 0
  }
}
