// Tracks which entry of a collection expires or is evicted next.
import { append, remove } from '../../core/linked-list.js'
import type { Context } from './context.js'
import { UNBOUNDED, type Bounds } from './bounds.js'
import { ENDED, LOCKED, type Entry, type TimedEntry } from './entry.js'
import { Heap } from './heap.js'

/**
 * The base class of Entries, which is the base of Collection. A collection is one object with `private` instead of
 * #private methods, since a store may have one collection per user: another object would take 40 bytes, and each class
 * with #private methods 8.
 */
export abstract class Lifetimes {
  bounds = UNBOUNDED
  // The least recently used unlocked entry: the first of a linked list. Entries with a ttl have a list of their own,
  // since they do not expire when idle.
  #idle: Entry | undefined
  #timed: Entry | undefined
  /** By the end of their ttl, locked or not. */
  #ends: Heap<TimedEntry> | undefined
  protected readonly context: Context

  constructor (context: Context) {
    this.context = context
  }

  /** The name of the collection. */
  abstract readonly name: string

  /** Whether clients may have copies of values: see Copies. */
  get hasCopies (): boolean {
    return this.context.copies.of(this) !== undefined
  }

  /** Schedules the next run. */
  abstract schedule (time: number): void

  configure (bounds: Omit<Bounds, 'goneBefore'>): void {
    this.bounds = { ...bounds, goneBefore: this.idleSince() }
    this.schedule(this.context.clock.now)
  }

  /** Marks an entry as used now. */
  use (entry: Entry): void {
    entry.used = this.context.clock.now
    if (entry.next === undefined) return // locked, or already the most recently used
    if (entry.isTimed()) this.#timed = append(remove(this.#timed!, entry), entry)
    else this.#idle = append(remove(this.#idle!, entry), entry)
  }

  /** Milliseconds until the entry expires if it is not used; undefined if it never does. */
  expiresIn (entry: Entry): number | undefined {
    const { now } = this.context.clock
    if (entry.isTimed()) return entry.slot === -1 ? 0 : Math.max(0, this.#ends!.timeOf(entry) - now)
    return this.bounds.idle > 0 ? this.bounds.idle - (now - entry.used) : undefined
  }

  /** The clock reading at the end of the ttl; undefined without one. */
  endOf (entry: Entry): number | undefined {
    if (!entry.isTimed()) return undefined
    return entry.slot === -1 ? this.context.clock.now - 1 : this.#ends!.timeOf(entry)
  }

  /** When the next entry expires if none is used before; Infinity if none does. */
  get nextEnd (): number {
    const ttl = (this.#ends?.time ?? Infinity) + 1
    const idle = this.#idle
    return idle === undefined || this.bounds.idle === 0 ? ttl : Math.min(ttl, this.idleEnd(idle))
  }

  /** Whether an unlocked entry has expired. */
  protected isPast (entry: Entry): boolean {
    if (entry.isTimed()) return this.hasEnded(entry)
    return this.bounds !== UNBOUNDED && entry.used < this.idleSince()
  }

  /** Whether the ttl has ended, even if the entry is locked. */
  protected hasEnded (entry: Entry): boolean {
    return entry.isTimed() && (entry.state === ENDED || this.#ends!.timeOf(entry) < this.context.clock.now)
  }

  /** The next entry whose time has ended. It may be locked. */
  protected nextPast (): Entry | undefined {
    if (this.#ends !== undefined && this.#ends.time < this.context.clock.now) return this.#ends.first
    const entry = this.#idle
    return entry !== undefined && entry.used < this.idleSince() ? entry : undefined
  }

  /** The least recently used unlocked entry. */
  protected leastUsed (): Entry | undefined {
    const idle = this.#idle
    const timed = this.#timed
    return idle !== undefined && (timed === undefined || idle.used <= timed.used) ? idle : timed
  }

  /** The unlocked entries, the least recently used first. */
  protected * byUse (): Generator<Entry> {
    let idle = this.#idle
    let timed = this.#timed
    for (;;) {
      const isTimed = idle === undefined || (timed !== undefined && timed.used < idle.used)
      const entry = isTimed ? timed : idle
      if (entry === undefined) return
      if (isTimed) timed = entry.next
      else idle = entry.next
      yield entry
    }
  }

  /** Makes the entry subject to expiry and eviction. */
  protected enlist (entry: Entry): void {
    if (entry.isTimed()) {
      this.#timed = append(this.#timed, entry)
      return
    }
    this.#idle = append(this.#idle, entry)
    if (this.#idle === entry && this.bounds.idle > 0) this.schedule(this.idleEnd(entry))
  }

  protected delist (entry: Entry): void {
    if (entry.isTimed()) this.#timed = remove(this.#timed!, entry)
    else this.#idle = remove(this.#idle!, entry)
  }

  protected addEnd (entry: TimedEntry, end: number): void {
    this.removeEnd(entry)
    if (entry.state === ENDED) entry.state = LOCKED
    const ends = this.#ends ??= new Heap()
    ends.add(entry, end)
    if (ends.first === entry) this.schedule(end + 1)
  }

  /** Marks a locked entry whose ttl has ended. */
  protected markEnded (entry: Entry): void {
    this.removeEnd(entry)
    entry.state = ENDED
  }

  protected removeEnd (entry: Entry): void {
    if (!entry.isTimed() || entry.slot === -1) return
    this.#ends!.remove(entry)
    if (this.#ends!.isEmpty) this.#ends = undefined
  }

  /** Removes all entries but these, which are locked. */
  protected keepOnly (locked: readonly Entry[]): void {
    const ends = this.#ends
    this.#idle = this.#timed = this.#ends = undefined
    for (const entry of locked) {
      if (entry.isTimed() && entry.slot !== -1) (this.#ends ??= new Heap()).add(entry, ends!.timeOf(entry))
    }
  }

  private idleEnd (entry: Entry): number {
    return Math.floor(entry.used + this.bounds.idle) + 1
  }

  /** Entries last used before this time have expired. */
  private idleSince (): number {
    const { idle, goneBefore } = this.bounds
    return idle === 0 ? goneBefore : Math.max(goneBefore, this.context.clock.now - idle)
  }
}
