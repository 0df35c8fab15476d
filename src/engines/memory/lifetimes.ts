// Tracks which entry of a collection expires or is evicted next.
import type { Context } from './context.js'
import { UNBOUNDED, type Bounds } from './bounds.js'
import { ENDED, FREE, type Entry } from './entry.js'
import type { EntryPool } from './entry-pool.js'
import { Heap } from './heap.js'
import { append, remove, replace } from './use-list.js'

/**
 * The base class of Entries, which is the base of Collection. A collection is one object with `private` instead of
 * #private methods, since a store may have one collection per user: another object would take 40 bytes, and each class
 * with #private methods 8.
 */
export abstract class Lifetimes {
  bounds = UNBOUNDED
  // The unlocked entries by last use: see use-list.ts. Entries with a ttl have a list of their own, since they do not
  // expire when idle.
  #idle = 0
  #timed = 0
  /** By the end of their ttl, locked or not. */
  #ends: Heap<number> | undefined
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
    if (entry.next === 0) return // locked, or already the most recently used
    this.delist(entry)
    this.append(entry)
  }

  /** Milliseconds until the entry expires if it is not used; undefined if it never does. */
  expiresIn (entry: Entry): number | undefined {
    const { now } = this.context.clock
    if (entry.isTimed) return entry.slot === -1 ? 0 : Math.max(0, this.#ends!.timeOf(entry.id) - now)
    return this.bounds.idle > 0 ? this.bounds.idle - (now - entry.used) : undefined
  }

  /** The clock reading at the end of the ttl; undefined without one. */
  endOf (entry: Entry): number | undefined {
    if (!entry.isTimed) return undefined
    return entry.slot === -1 ? this.context.clock.now - 1 : this.#ends!.timeOf(entry.id)
  }

  /** When the next entry expires if none is used before; Infinity if none does. */
  get nextEnd (): number {
    const ttl = (this.#ends?.time ?? Infinity) + 1
    return this.#idle === 0 || this.bounds.idle === 0 ? ttl : Math.min(ttl, this.idleEnd(this.pool.at(this.#idle)))
  }

  /** Whether an unlocked entry has expired. */
  protected isPast (entry: Entry): boolean {
    if (entry.isTimed) return this.hasEnded(entry)
    return this.bounds !== UNBOUNDED && entry.used < this.idleSince()
  }

  /** Whether the ttl has ended, even if the entry is locked. */
  protected hasEnded (entry: Entry): boolean {
    return entry.isTimed && (entry.state === ENDED || this.#ends!.timeOf(entry.id) < this.context.clock.now)
  }

  /** The next entry whose time has ended. It may be locked. */
  protected nextPast (): Entry | undefined {
    if (this.#ends !== undefined && this.#ends.time < this.context.clock.now) return this.pool.at(this.#ends.first!)
    if (this.#idle === 0 || this.bounds === UNBOUNDED) return undefined
    const entry = this.pool.at(this.#idle)
    return entry.used < this.idleSince() ? entry : undefined
  }

  /** The least recently used unlocked entry. */
  protected leastUsed (): Entry | undefined {
    return this.byUse().next().value ?? undefined
  }

  /** The unlocked entries, the least recently used first. */
  protected * byUse (): Generator<Entry, void> {
    let idle = this.entryAt(this.#idle)
    let timed = this.entryAt(this.#timed)
    for (;;) {
      const isTimed = idle === undefined || (timed !== undefined && timed.used < idle.used)
      const entry = isTimed ? timed : idle
      if (entry === undefined) return
      if (isTimed) timed = this.entryAt(entry.next)
      else idle = this.entryAt(entry.next)
      yield entry
    }
  }

  /** Makes the entry subject to expiry and eviction. */
  protected enlist (entry: Entry): void {
    this.append(entry)
    if (this.#idle === entry.id && this.bounds.idle > 0) this.schedule(this.idleEnd(entry))
  }

  protected delist (entry: Entry): void {
    if (entry.isTimed) this.#timed = remove(this.pool, this.#timed, entry.id)
    else this.#idle = remove(this.pool, this.#idle, entry.id)
  }

  /** The entry must have no end. */
  protected addEnd (entry: Entry, end: number): void {
    const ends = this.#ends ??= new Heap(this.pool)
    ends.add(entry.id, end)
    if (ends.first === entry.id) this.schedule(end + 1)
  }

  /** Marks a locked entry whose ttl has ended. */
  protected markEnded (entry: Entry): void {
    this.removeEnd(entry)
    entry.state = ENDED
  }

  protected removeEnd (entry: Entry): void {
    if (entry.slot === -1) return
    this.#ends!.remove(entry.id)
    if (this.#ends!.isEmpty) this.#ends = undefined
  }

  /** Removes all entries but these, which are locked. */
  protected keepOnly (locked: readonly Entry[]): void {
    const ends = this.#ends
    this.#idle = this.#timed = 0
    this.#ends = undefined
    for (const { id, slot } of locked) {
      if (slot !== -1) (this.#ends ??= new Heap(this.pool)).add(id, ends!.timeOf(id))
    }
  }

  protected get pool (): EntryPool {
    return this.context.entries
  }

  private entryAt (id: number): Entry | undefined {
    return id === 0 ? undefined : this.pool.at(id)
  }

  onmoved (before: number, entry: Entry): void {
    const { id, isTimed, state, slot } = entry
    if (state === FREE && isTimed) this.#timed = replace(this.pool, this.#timed, before, id)
    else if (state === FREE) this.#idle = replace(this.pool, this.#idle, before, id)
    if (slot !== -1) this.#ends!.replace(before, id)
  }

  private append (entry: Entry): void {
    if (entry.isTimed) this.#timed = append(this.pool, this.#timed, entry.id)
    else this.#idle = append(this.pool, this.#idle, entry.id)
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
