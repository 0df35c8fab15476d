// The keys of a keyspace that have changed, and how their current state gets into the log: as a consistent snapshot of
// one moment, although keys are read in slices. A key that is about to change before its slice is read first.
import { performance } from 'node:perf_hooks'
import { LogWriter } from './change-log.js'
import type { ChangeKind, Observer } from './changes.js'
import { DamageError } from './disk.js'
import type { Entries } from './entries.js'
import { optionsOf } from './kept-options.js'
import type { Keyspace } from './keyspace.js'
import type { LogFiles } from './log-files.js'
import { MIN_SLICE_MS, nextSlice } from './slices.js'

/** Number of keys that are marked at once, of a collection that is saved from now on. */
const PAGE_KEYS = 250
/** The clock is read once per this number of keys. */
const KEYS_PER_LOOK = 64

type Keys = Map<string, Set<string>>

interface Clearing {
  readonly collection: string
  readonly prefix: string
  readonly revision: number
}

export class ChangedKeys implements Observer {
  readonly #keyspace: Keyspace
  readonly #log: LogFiles
  readonly #onfirst: () => void
  /** Keys changed since the last snapshot. */
  #dirty: Keys = new Map()
  /** The collection of the latest change. */
  #lastName: string | undefined
  #lastKeys = new Set<string>()
  #clearings: Clearing[] = []
  readonly #configured = new Set<string>()
  /** Collections whose keys all have to be in the next snapshot. */
  readonly #unmarked = new Set<string>()
  /** The revision of the keyspace at the last snapshot. */
  #begun: number
  /** Keys of the current snapshot that have not been read yet. */
  #taking: Keys | undefined
  #writer = new LogWriter()

  /** Whether there are changes since the last snapshot. */
  isDirty = false

  /** Collections that are not saved. */
  readonly notKept = new Set<string>()

  /** `onfirst` is called for the first change since a snapshot. */
  constructor (keyspace: Keyspace, log: LogFiles, onfirst: () => void) {
    this.#keyspace = keyspace
    this.#log = log
    this.#onfirst = onfirst
    this.#begun = keyspace.context.revision
    for (const { name, bounds } of keyspace.collections.all()) if (!bounds.keep) this.notKept.add(name)
    keyspace.context.observe(this)
  }

  changing (collection: string, key: string, kind: ChangeKind, before: number): void {
    // Marked when it got that value. This is what most changes of keys that are written often come to.
    if (before > this.#begun && kind !== 'touch' && kind !== 'cleared') return
    if (this.#taking !== undefined) this.#takeBefore(collection, key)
    if (collection !== this.#lastName) this.#select(collection)
    // The record of the clear covers it.
    if (kind === 'cleared') this.#lastKeys.delete(key)
    else this.#lastKeys.add(key)
    if (!this.isDirty) this.mark()
  }

  clearing (collection: string, prefix: string, locked: Iterable<string>): void {
    const keys = this.#taking?.get(collection)
    if (keys !== undefined) for (const key of keys) this.#take(collection, this.#entriesOf(collection), key)
    keys?.clear()
    this.#clearings.push({ collection, prefix, revision: this.#keyspace.context.revision })
    this.#select(collection)
    if (prefix === '') this.#lastKeys.clear()
    // Locked keys stay, so they must be written after the clear.
    for (const key of locked) if (key.startsWith(prefix)) this.#lastKeys.add(key)
    if (!this.isDirty) this.mark()
  }

  /** The record of a clear covers its keys. */
  needsKeys (): boolean {
    return false
  }

  configured (collection: string, wasKept: boolean): void {
    const isKept = this.#keyspace.collection(collection).bounds.keep
    this.#configured.add(collection)
    if (wasKept && !isKept) this.clearing(collection, '', []) // takes them for the snapshot: they were kept until now
    if (isKept) {
      if (!wasKept) this.#taking?.get(collection)?.clear() // and these were not
      this.notKept.delete(collection)
      if (!wasKept) this.#unmarked.add(collection)
    } else {
      this.notKept.add(collection)
      this.#unmarked.delete(collection)
    }
    if (!this.isDirty) this.mark()
  }

  /** Makes the next snapshot necessary, even without a changed key. */
  mark (): void {
    this.isDirty = true
    this.#onfirst()
  }

  /** Adds all changes to the next write of the log. Calls `onbegin` at the moment of the snapshot. */
  async collect (onbegin: () => void, isHurried: () => boolean): Promise<void> {
    try {
      await this.#log.reclaim((collection, key, version) => { this.#rewrite(collection, key, version) })
    } catch (error) {
      if (error instanceof DamageError) { // its content is unknown
        for (const { name } of this.#keyspace.collections.all()) this.#unmarked.add(name)
        this.isDirty = true
      }
      throw error
    }
    while (this.#unmarked.size > 0) await this.#markAll(isHurried) // more may have been added at its end
    const { context, values: { epoch } } = this.#keyspace
    const writer = this.#writer = new LogWriter()
    for (const { collection, prefix, revision } of this.#clearings) writer.clear(collection, prefix, epoch + revision)
    this.#clearings = []
    const options = new Map(Array.from(this.#configured, name => [name, optionsOf(this.#keyspace, name)]))
    this.#configured.clear()
    const meta = { epoch, count: Math.max(context.revision, this.#keyspace.locks.grants) }
    const taking = this.#taking = this.#dirty
    this.#dirty = new Map()
    this.#begun = context.revision
    this.#lastName = undefined
    this.isDirty = false
    onbegin()
    let end = performance.now() + MIN_SLICE_MS
    let keysLeft = KEYS_PER_LOOK
    for (const [collection, keys] of taking) {
      const entries = this.#entriesOf(collection)
      for (const key of keys) {
        this.#take(collection, entries, key)
        keys.delete(key)
        if (--keysLeft > 0) continue
        keysLeft = KEYS_PER_LOOK
        if (performance.now() < end || isHurried()) continue
        end = await nextSlice()
      }
    }
    this.#taking = undefined
    this.#log.append(writer.end(), options, meta)
  }

  #select (collection: string): void {
    this.#lastName = collection
    let keys = this.#dirty.get(collection)
    if (keys === undefined) this.#dirty.set(collection, keys = new Set())
    this.#lastKeys = keys
  }

  #takeBefore (collection: string, key: string): void {
    if (this.#taking!.get(collection)?.delete(key) === true) this.#take(collection, this.#entriesOf(collection), key)
  }

  #entriesOf (collection: string): Entries | undefined {
    return this.#keyspace.collections.find(collection)
  }

  /** Writes the state of a key. */
  #take (collection: string, entries: Entries | undefined, key: string): void {
    if (this.notKept.has(collection)) return
    const entry = entries?.stored(key)
    if (entry === undefined) {
      this.#writer.del(collection, key)
      return
    }
    const end = entries!.endOf(entry)
    const wallEnd = end === undefined ? 0 : Date.now() - this.#keyspace.clock.now + end
    this.#writer.put(collection, key, entry.text, this.#keyspace.values.epoch + entry.version, wallEnd)
  }

  /** Marks all keys of the unmarked collections. Keys written in the meantime are marked when they change. */
  async #markAll (isHurried: () => boolean): Promise<void> {
    let end = performance.now() + MIN_SLICE_MS
    for (const collection of this.#unmarked) { // may be configured again, which adds it once more
      this.#unmarked.delete(collection)
      let position: number | undefined = 0
      while (position !== undefined && !this.notKept.has(collection) && !this.#unmarked.has(collection)) {
        const page: ReturnType<Entries['page']> | undefined = this.#entriesOf(collection)?.page(position, PAGE_KEYS)
        this.#select(collection)
        for (const { key } of page?.values ?? []) this.#lastKeys.add(key)
        position = page?.next
        if (performance.now() < end || isHurried()) continue
        end = await nextSlice()
      }
    }
  }

  /** Marks a key whose last record may be in a chunk that is going to be removed. */
  #rewrite (collection: string, key: string, version: number): void {
    const entry = this.#entriesOf(collection)?.stored(key)
    if (entry === undefined || this.#keyspace.values.epoch + entry.version !== version) return
    if (collection !== this.#lastName) this.#select(collection)
    this.#lastKeys.add(key)
    this.isDirty = true
  }
}
