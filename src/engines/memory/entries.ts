// The keys of one collection that have a value: how long they stay, and how many fit.
import type { Bytes } from '../../core/value.js'
import { Entry, Recency } from './entry.js'
import { Deadline, type Clock, type Deadlines, type Budget } from './expiry.js'
import { Table } from './table.js'

/** What `configure` sets; 0 stands for no limit. */
export interface Bounds {
  /** Milliseconds without use after which a key goes. */
  idle: number
  maxKeys: number
  maxBytes: number
  /** Make room by dropping the least recently used keys; if not, refuse what does not fit. */
  evict: boolean
}

/** How many keys one write may evict; where bounds were lowered, the sweep does the rest. */
const EVICT_AT_ONCE = 1000

export class Entries {
  readonly #bounds: Bounds = { idle: 0, maxKeys: 0, maxBytes: 0, evict: true }
  /** Keys that were not used since are past the idle time that was, whatever it is now. */
  #goneBefore = 0
  bytes = 0
  expired = 0
  evicted = 0
  /** Of the entries that are locked: no list has them, and nothing makes them go. */
  #pinned = { keys: 0, bytes: 0 }
  #table = new Table<Entry>()
  // Two lists, as keys with a ttl do not go idle: the head of each is the next to go.
  #idle = new Recency()
  #timed = new Recency()
  /** What was cleared and still has deadlines. */
  #cleared: Recency[] = []
  readonly #clock: Clock
  readonly #deadlines: Deadlines

  constructor (clock: Clock, deadlines: Deadlines) {
    this.#clock = clock
    this.#deadlines = deadlines
  }

  get size (): number {
    return this.#table.size
  }

  get bounds (): Readonly<Bounds> {
    return this.#bounds
  }

  configure (changed: Partial<Bounds>): void {
    this.#goneBefore = this.#idleSince()
    Object.assign(this.#bounds, changed)
  }

  /** The entry of a key that has a value and is not past its time. */
  find (key: string): Entry | undefined {
    const entry = this.#table.get(key)
    if (entry === undefined || !this.#isPast(entry)) return entry
    this.expire(entry)
    return undefined
  }

  /** Marks an entry as used now. */
  use (entry: Entry): void {
    entry.used = this.#clock.now
    if (this.#isListed(entry)) this.#list(entry).refresh(entry)
  }

  /**
   * Writes, where the bounds allow. `entry`: what `find` gives. `ttl`: milliseconds; null for none; undefined leaves the time of a
   * key as it is. `locked`: keep it from expiry and eviction until `unlock`.
   */
  put (key: string, entry: Entry | undefined, text: Bytes, version: number, ttl: number | null | undefined, locked: boolean): Entry | undefined {
    if (entry !== undefined) this.use(entry)
    if (!this.#fits(entry, key.length + text.length, locked)) return undefined
    if (entry === undefined) {
      entry = new Entry(key, text, version, this.#clock.now)
      this.#table.add(entry)
      this.bytes += entry.bytes
      if (locked) this.#pin(entry, 1)
      else this.#idle.append(entry)
    } else {
      this.bytes += text.length - entry.text.length
      if (locked) this.#pinned.bytes += text.length - entry.text.length
      entry.text = text
      entry.version = version
    }
    if (ttl !== undefined) this.setEnd(entry, ttl)
    return entry
  }

  /** Sets the time after which the entry ends, or null for none. */
  setEnd (entry: Entry, ttl: number | null): void {
    if (ttl === null && entry.end === undefined) return
    const listed = this.#isListed(entry)
    if (listed) this.#unlist(entry)
    entry.end = ttl === null ? undefined : new EntryEnd(this.#clock.now + Math.ceil(ttl), this, entry)
    if (listed) this.#enlist(entry)
  }

  remove (entry: Entry): void {
    if (this.#isListed(entry)) this.#unlist(entry)
    else this.#pin(entry, -1)
    this.#table.delete(entry.key)
    this.bytes -= entry.bytes
  }

  /** Drops all entries but those of the locked keys. Takes no longer for many; the sweep tidies up behind it. */
  clear (locked: Iterable<string>): void {
    const table = new Table<Entry>()
    this.bytes = this.#pinned.bytes
    for (const key of locked) {
      const entry = this.#table.get(key)
      if (entry !== undefined) table.add(entry)
    }
    this.#table = table
    if (this.#timed.oldest !== undefined) this.#cleared.push(this.#timed)
    this.#idle = new Recency()
    this.#timed = new Recency()
  }

  /** Keeps an entry from expiry and eviction. */
  lock (entry: Entry): void {
    this.#unlist(entry)
    this.#pin(entry, 1)
  }

  /** The end of `lock`: its idle time starts anew; a ttl that has passed meanwhile takes effect. */
  unlock (entry: Entry): void {
    entry.used = this.#clock.now
    this.#pin(entry, -1)
    this.#enlist(entry)
    if (this.#isPast(entry)) this.expire(entry)
  }

  /** Milliseconds that the entry has left if it is not used; undefined if it stays. */
  expiresIn (entry: Entry): number | undefined {
    if (entry.end !== undefined) return Math.max(0, entry.end.at - this.#clock.now)
    return this.#bounds.idle > 0 ? this.#bounds.idle - (this.#clock.now - entry.used) : undefined
  }

  /** Entries in an order of their own, from `position` on. */
  page (position: number, limit: number): { values: Entry[], next: number | undefined } {
    const { values, next } = this.#table.page(position, limit)
    return { values: values.filter(entry => !this.#isPast(entry)), next }
  }

  values (): Iterable<Entry> {
    return this.#table.values()
  }

  /** Removes idle keys, and what is over lowered bounds; true if the slice was over before that was done. */
  sweep (budget: Budget): boolean {
    let entry
    while ((entry = this.#idle.oldest) !== undefined && this.#isPast(entry)) {
      this.expire(entry)
      if (budget.isSpent()) return true
    }
    while (this.#bounds.evict && this.#isOver(0, 0) && this.#evictOne()) {
      if (budget.isSpent()) return true
    }
    for (let cleared; (cleared = this.#cleared.at(-1)) !== undefined; this.#cleared.pop()) {
      while ((entry = cleared.oldest) !== undefined) {
        cleared.remove(entry)
        this.#deadlines.remove(entry.end!)
        if (budget.isSpent()) return true
      }
    }
    return false
  }

  /** Drops an entry that is past its time. */
  expire (entry: Entry): void {
    if (this.#table.get(entry.key) !== entry) return // cleared before
    this.remove(entry)
    this.expired++
  }

  #isPast (entry: Entry): boolean {
    if (!this.#isListed(entry)) return false
    return entry.end === undefined ? entry.used < this.#idleSince() : this.#clock.now > entry.end.at
  }

  /** A key must have been used since not to be past its idle time. */
  #idleSince (): number {
    const { idle } = this.#bounds
    return idle === 0 ? this.#goneBefore : Math.max(this.#goneBefore, this.#clock.now - idle)
  }

  /** Makes room for an entry that will have `bytes`, if there can be; `entry` is the one it replaces. */
  #fits (entry: Entry | undefined, bytes: number, locked: boolean): boolean {
    const { maxKeys, maxBytes, evict } = this.#bounds
    if (maxKeys === 0 && maxBytes === 0) return true
    const keys = entry === undefined ? 1 : 0
    const more = bytes - (entry?.bytes ?? 0)
    if (!this.#isOver(keys, more)) return true
    // What makes nothing worse is let through where bounds were lowered below what is stored.
    if (keys === 0 && more <= 0) return true
    if (!evict || !this.#canFit(locked ? entry : undefined, bytes)) return false
    const spared = entry !== undefined && !locked
    if (spared) this.#unlist(entry)
    for (let i = 0; i < EVICT_AT_ONCE && this.#isOver(keys, more); i++) this.#evictOne()
    if (spared) this.#enlist(entry)
    return true
  }

  /** Whether an entry of `bytes` would fit if all went that may go; `pinned` is the one it replaces, where that may not. */
  #canFit (pinned: Entry | undefined, bytes: number): boolean {
    const { maxKeys, maxBytes } = this.#bounds
    const keys = this.#pinned.keys + (pinned === undefined ? 1 : 0)
    return (maxKeys === 0 || keys <= maxKeys) && (maxBytes === 0 || this.#pinned.bytes + bytes - (pinned?.bytes ?? 0) <= maxBytes)
  }

  #pin (entry: Entry, sign: 1 | -1): void {
    this.#pinned.keys += sign
    this.#pinned.bytes += sign * entry.bytes
  }

  #isOver (keys: number, bytes: number): boolean {
    const { maxKeys, maxBytes } = this.#bounds
    return (maxKeys > 0 && this.size + keys > maxKeys) || (maxBytes > 0 && this.bytes + bytes > maxBytes)
  }

  #evictOne (): boolean {
    const entry = this.#next()
    if (entry === undefined) return false
    const past = this.#isPast(entry)
    this.remove(entry)
    if (past) this.expired++
    else this.evicted++
    return true
  }

  /** The least recently used of all. */
  #next (): Entry | undefined {
    const idle = this.#idle.oldest
    const timed = this.#timed.oldest
    if (idle === undefined || timed === undefined) return idle ?? timed
    return idle.used <= timed.used ? idle : timed
  }

  #list (entry: Entry): Recency {
    return entry.end === undefined ? this.#idle : this.#timed
  }

  #isListed (entry: Entry): boolean {
    return entry.prev !== undefined || this.#list(entry).oldest === entry
  }

  #enlist (entry: Entry): void {
    this.#list(entry).append(entry)
    if (entry.end !== undefined) this.#deadlines.add(entry.end)
  }

  #unlist (entry: Entry): void {
    this.#list(entry).remove(entry)
    if (entry.end !== undefined) this.#deadlines.remove(entry.end)
  }
}

class EntryEnd extends Deadline {
  readonly #entries: Entries
  readonly #entry: Entry

  constructor (at: number, entries: Entries, entry: Entry) {
    super(at)
    this.#entries = entries
    this.#entry = entry
  }

  due (): void {
    this.#entries.expire(this.#entry)
  }
}
