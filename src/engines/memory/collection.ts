// One collection of the keyspace: its entries, locks and counters. As a task, it removes expired and cleared keys and
// those above lowered bounds, and drops the collection once it has been empty for a while.
import type { Request } from '../../core/engine.js'
import type { Bytes } from '../../core/value.js'
import { Budget, type Task } from './agenda.js'
import { BoundedEntries } from './bounded-entries.js'
import { Clear } from './clear.js'
import type { Context } from './context.js'
import type { Entry } from './entry.js'
import { REVOKER, type Caller, type Lock } from './lock.js'
import { PendingClears } from './pending-clears.js'
import { keyed } from './keyed.js'
import { Table } from './table.js'

/** How long an empty collection keeps its counters, in seconds. Less if there are very many. */
const EMPTY_S = 10
const EMPTY_S_OF_MANY = 1
const MANY = 10_000
/** Maximum number of keys and locks that are cleared immediately instead of in slices. */
const MAX_AT_ONCE = 1000

/** How often is looked whether keys can be evicted that had copies. */
export const ROOM_RETRY_MS = 10

const NO_LOCKS = new Table<Lock>(keyed)
const NO_CLEARS = new PendingClears()

/** The table of collections that it is in. */
interface Owner {
  readonly context: Context
  readonly size: number
  delete (collection: Collection): void
}

export class Collection extends BoundedEntries implements Task {
  slot = -1
  locks = NO_LOCKS
  clears = NO_CLEARS
  waiters = 0
  reads = 0
  writes = 0
  /** When it may be dropped if it is empty. In seconds: a number above 2 ** 31 takes 16 more bytes. */
  #forgetAt = 0
  readonly #owner: Owner

  /** `key`: the name of the collection. */
  constructor (readonly key: string, owner: Owner) {
    super(owner.context)
    this.#owner = owner
    this.onempty()
  }

  get isUrgent (): boolean {
    return false
  }

  get name (): string {
    return this.key
  }

  countWaiters (more: number): void {
    this.waiters += more
    this.context.counters.totals.waiters += more
  }

  addLock (lock: Lock): void {
    if (this.locks === NO_LOCKS) this.locks = new Table<Lock>(keyed)
    this.locks.add(lock)
    this.context.counters.totals.locks++
  }

  deleteLock (lock: Lock): void {
    this.locks.delete(lock.key)
    this.context.counters.totals.locks--
    if (this.locks.size === 0) this.onempty()
  }

  /** Deletes a key. */
  delete (key: string): boolean {
    const entry = this.find(key)
    if (entry !== undefined) this.deleteEntry(entry)
    return entry !== undefined
  }

  deleteEntry (entry: Entry): void {
    this.remove(entry, 'del')
    this.writes++
    this.context.counters.totals.writes++
  }

  /** Deletes unlocked keys at once and each locked key in its turn, then replies. `request.key` is the prefix. */
  clear (request: Request<Bytes>, caller: Caller, id: number, hasCopies = false): Clear {
    const { context } = this
    const clear = new Clear(this, request, caller, id, context.clock.now, ++context.revision)
    clear.isRevoked = !hasCopies
    if (this.clears === NO_CLEARS) this.clears = new PendingClears()
    this.clears.add(clear)
    this.countWaiters(1)
    this.clearPrefix(request.key, this.locks, () => { clear.onremoved() })
    if (this.size + this.locks.size <= MAX_AT_ONCE) this.work(new Budget())
    if (clear.isOver) return clear
    if (id !== 0) caller.waiting.set(id, clear)
    this.schedule(context.clock.now)
    return clear
  }

  protected override isRevoking (key: string): boolean {
    return this.locks.get(key)?.holder === REVOKER
  }

  override schedule (time: number): void {
    this.context.agenda.schedule(this, time)
  }

  /** Called when there are no entries left. */
  override onempty (): void {
    const seconds = this.#owner.size < MANY ? EMPTY_S : EMPTY_S_OF_MANY
    this.#forgetAt = Math.ceil(this.context.clock.now / 1000) + seconds
    this.schedule(this.#forgetAt * 1000)
  }

  /** Whether a write would fit if nobody could read copies of the keys that it has to evict. */
  awaitsRoom (key: string, bytes: number, isLocked: boolean): boolean {
    if (!this.bounds.evict || this.bounds.maxKeys + this.bounds.maxBytes === 0) return false
    const entry = this.find(key)
    return !this.fits(entry, bytes, isLocked) && this.canFit(isLocked ? entry : undefined, bytes)
  }

  run (budget: Budget): number | undefined {
    const { now } = this.context.clock
    if (this.work(budget)) return now
    if (this.isDisposable) {
      const forgetAt = this.#forgetAt * 1000
      if (now < forgetAt) return forgetAt
      this.#owner.delete(this)
      return undefined
    }
    const { nextEnd } = this
    const awaitsRoom = this.hasCopies && this.bounds.evict && this.isOver(0, 0)
    if (awaitsRoom) return Math.min(nextEnd, now + ROOM_RETRY_MS)
    return nextEnd === Infinity ? undefined : nextEnd
  }

  /** True if there is more to do now. */
  private work (budget: Budget): boolean {
    for (const clear of this.clears) {
      if (clear.look(budget)) return true
    }
    if (this.removeDue(budget)) return true
    if (this.locks.size === 0) this.locks = NO_LOCKS
    if (this.clears.size === 0) this.clears = NO_CLEARS
    return false
  }

  /** Whether dropping it would lose only its counters. */
  private get isDisposable (): boolean {
    const { size, bounds } = this
    const isUnbounded = bounds.idle + bounds.maxKeys + bounds.maxBytes === 0
    const isDefault = isUnbounded && bounds.keep && !bounds.durable && bounds.near === 0
    return size + this.locks.size + this.clears.size === 0 && isDefault
  }
}
