// How long the entries of one collection stay: which is the next to go, by its ttl, for want of use, or to make room.
import type { Context } from './context.js'
import { UNBOUNDED, type Bounds } from './bounds.js'
import { ENDED, FREE, LOCKED, type Entry, type TimedEntry } from './entry.js'
import { Heap } from './heap.js'
import { LinkedList } from './linked-list.js'

/** What is told of the work that is due. */
export interface Owner {
  /** There is work at that time. */
  schedule (time: number): void
  /** The last entry has gone. */
  onempty (): void
}

/** The base of Entries, and no object of its own, which each collection would pay for. */
export class Lifetimes {
  bounds = UNBOUNDED
  // What is free, in order of use; keys with a ttl stand apart, as they do not go idle.
  #idle: LinkedList<Entry> | undefined
  #timed: LinkedList<Entry> | undefined
  /** By the end of their ttl, free or locked. */
  #ends: Heap<TimedEntry> | undefined
  protected readonly context: Context
  protected readonly owner: Owner

  constructor (context: Context, owner: Owner) {
    this.context = context
    this.owner = owner
  }

  configure (bounds: Omit<Bounds, 'goneBefore'>): void {
    this.bounds = { ...bounds, goneBefore: this.#idleSince() }
    this.owner.schedule(this.context.clock.now)
  }

  /** Marks an entry as used now. */
  use (entry: Entry): void {
    entry.used = this.context.clock.now
    if (entry.state === FREE) this.listOf(entry).refresh(entry)
  }

  /** Milliseconds that the entry has left if it is not used; undefined if it stays. */
  expiresIn (entry: Entry): number | undefined {
    const { now } = this.context.clock
    if (entry.isTimed()) return entry.slot === -1 ? 0 : Math.max(0, this.#ends!.timeOf(entry) - now)
    return this.bounds.idle > 0 ? this.bounds.idle - (now - entry.used) : undefined
  }

  /** When the next key goes, if none is used before; Infinity if all stay. */
  get nextEnd (): number {
    const ttl = (this.#ends?.time ?? Infinity) + 1
    const idle = this.#idle?.first
    return idle === undefined || this.bounds.idle === 0 ? ttl : Math.min(ttl, this.#idleEnd(idle))
  }

  /** Whether its time is over, while its key is not locked. */
  protected isPast (entry: Entry): boolean {
    if (entry.isTimed()) return this.hasEnded(entry)
    return this.bounds !== UNBOUNDED && entry.used < this.#idleSince()
  }

  /** Whether its ttl is over, be it locked or not. */
  protected hasEnded (entry: Entry): boolean {
    return entry.isTimed() && (entry.state === ENDED || this.#ends!.timeOf(entry) < this.context.clock.now)
  }

  /** One that is past its time; it may be locked. */
  protected nextPast (): Entry | undefined {
    if (this.#ends !== undefined && this.#ends.time < this.context.clock.now) return this.#ends.first
    const entry = this.#idle?.first
    return entry !== undefined && entry.used < this.#idleSince() ? entry : undefined
  }

  /** The least recently used of all that are free. */
  protected leastUsed (): Entry | undefined {
    const idle = this.#idle?.first
    const timed = this.#timed?.first
    return idle !== undefined && (timed === undefined || idle.used <= timed.used) ? idle : timed
  }

  protected listOf (entry: Entry): LinkedList<Entry> {
    if (entry.isTimed()) return (this.#timed ??= new LinkedList())
    return (this.#idle ??= new LinkedList())
  }

  /** From now on the entry may go. */
  protected enlist (entry: Entry): void {
    const list = this.listOf(entry)
    list.append(entry)
    if (list.first === entry && this.bounds.idle > 0 && !entry.isTimed()) this.owner.schedule(this.#idleEnd(entry))
  }

  protected addEnd (entry: TimedEntry, end: number): void {
    this.removeEnd(entry)
    if (entry.state === ENDED) entry.state = LOCKED
    const ends = this.#ends ??= new Heap()
    ends.add(entry, end)
    if (ends.first === entry) this.owner.schedule(end + 1)
  }

  /** The ttl of a locked entry is over. */
  protected markEnded (entry: Entry): void {
    this.removeEnd(entry)
    entry.state = ENDED
  }

  protected removeEnd (entry: Entry): void {
    if (!entry.isTimed() || entry.slot === -1) return
    this.#ends!.remove(entry)
    if (this.#ends!.size === 0) this.#ends = undefined
  }

  /** Forgets all but these, which are locked. */
  protected keepOnly (locked: readonly Entry[]): void {
    const ends = this.#ends
    this.#idle = this.#timed = this.#ends = undefined
    for (const entry of locked) {
      if (entry.isTimed() && entry.slot !== -1) (this.#ends ??= new Heap()).add(entry, ends!.timeOf(entry))
    }
  }

  #idleEnd (entry: Entry): number {
    return Math.floor(entry.used + this.bounds.idle) + 1
  }

  /** A key must have been used since not to be past its idle time. */
  #idleSince (): number {
    const { idle, goneBefore } = this.bounds
    return idle === 0 ? goneBefore : Math.max(goneBefore, this.context.clock.now - idle)
  }
}
