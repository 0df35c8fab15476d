// Saves a keyspace to a disk. Changed keys are marked; every `flush` milliseconds, the current state of all marked
// keys is appended to the log in one transaction, so the disk always has a consistent snapshot. The snapshot is that
// of the start of the flush although keys are read in slices: a key that is about to change before its slice is read
// first.
import { performance } from 'node:perf_hooks'
import { Timer } from '../../core/timer.js'
import type { DataStats } from '../../core/stats.js'
import type { ChangeKind, Observer } from './changes.js'
import { MIN_SLICE_MS, nextSlice } from './slices.js'
import { LogWriter } from './change-log.js'
import type { Disk } from './disk.js'
import type { Durability } from './durability.js'
import type { Entries } from './entries.js'
import type { Keyspace } from './keyspace.js'
import { LogFiles, type Chunk } from './log-files.js'
import { optionsOf } from './kept-options.js'

/** The clock is read once per this number of keys. */
const KEYS_PER_LOOK = 64
const RETRY_MS = 1000

type Keys = Map<string, Set<string>>
type Waiting = Array<(hasFailed: boolean) => void>

interface Clearing {
  readonly collection: string
  readonly prefix: string
  readonly revision: number
}

export interface PersistenceSettings {
  /** Milliseconds between a change and its write. */
  flush: number
  /** Size of the log if every key were written once. */
  liveBytes (): number
  /** Called when a write fails, once until writes succeed again. */
  onerror (error: Error): void
}

export class Persistence implements Observer, Durability {
  readonly #keyspace: Keyspace
  readonly #options: PersistenceSettings
  readonly #log: LogFiles
  readonly #timer = new Timer()
  /** Keys changed since the start of the last flush. */
  #dirty: Keys = new Map()
  /** The collection of the latest change. */
  #lastName: string | undefined
  #lastKeys = new Set<string>()
  #clearings: Clearing[] = []
  readonly #configured = new Set<string>()
  /** The revision of the keyspace when the last flush began. */
  #begun: number
  /** Keys that the current flush has not read yet. */
  #taking: Keys | undefined
  #writer = new LogWriter()
  #waiting: Waiting = []
  /**
   * Whether there are changes since the start of the last flush, and the time of the oldest change that is not on
   * disk.
   */
  #isDirty = false
  #dirtySince: number | undefined
  #takenSince: number | undefined
  #errors = 0
  #hasFailed = false
  #running: Promise<void> | undefined
  #isClosed = false

  /** Collections that are not saved. */
  readonly notKept = new Set<string>()

  /** `chunks`: the loaded log. */
  constructor (keyspace: Keyspace, disk: Disk, chunks: readonly Chunk[], options: PersistenceSettings) {
    this.#keyspace = keyspace
    this.#options = options
    this.#begun = keyspace.context.revision
    this.#log = new LogFiles(disk, chunks, options.liveBytes)
    for (let position: number | undefined = 0; position !== undefined;) {
      const page: ReturnType<typeof keyspace.collections.page> = keyspace.collections.page(position, 1000)
      for (const { name, bounds } of page.values) if (!bounds.keep) this.notKept.add(name)
      position = page.next
    }
    keyspace.context.observe(this)
    keyspace.context.durability = this
  }

  /** Reserves versions and fences, so that none is reused after a crash. */
  async begin (): Promise<void> {
    this.#isDirty = true
    await this.#flush()
  }

  changing (collection: string, key: string, kind: ChangeKind, before: number): void {
    // Marked when it got that value. This is what most changes of keys that are written often come to.
    if (before > this.#begun && kind !== 'touch' && kind !== 'cleared') return
    if (this.#taking !== undefined) this.#takeBefore(collection, key)
    if (collection !== this.#lastName) this.#select(collection)
    // The record of the clear covers it.
    if (kind === 'cleared') this.#lastKeys.delete(key)
    else this.#lastKeys.add(key)
    if (!this.#isDirty) this.#mark()
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
    if (!this.#isDirty) this.#mark()
  }

  /** The record of a clear covers its keys. */
  needsKeys (): boolean {
    return false
  }

  configured (collection: string, wasKept: boolean): void {
    const entries = this.#keyspace.collection(collection)
    const isKept = entries.bounds.keep
    this.#configured.add(collection)
    if (isKept) this.notKept.delete(collection)
    else this.notKept.add(collection)
    if (wasKept && !isKept) this.clearing(collection, '', [])
    this.#select(collection)
    if (!wasKept && isKept) {
      for (let position: number | undefined = 0; position !== undefined;) {
        const page: ReturnType<typeof entries.page> = entries.page(position, 1000)
        for (const { key } of page.values) this.#lastKeys.add(key)
        position = page.next
      }
    }
    if (!this.#isDirty) this.#mark()
  }

  whenSafe (done: (hasFailed: boolean) => void): void {
    if (!this.#isDirty && this.#running === undefined && !this.#log.hasPending) done(false)
    else {
      this.#waiting.push(done)
      if (!this.#isDirty) this.#mark()
      // Deferred, so that calls of the same event loop iteration share one write.
      if (this.#waiting.length === 1 && this.#running === undefined) setImmediate(() => { this.#run() })
    }
  }

  stats (): DataStats {
    const since = this.#takenSince ?? this.#dirtySince
    const lag = since === undefined ? 0 : (performance.now() - since) / 1000
    return { lag, errors: this.#errors, bytes: this.#log.bytes }
  }

  /** Writes all changes. Rejects if that fails. */
  async close (): Promise<void> {
    this.#isClosed = true
    this.#timer.stop()
    await this.#running
    for (let attempt = 0; attempt < 2 && (this.#isDirty || this.#log.hasPending); attempt++) await this.#flush()
    this.#timer.stop()
    if (this.#isDirty || this.#log.hasPending) throw this.#log.lastError ?? new Error('not written')
  }

  #select (collection: string): void {
    this.#lastName = collection
    let keys = this.#dirty.get(collection)
    if (keys === undefined) this.#dirty.set(collection, keys = new Set())
    this.#lastKeys = keys
  }

  #mark (): void {
    this.#isDirty = true
    this.#dirtySince = performance.now()
    if (this.#running === undefined) this.#plan(this.#options.flush)
  }

  #plan (delay: number): void {
    if (this.#isClosed) return
    // Keeps the process alive until the changes are written, unless the last write failed.
    this.#timer.setReferenced(!this.#hasFailed)
    this.#timer.start(this.#hasFailed ? RETRY_MS : delay, () => { this.#run() })
  }

  #run (): void {
    if (this.#running !== undefined || this.#isClosed) return
    this.#timer.stop()
    this.#running = this.#flush().finally(() => {
      this.#running = undefined
      if (this.#isDirty || this.#log.hasPending) this.#plan(this.#waiting.length > 0 ? 0 : this.#options.flush)
    })
  }

  async #flush (): Promise<void> {
    const waiting: Waiting = []
    try {
      if (!this.#log.hasPending) await this.#collect(waiting)
      await this.#log.write()
      this.#takenSince = undefined
    } catch (error) {
      this.#fail(error as Error)
      for (const done of [...waiting, ...this.#waiting.splice(0)]) done(true)
      return
    }
    this.#hasFailed = false
    for (const done of waiting) done(false)
  }

  #fail (error: Error): void {
    this.#errors++
    const isNew = !this.#hasFailed
    this.#hasFailed = true
    if (isNew) this.#options.onerror(error)
  }

  /** Appends all changes to the pending chunks of the log. */
  async #collect (waiting: Waiting): Promise<void> {
    await this.#log.reclaim((collection, key, version) => { this.#rewrite(collection, key, version) })
    const { context, values: { epoch } } = this.#keyspace
    const writer = this.#writer = new LogWriter()
    for (const { collection, prefix, revision } of this.#clearings) writer.clear(collection, prefix, epoch + revision)
    this.#clearings = []
    const options = new Map(Array.from(this.#configured, name => [name, optionsOf(this.#keyspace, name)]))
    this.#configured.clear()
    const meta = { epoch, count: Math.max(context.revision, this.#keyspace.grants) }
    waiting.push(...this.#waiting.splice(0))
    const taking = this.#taking = this.#dirty
    this.#dirty = new Map()
    this.#begun = context.revision
    this.#lastName = undefined
    this.#isDirty = false
    this.#takenSince = this.#dirtySince
    this.#dirtySince = undefined
    let end = performance.now() + MIN_SLICE_MS
    let keysLeft = KEYS_PER_LOOK
    for (const [collection, keys] of taking) {
      const entries = this.#entriesOf(collection)
      for (const key of keys) {
        this.#take(collection, entries, key)
        keys.delete(key)
        if (--keysLeft > 0) continue
        keysLeft = KEYS_PER_LOOK
        if (performance.now() < end || this.#isClosed) continue
        end = await nextSlice()
      }
    }
    this.#taking = undefined
    this.#log.append(writer.end(), options, meta)
  }

  #takeBefore (collection: string, key: string): void {
    if (this.#taking!.get(collection)?.delete(key) === true) this.#take(collection, this.#entriesOf(collection), key)
  }

  #entriesOf (collection: string): Entries | undefined {
    return this.#keyspace.collections.find(collection)
  }

  /** Writes the state of a key. */
  #take (collection: string, entries: Entries | undefined, key: string): void {
    if (entries?.bounds.keep === false) return
    const entry = entries?.stored(key)
    if (entry === undefined) {
      this.#writer.del(collection, key)
      return
    }
    const end = entries!.endOf(entry)
    const wallEnd = end === undefined ? 0 : Date.now() - this.#keyspace.clock.now + end
    this.#writer.put(collection, key, entry.text, this.#keyspace.values.epoch + entry.version, wallEnd)
  }

  /** Marks a key whose last record may be in a chunk that is going to be removed. */
  #rewrite (collection: string, key: string, version: number): void {
    const entry = this.#entriesOf(collection)?.stored(key)
    if (entry === undefined || this.#keyspace.values.epoch + entry.version !== version) return
    if (collection !== this.#lastName) this.#select(collection)
    this.#lastKeys.add(key)
    this.#isDirty = true
  }
}
