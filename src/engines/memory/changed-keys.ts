// The keys of a keyspace that have changed, and how their current state gets into the log: as a consistent snapshot of
// one moment, although entries are read in slices. An entry that is about to change before its slice is read first.
import { AddressSet } from './address-set.js'
import { OWNER } from './arena.js'
import type { LogWriter } from './change-log.js'
import type { ChangeKind, Observer } from './changes.js'
import type { Entries } from './entries.js'
import { MAX_SNAPSHOT, type Entry } from './entry.js'
import type { EntryPool, Owner, Tracker } from './entry-pool.js'
import { optionsOf } from './kept-options.js'
import type { Keyspace } from './keyspace.js'
import type { LogFiles } from './log-files.js'
import { LogHead } from './log-head.js'
import { Slices } from './slices.js'

/** Number of keys that are marked at once, of a collection that is saved from now on. */
const PAGE_KEYS = 250
/** The clock is read once per this number of keys. */
const KEYS_PER_LOOK = 64
/**
 * A snapshot of everything is smaller than one with so many deleted keys, besides two for each key of the store. There
 * may be any number while the disk is full.
 */
const MANY_DELETED = 10_000

export class ChangedKeys implements Observer, Tracker {
  readonly #keyspace: Keyspace
  readonly #pool: EntryPool
  readonly #log: LogFiles
  readonly #onfirst: () => void
  /** What has changed since the last snapshot. */
  #head = new LogHead()
  #changed = new AddressSet()
  /** The entries of the current snapshot that have not been read yet. */
  #taking = new AddressSet()
  /** Whether the next snapshot replaces the log, and has all keys. */
  #startsOver = false
  /** Collections whose keys all have to be in the next snapshot. */
  readonly #unmarked = new Set<string>()
  /** The number of the last snapshot, from 1 to MAX_SNAPSHOT, and the revision of the keyspace at its moment. */
  #snapshot = 0
  #begun: number
  /** The collections configured since then: whether the snapshot has their keys. */
  readonly #wereKept = new Map<string, boolean>()
  #writer: LogWriter

  /** Whether there are changes since the last snapshot. */
  isDirty = false

  /** Collections that are not saved. */
  readonly notKept = new Set<string>()

  /** `onfirst` is called for the first change since a snapshot. */
  constructor (keyspace: Keyspace, log: LogFiles, onfirst: () => void) {
    this.#keyspace = keyspace
    this.#pool = keyspace.context.entries
    this.#log = log
    this.#onfirst = onfirst
    this.#writer = log.newWriter()
    this.#begun = keyspace.context.revision
    for (const { name, bounds } of keyspace.collections.all()) if (!bounds.keep) this.notKept.add(name)
    keyspace.context.observe(this)
    this.#pool.tracker = this
  }

  changing ({ name, bounds }: Owner, key: string, kind: ChangeKind, entry: Entry | undefined): void {
    if (entry === undefined) return // see onadded
    // Marked when it got that value. This is what most changes of keys that are written often come to.
    if (kind === 'set' && entry.version > this.#begun) return
    if (this.#taking.delete(entry.id)) this.#take(entry)
    if (!bounds.keep) return
    if (kind === 'set' || kind === 'touch') this.#mark(entry.id)
    else if (kind !== 'cleared') this.#delete(name, key) // otherwise the record of the clear covers it
  }

  onadded (entry: Entry): void {
    if (this.#pool.ownerOf(entry)!.bounds.keep) this.#mark(entry.id)
  }

  onmoved (before: number, id: number): void {
    if (this.#changed.delete(before)) this.#changed.add(id)
    if (this.#taking.delete(before)) this.#taking.add(id)
  }

  ondeleted (id: number): void {
    this.#changed.delete(id)
    this.#taking.delete(id)
  }

  clearing (collection: Owner, prefix: string, locked: Iterable<string>): void {
    if (!collection.bounds.keep) return
    this.#clear(collection.name, prefix)
    // Locked keys stay, so they must be written after the clear.
    for (const key of locked) {
      const entry = key.startsWith(prefix) ? collection.stored(key) : undefined
      if (entry !== undefined) this.#mark(entry.id)
    }
  }

  /** The snapshot has the keys that a clear deletes while it is taken. */
  needsKeys (): boolean {
    return this.#taking.size > 0
  }

  configured (collection: string, wasKept: boolean): void {
    const isKept = this.#keyspace.collection(collection).bounds.keep
    this.#head.configured.add(collection)
    if (wasKept !== isKept && !this.#wereKept.has(collection)) this.#wereKept.set(collection, wasKept)
    if (wasKept && !isKept) this.#clear(collection, '')
    if (isKept) {
      this.notKept.delete(collection)
      if (!wasKept) this.#unmarked.add(collection)
    } else {
      this.notKept.add(collection)
      this.#unmarked.delete(collection)
    }
    this.markDirty()
  }

  /** Makes the next snapshot necessary, even without a changed key. */
  markDirty (): void {
    if (this.isDirty) return
    this.isDirty = true
    this.#onfirst()
  }

  /** Adds all changes to the next write of the log. Calls `onbegin` at the moment of the snapshot. */
  async collect (onbegin: () => void, isHurried: () => boolean): Promise<void> {
    const head = this.#head
    try {
      if (!this.#startsOver) await this.#log.reclaim((...record) => { this.#rewrite(...record) })
      await this.#markAll(isHurried)
      this.#begin()
      onbegin()
      await this.#append(head, new Slices(KEYS_PER_LOOK, isHurried))
    } catch (error) {
      // The content of a chunk that is going to be removed is unknown, or that of the snapshot is lost.
      for (const name of head.configured) this.#head.configured.add(name)
      this.#startOver()
      throw error
    }
  }

  #begin (): void {
    this.#head = new LogHead()
    const done = this.#taking
    this.#taking = this.#changed
    this.#changed = done
    this.#wereKept.clear()
    this.#snapshot = this.#snapshot % MAX_SNAPSHOT + 1
    this.#begun = this.#keyspace.context.revision
    this.#startsOver = false
    this.isDirty = false
  }

  async #append (head: LogHead, slices: Slices): Promise<void> {
    const { context, locks, values: { epoch } } = this.#keyspace
    const meta = { epoch, count: Math.max(context.revision, locks.grants) }
    const bounds = head.boundsOf(this.#keyspace)
    const writer = this.#writer = this.#log.newWriter()
    context.clock.tick()
    for (let ids; (ids = this.#taking.some()).length > 0;) {
      for (const id of this.#byCollection(ids)) {
        if (!this.#taking.delete(id)) continue
        this.#take(this.#pool.at(id))
        if (!slices.isOver()) continue
        await slices.next()
        context.clock.tick()
      }
    }
    const first = this.#log.newWriter()
    await head.write(first, epoch, slices)
    const options = new Map<string, Buffer | undefined>()
    for (const [name, kept] of bounds) {
      options.set(name, optionsOf(name, kept))
      if (slices.isOver()) await slices.next()
    }
    this.#log.append(this.#snapshot, [...first.end(), ...writer.end()], options, meta)
  }

  #mark (id: number): void {
    this.#changed.add(id)
    this.markDirty()
  }

  #delete (collection: string, key: string): void {
    if (!this.#startsOver) this.#head.delete(collection, key)
    this.#boundHead()
  }

  #clear (collection: string, prefix: string): void {
    if (!this.#startsOver) this.#head.clear(collection, prefix, this.#keyspace.context.revision)
    this.#boundHead()
  }

  #boundHead (): void {
    if (this.#head.size > MANY_DELETED + 2 * this.#keyspace.counters.totals.keys) this.#startOver()
    else this.markDirty()
  }

  #startOver (): void {
    this.#startsOver = true
    this.#head.empty()
    this.markDirty()
  }

  /** The log names the collection of a key if it is another one than that of the key before. */
  #byCollection (ids: number[]): number[] {
    return ids.sort((a, b) => this.#pool.word(a, OWNER) - this.#pool.word(b, OWNER))
  }

  /** Writes the state of an entry, unless its key did not exist at the moment of the snapshot, or is not saved. */
  #take (entry: Entry): void {
    const collection = this.#pool.ownerOf(entry)
    if (collection === undefined || collection.isCleared(entry, this.#begun)) return
    const { name, bounds } = collection
    if (!(this.#wereKept.get(name) ?? bounds.keep)) return
    const end = collection.endOf(entry)
    const { clock, values } = this.#keyspace
    const wallEnd = end === undefined ? 0 : Date.now() - clock.now + end
    this.#writer.put(name, entry.borrowedKey, entry.borrowed, values.epoch + entry.version, wallEnd)
    entry.snapshot = this.#snapshot
  }

  /** Marks all keys that have to be in the next snapshot. Those written in the meantime are marked when they change. */
  async #markAll (isHurried: () => boolean): Promise<void> {
    const slices = new Slices(1, isHurried)
    let isWhole = false
    while (this.#unmarked.size > 0 || isWhole !== this.#startsOver) { // may change until its end
      if (isWhole !== this.#startsOver) {
        isWhole = true
        this.#log.reclaimAll()
        for (const { name } of this.#keyspace.collections.all()) {
          this.#unmarked.add(name)
          if (slices.isOver()) await slices.next()
        }
      }
      await this.#markCollections(slices)
    }
  }

  async #markCollections (slices: Slices): Promise<void> {
    for (const collection of this.#unmarked) { // may be configured again, which adds it once more
      this.#unmarked.delete(collection)
      let position: number | undefined = 0
      while (position !== undefined && !this.notKept.has(collection) && !this.#unmarked.has(collection)) {
        const entries = this.#keyspace.collections.find(collection)
        const page: ReturnType<Entries['page']> | undefined = entries?.page(position, PAGE_KEYS)
        for (const { id } of page?.values ?? []) this.#mark(id)
        position = page?.next
        if (slices.isOver()) await slices.next()
      }
    }
  }

  /**
   * Marks a key whose last record may be in a chunk that is going to be removed: it has the version, and was written by
   * the snapshot or one with the same number. A touch writes another record of the same version.
   */
  #rewrite (collection: string, key: string, version: number, snapshot: number): void {
    const entry = this.#keyspace.collections.find(collection)?.stored(key)
    if (entry === undefined || entry.snapshot !== snapshot) return
    if (this.#keyspace.values.epoch + entry.version !== version) return
    this.#changed.add(entry.id)
    this.isDirty = true
  }
}
