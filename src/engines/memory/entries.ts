// The keys of one collection that have a value: how long they stay, and how many fit.
import type { Bytes } from '../../core/value.js'
import { Budget } from './agenda.js'
import { UNBOUNDED, isOver, type Bounds } from './bounds.js'
import { ClearedPrefixes } from './cleared-prefixes.js'
import type { Context } from './context.js'
import { ENDED, Entry, FREE, LOCKED, TimedEntry } from './entry.js'
import { evictFor } from './eviction.js'
import { Heap } from './heap.js'
import { LinkedList } from './linked-list.js'
import { Table } from './table.js'

/** What the entries are told by, and tell, about the work that is due. */
interface Owner {
  /** There is work at that time. */
  schedule (time: number): void
  /** The last entry has gone. */
  onempty (): void
}

/** Locked keys up to which a clear of everything takes a new table at once. */
const MAX_MOVED = 1000

export class Entries {
  bytes = 0
  expired = 0
  evicted = 0
  // Of the entries that are locked.
  #lockedKeys = 0
  #lockedBytes = 0
  bounds = UNBOUNDED
  #table = new Table<Entry>()
  // What is free, in order of use; keys with a ttl stand apart, as they do not go idle.
  #idle: LinkedList<Entry> | undefined
  #timed: LinkedList<Entry> | undefined
  /** By the end of their ttl, free or locked. */
  #ends: Heap<TimedEntry> | undefined
  #cleared: ClearedPrefixes | undefined
  readonly #context: Context
  readonly #owner: Owner

  constructor (context: Context, owner: Owner) {
    this.#context = context
    this.#owner = owner
  }

  get size (): number {
    return this.#table.size
  }

  configure (bounds: Omit<Bounds, 'goneBefore'>): void {
    this.bounds = { ...bounds, goneBefore: this.#idleSince() }
    this.#owner.schedule(this.#context.clock.now)
  }

  /** The entry of a key that has a value. */
  find (key: string): Entry | undefined {
    const entry = this.#table.get(key)
    if (entry === undefined || !this.#isGone(entry)) return entry
    this.#drop(entry)
    return undefined
  }

  /** Marks an entry as used now. */
  use (entry: Entry): void {
    entry.used = this.#context.clock.now
    if (entry.state === FREE) this.#listOf(entry).refresh(entry)
  }

  /**
   * Writes with the current revision, where the bounds allow. `entry`: what `find` gives. `ttl`: milliseconds; null for none; undefined
   * leaves the time of a key as it is. `isLocked`: keep it from expiry and eviction until `unlock`.
   */
  put (key: string, entry: Entry | undefined, text: Bytes, ttl: number | null | undefined, isLocked: boolean): Entry | undefined {
    if (entry !== undefined) this.use(entry)
    if (!this.#fits(entry, key.length + text.length, isLocked)) return undefined
    const { clock, revision } = this.#context
    if (entry === undefined) {
      entry = new (typeof ttl === 'number' ? TimedEntry : Entry)(key, text, revision, clock.now)
      this.#table.add(entry)
      this.#count(1, entry.bytes)
      if (isLocked) this.#pin(entry)
      else this.#enlist(entry)
    } else {
      const more = text.length - entry.text.length
      if (more !== 0) this.#count(0, more)
      if (entry.state !== FREE) this.#lockedBytes += more
      entry.text = text
      entry.version = revision
    }
    return ttl === undefined ? entry : this.setEnd(entry, ttl)
  }

  /** Sets the time after which the entry ends, or null for none. Gives the entry that is there from now on. */
  setEnd (entry: Entry, ttl: number | null): Entry {
    if (ttl === null) return entry.isTimed() ? this.#replace(entry, Entry) : entry
    const timed = entry.isTimed() ? entry : this.#replace(entry, TimedEntry)
    const end = this.#context.clock.now + Math.ceil(ttl)
    if (timed.slot !== -1) this.#ends!.remove(timed)
    else if (timed.state === ENDED) timed.state = LOCKED
    const ends = this.#ends ??= new Heap()
    ends.add(timed, end)
    if (ends.first === timed) this.#owner.schedule(end + 1)
    return timed
  }

  remove (entry: Entry): void {
    if (entry.state === FREE) this.#listOf(entry).remove(entry)
    else this.#unpin(entry)
    this.#removeEnd(entry)
    this.#table.delete(entry.key)
    this.#count(-1, -entry.bytes)
    if (this.size === 0) this.#owner.onempty()
  }

  /** Keeps an entry from expiry and eviction. */
  lock (entry: Entry): void {
    this.#listOf(entry).remove(entry)
    this.#pin(entry)
  }

  /** Expires the entry of a locked key if its ttl has ended: between two holders. */
  settle (key: string): void {
    const entry = this.#table.get(key)
    if (entry !== undefined && this.#hasEnded(entry)) this.#expire(entry)
  }

  /** The end of `lock`: the idle time starts anew, a ttl that has ended takes effect. */
  unlock (key: string): void {
    const entry = this.#table.get(key)
    if (entry === undefined) return
    if (this.#hasEnded(entry)) {
      this.#expire(entry)
      return
    }
    this.#unpin(entry)
    entry.state = FREE
    entry.used = this.#context.clock.now
    this.#enlist(entry)
    this.#cleared?.spare(key, this.#context.revision)
    if (this.bounds.evict && this.#isOver(0, 0)) this.#owner.schedule(this.#context.clock.now)
  }

  /** Milliseconds that the entry has left if it is not used; undefined if it stays. */
  expiresIn (entry: Entry): number | undefined {
    const { now } = this.#context.clock
    if (entry.isTimed()) return entry.slot === -1 ? 0 : Math.max(0, this.#ends!.timeOf(entry) - now)
    return this.bounds.idle > 0 ? this.bounds.idle - (now - entry.used) : undefined
  }

  /** Entries in an order of their own, from `position` on. */
  page (position: number, limit: number): { values: Entry[], next: number | undefined } {
    const { values, next } = this.#table.page(position, limit)
    return { values: values.filter(entry => !this.#isGone(entry)), next }
  }

  /**
   * Drops what begins with the prefix and is not locked: for all who look at once, from memory in slices. `locked`: the keys that are.
   * Calls back when that is done.
   */
  clear (prefix: string, locked: ReadonlyMap<string, unknown>, ondone: () => void): void {
    if (prefix === '' && locked.size <= MAX_MOVED) {
      this.#reset(locked.keys())
      ondone()
    } else {
      this.#cleared ??= new ClearedPrefixes()
      this.#cleared.add(prefix, this.#context.revision, ondone)
      this.#owner.schedule(this.#context.clock.now)
    }
  }

  /** Calls back when keys that are cleared already are not counted any more. */
  whenCleared (ondone: () => void): void {
    if (this.#cleared === undefined) ondone()
    else this.#cleared.whenDone(ondone)
  }

  get isClearing (): boolean {
    return this.#cleared !== undefined
  }

  /** Removes what is past its time, over lowered bounds or cleared; true if the budget was spent before that was done. */
  run (budget: Budget): boolean {
    while (this.#expireNext()) {
      if (budget.isSpent()) return true
    }
    while (this.bounds.evict && this.#isOver(0, 0) && this.evictNext()) {
      if (budget.isSpent()) return true
    }
    return this.#runCleared(budget)
  }

  /** When the next key goes, if none is used before; Infinity if all stay. */
  get nextEnd (): number {
    const ttl = (this.#ends?.time ?? Infinity) + 1
    const idle = this.#idle?.first
    return idle === undefined || this.bounds.idle === 0 ? ttl : Math.min(ttl, this.#idleEnd(idle))
  }

  #idleEnd (entry: Entry): number {
    return Math.floor(entry.used + this.bounds.idle) + 1
  }

  /** Expires one that is past its time, if there is one. */
  #expireNext (): boolean {
    const ends = this.#ends
    if (ends !== undefined && ends.time < this.#context.clock.now) {
      const entry = ends.first!
      if (entry.state === FREE) this.#expire(entry)
      else {
        this.#removeEnd(entry)
        entry.state = ENDED
      }
      return true
    }
    const entry = this.#idle?.first
    if (entry === undefined || entry.used >= this.#idleSince()) return false
    this.#expire(entry)
    return true
  }

  /** True if there is more to remove. */
  #runCleared (budget: Budget): boolean {
    if (this.#cleared?.run(budget, this.#table, entry => { if (this.#isGone(entry)) this.#drop(entry) })) return true
    this.#cleared = undefined
    return false
  }

  #expire (entry: Entry): void {
    this.remove(entry)
    this.expired++
    this.#context.counters.totals.expired++
  }

  /** Removes one that is gone. */
  #drop (entry: Entry): void {
    if (this.#cleared?.covers(entry)) this.remove(entry)
    else this.#expire(entry)
  }

  #isGone (entry: Entry): boolean {
    if (entry.state !== FREE) return false
    if (this.#cleared?.covers(entry)) return true
    if (entry.isTimed()) return this.#hasEnded(entry)
    return this.bounds !== UNBOUNDED && entry.used < this.#idleSince()
  }

  #hasEnded (entry: Entry): boolean {
    if (!entry.isTimed()) return false
    return entry.state === ENDED || this.#ends!.timeOf(entry) < this.#context.clock.now
  }

  /** A key must have been used since not to be past its idle time. */
  #idleSince (): number {
    const { idle, goneBefore } = this.bounds
    return idle === 0 ? goneBefore : Math.max(goneBefore, this.#context.clock.now - idle)
  }

  /** Makes room for an entry that will have `bytes`, if there can be; `entry` is the one it replaces. */
  #fits (entry: Entry | undefined, bytes: number, isLocked: boolean): boolean {
    const keys = entry === undefined ? 1 : 0
    const more = bytes - (entry?.bytes ?? 0)
    if (!this.#isOver(keys, more)) return true
    // What makes nothing worse is let through where bounds were lowered below what is stored.
    if (keys === 0 && more <= 0) return true
    this.#runCleared(new Budget())
    while (this.#isOver(keys, more) && this.#expireNext()) { /* what is past its time does not count */ }
    if (!this.#isOver(keys, more)) return true
    if (!this.bounds.evict || !this.#canFit(isLocked ? entry : undefined, bytes)) return false
    const isSpared = entry !== undefined && !isLocked
    if (isSpared) this.#listOf(entry).remove(entry)
    if (evictFor(this, keys, more)) this.#owner.schedule(this.#context.clock.now)
    if (isSpared) this.#listOf(entry).append(entry)
    return true
  }

  /** Whether an entry of `bytes` would fit if all went that may go; `locked` is the one it replaces, where that may not. */
  #canFit (locked: Entry | undefined, bytes: number): boolean {
    return !isOver(this.bounds, this.#lockedKeys + (locked === undefined ? 1 : 0), this.#lockedBytes + bytes - (locked?.bytes ?? 0))
  }

  #isOver (keys: number, bytes: number): boolean {
    return isOver(this.bounds, this.size + keys, this.bytes + bytes)
  }

  /** Removes the least recently used of all that are free. */
  evictNext (): boolean {
    const idle = this.#idle?.first
    const timed = this.#timed?.first
    const entry = idle !== undefined && (timed === undefined || idle.used <= timed.used) ? idle : timed
    if (entry === undefined) return false
    if (this.#isGone(entry)) this.#drop(entry)
    else {
      this.remove(entry)
      this.evicted++
      this.#context.counters.totals.evicted++
    }
    return true
  }

  #listOf (entry: Entry): LinkedList<Entry> {
    if (!entry.isTimed()) return (this.#idle ??= new LinkedList())
    return (this.#timed ??= new LinkedList())
  }

  #enlist (entry: Entry): void {
    const list = this.#listOf(entry)
    list.append(entry)
    if (list.first === entry && this.bounds.idle > 0 && list === this.#idle) this.#owner.schedule(this.#idleEnd(entry))
  }

  #pin (entry: Entry): void {
    entry.state = LOCKED
    this.#lockedKeys++
    this.#lockedBytes += entry.bytes
  }

  #unpin (entry: Entry): void {
    this.#lockedKeys--
    this.#lockedBytes -= entry.bytes
  }

  /** Puts an entry of the other kind in the place of one. */
  #replace<E extends Entry> (entry: Entry, Kind: new (key: string, text: Bytes, version: number, used: number) => E): E {
    const replacement = new Kind(entry.key, entry.text, entry.version, entry.used)
    if (entry.state === FREE) {
      this.#listOf(entry).remove(entry)
      this.#enlist(replacement)
    } else replacement.state = LOCKED
    this.#removeEnd(entry)
    this.#table.replace(replacement)
    return replacement
  }

  #removeEnd (entry: Entry): void {
    if (!entry.isTimed() || entry.slot === -1) return
    this.#ends!.remove(entry)
    if (this.#ends!.size === 0) this.#ends = undefined
  }

  /** Takes a new table, with what is locked. */
  #reset (locked: Iterable<string>): void {
    const table = new Table<Entry>()
    const ends = new Heap<TimedEntry>()
    let bytes = 0
    for (const key of locked) {
      const entry = this.#table.get(key)
      if (entry === undefined) continue
      table.add(entry)
      bytes += entry.bytes
      if (entry.isTimed() && entry.slot !== -1) ends.add(entry, this.#ends!.timeOf(entry))
    }
    this.#count(table.size - this.size, bytes - this.bytes)
    this.#table = table
    this.#ends = ends.size === 0 ? undefined : ends
    this.#idle = this.#timed = undefined
    if (table.size === 0) this.#owner.onempty()
  }

  #count (keys: number, bytes: number): void {
    const { totals } = this.#context.counters
    this.bytes += bytes
    totals.keys += keys
    totals.bytes += bytes
  }
}
