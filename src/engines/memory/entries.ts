// The entries of one collection, with their expiry.
import type { Bytes } from '../../core/value.js'
import type { Budget } from './agenda.js'
import { UNBOUNDED, isOver } from './bounds.js'
import type { ChangeKind } from './changes.js'
import { ClearedPrefixes } from './cleared-prefixes.js'
import type { Context } from './context.js'
import { ENDED, FREE, LOCKED, type Entry } from './entry.js'
import { Lifetimes } from './lifetimes.js'
import { Table, type Page } from './table.js'

/** With at most this many locked keys, clearing a whole collection replaces its table at once. */
const MAX_MOVED = 1000

/** A write that adds a key removes up to this number of expired ones. */
const REMOVED_PER_KEY = 2

/** Counts of locked entries, for a collection that never had any. */
const NONE_LOCKED = Object.freeze({ keys: 0, bytes: 0 }) as { keys: number, bytes: number }

export abstract class Entries extends Lifetimes {
  bytes = 0
  expired = 0
  evicted = 0
  /** The locked entries. */
  protected locked = NONE_LOCKED
  /** Its number in the pool. */
  owner: number
  #table: Table<number>
  #cleared: ClearedPrefixes | undefined

  constructor (context: Context) {
    super(context)
    this.owner = context.entries.addOwner(this)
    this.#table = new Table(context.entries)
  }

  /** Called when the last entry is removed. */
  abstract onempty (): void

  /** Whether the key is locked only until its copies are revoked. That does not keep it from expiring. */
  protected abstract isRevoking (key: string): boolean

  /** Makes room for an entry of size `bytes`, if possible. `entry` is the one it replaces. */
  protected abstract fits (entry: Entry | undefined, bytes: number, isLocked: boolean): boolean

  get size (): number {
    return this.#table.size
  }

  /** The entry of a key that has a value. */
  find (key: string): Entry | undefined {
    const entry = this.entryOf(key)
    if (entry === undefined) return undefined
    const stays = this.bounds === UNBOUNDED && !entry.isTimed && this.#cleared === undefined // true for most entries
    if (stays || !this.isGone(entry)) return entry
    this.drop(entry)
    return undefined
  }

  /** The stored entry of a key, even if it has expired, but not if it was cleared. */
  stored (key: string): Entry | undefined {
    const entry = this.entryOf(key)
    return entry === undefined || this.isCleared(entry, Infinity) ? undefined : entry
  }

  /** Whether an entry that is still stored has been cleared, at the revision `until` or before. */
  isCleared (entry: Entry, until: number): boolean {
    return entry.state === FREE && this.#cleared?.covers(entry, until) === true
  }

  /**
   * Writes with a new revision, if the bounds and the memory allow. `entry`: the result of `find`. `ttl`: milliseconds;
   * null for none, undefined to keep the current one. `isLocked`: protect the entry from expiry and eviction until
   * `unlock`.
   */
  put (
    key: string, entry: Entry | undefined, text: Bytes, ttl: number | null | undefined, isLocked: boolean
  ): Entry | undefined {
    if (entry !== undefined) this.use(entry)
    else this.removePast()
    if (this.bounds !== UNBOUNDED && !this.fits(entry, key.length + text.length, isLocked)) return undefined
    const held = this.pool.hold(key.length, text)
    if (held === undefined) return undefined
    this.context.revision++ // after the revisions of evicted entries
    this.context.changes?.changing(this, key, 'set', entry)
    const { clock, revision } = this.context
    if (entry === undefined) {
      entry = this.pool.add(this.owner, key, held, revision, clock.now)
      entry.isTimed = typeof ttl === 'number'
      this.insert(entry, isLocked)
    } else {
      const more = text.length - entry.size
      if (more !== 0) this.count(0, more)
      if (entry.state !== FREE) this.locked.bytes += more
      entry.text = held
      entry.version = revision
    }
    if (ttl !== undefined) this.putEnd(entry, ttl)
    return entry
  }

  /** Adds an entry of the pool. Its key must not exist. */
  private insert (entry: Entry, isLocked: boolean): void {
    this.#table.add(entry.id)
    this.count(1, entry.bytes)
    if (isLocked) this.pin(entry)
    else this.enlist(entry)
  }

  /** Sets the remaining time of an entry, or null for no limit. */
  setEnd (entry: Entry, ttl: number | null): void {
    this.context.changes?.changing(this, entry.key, 'touch', entry)
    this.putEnd(entry, ttl)
  }

  private putEnd (entry: Entry, ttl: number | null): void {
    this.removeEnd(entry)
    if (entry.state === ENDED) entry.state = LOCKED
    if (entry.isTimed !== (ttl !== null)) {
      if (entry.state === FREE) this.delist(entry)
      entry.isTimed = ttl !== null
      if (entry.state === FREE) this.enlist(entry)
    }
    if (ttl !== null) this.addEnd(entry, this.context.clock.now + Math.ceil(ttl))
  }

  remove (entry: Entry, kind: ChangeKind): void {
    this.context.revision++
    this.context.changes?.changing(this, entry.key, kind, entry)
    if (entry.state === FREE) this.delist(entry)
    else this.unpin(entry)
    this.removeEnd(entry)
    this.#table.delete(entry.key)
    // The copies of a locked key, if any, are being revoked.
    if (this.hasCopies && kind !== 'cleared' && entry.state === FREE) this.context.copies.forget(this, entry.key)
    this.count(-1, -entry.bytes)
    this.pool.delete(entry)
    if (this.size === 0) this.onempty()
  }

  /** Protects an entry from expiry and eviction. */
  lock (entry: Entry): void {
    this.delist(entry)
    this.pin(entry)
  }

  /** Expires the entry of a locked key if its ttl has ended. Called between two lock owners. */
  settle (key: string): void {
    const entry = this.entryOf(key)
    if (entry !== undefined && this.hasEnded(entry)) this.expire(entry)
  }

  /** Reverts `lock`: the idle time restarts, and an entry whose ttl has ended expires. */
  unlock (key: string): void {
    const entry = this.entryOf(key)
    if (entry === undefined) return
    if (this.hasEnded(entry)) {
      this.expire(entry)
      return
    }
    this.unpin(entry)
    entry.state = FREE
    entry.used = this.context.clock.now
    this.enlist(entry)
    this.#cleared?.spare(key, this.context.revision)
    if (this.bounds !== UNBOUNDED && this.bounds.evict && this.isOver(0, 0)) this.schedule(this.context.clock.now)
  }

  /** Entries from `position` on, in table order; with `isLast`, up to the first for which it returns true. */
  page (position: number, limit: number, isLast?: (entry: Entry) => boolean): Page<Entry> {
    const { values, next } = this.#table.page(position, limit, isLast && (id => isLast(this.pool.at(id))))
    return { values: values.map(id => this.pool.at(id)).filter(entry => !this.isGone(entry)), next }
  }

  /** Deletes unlocked keys with the prefix: immediately for readers, from memory in slices. Then calls back. */
  clearPrefix (prefix: string, locked: { size: number, keys (): Iterable<string> }, ondone: () => void): void {
    const { changes } = this.context
    changes?.clearing(this, prefix, locked.keys())
    if (prefix === '' && locked.size <= MAX_MOVED && changes?.needsKeys(this.name) !== true) {
      this.reset(locked.keys())
      ondone()
    } else {
      this.#cleared ??= new ClearedPrefixes()
      this.#cleared.add(prefix, this.context.revision, ondone)
      this.schedule(this.context.clock.now)
    }
  }

  /** Calls back when cleared keys are no longer counted. */
  whenCleared (ondone: () => void): void {
    if (this.#cleared === undefined) ondone()
    else this.#cleared.whenDone(ondone)
  }

  /** Removes the next expired entry, or marks it if it is locked. False if there is none. */
  protected expireNext (): boolean {
    const entry = this.nextPast()
    if (entry === undefined) return false
    if (entry.state === FREE || this.isRevoking(entry.key)) this.drop(entry)
    else this.markEnded(entry)
    return true
  }

  /** Under load, the sweep alone would remove keys more slowly than they arrive. */
  private removePast (): void {
    for (let left = REMOVED_PER_KEY; left > 0 && this.expireNext(); left--);
  }

  /** True if there is more to remove. */
  protected runCleared (budget: Budget): boolean {
    const remove = (key: string): void => {
      const entry = this.entryOf(key)
      if (entry !== undefined && this.isGone(entry)) this.drop(entry)
    }
    if (this.#cleared?.run(budget, this.#table, remove)) return true
    this.#cleared = undefined
    return false
  }

  private expire (entry: Entry): void {
    this.remove(entry, 'expired')
    this.expired++
    this.context.counters.totals.expired++
  }

  /** Removes an entry that has expired or was cleared. */
  protected drop (entry: Entry): void {
    if (this.isCleared(entry, Infinity)) this.remove(entry, 'cleared')
    else this.expire(entry)
  }

  protected isGone (entry: Entry): boolean {
    if (entry.state !== FREE) return this.hasEnded(entry) && this.isRevoking(entry.key)
    return this.#cleared?.covers(entry) === true || this.isPast(entry)
  }

  protected isOver (keys: number, bytes: number): boolean {
    return isOver(this.bounds, this.size + keys, this.bytes + bytes)
  }

  private pin (entry: Entry): void {
    entry.state = LOCKED
    if (this.locked === NONE_LOCKED) this.locked = { keys: 0, bytes: 0 }
    this.locked.keys++
    this.locked.bytes += entry.bytes
  }

  private unpin (entry: Entry): void {
    this.locked.keys--
    this.locked.bytes -= entry.bytes
  }

  /** Replaces the table by a new one with the locked entries. */
  private reset (locked: Iterable<string>): void {
    const discarded = this.#table
    const kept: Entry[] = []
    for (const key of locked) {
      const entry = this.entryOf(key)
      if (entry !== undefined) kept.push(entry)
    }
    this.#table = new Table(this.pool)
    const former = this.owner
    this.owner = this.pool.addOwner(this)
    for (const entry of kept) {
      entry.owner = this.owner
      discarded.delete(entry.key)
      this.#table.add(entry.id)
    }
    this.keepOnly(kept)
    this.count(-discarded.size, kept.reduce((sum, entry) => sum + entry.bytes, 0) - this.bytes)
    this.pool.discard(former, discarded.walk())
    if (this.size === 0) this.onempty()
  }

  override onmoved (before: number, entry: Entry): void {
    super.onmoved(before, entry)
    this.#table.replace(entry.key, entry.id)
  }

  private entryOf (key: string): Entry | undefined {
    const id = this.#table.get(key)
    return id === undefined ? undefined : this.pool.at(id)
  }

  private count (keys: number, bytes: number): void {
    const { counters, counters: { totals } } = this.context
    this.bytes += bytes
    totals.keys += keys
    totals.bytes += bytes
    if (keys !== 0) counters.nameBytes += keys * this.name.length
  }
}
