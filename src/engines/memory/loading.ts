// Loads the state on a disk into a new keyspace, in slices. Entries are created a batch at a time and inserted later,
// when the garbage collector has moved them to where they stay: a table with many new entries slows it down.
import { performance } from 'node:perf_hooks'
import { Budget } from './agenda.js'
import { PUT_HEAD, readLog, type LogReader } from './change-log.js'
import type { Collection } from './collection.js'
import { DamageError, type Disk } from './disk.js'
import { Entry, TimedEntry } from './entry.js'
import type { Keyspace } from './keyspace.js'
import { restoreOptions } from './kept-options.js'
import { FORMAT, LOG, META, OPTIONS, type Chunk, type Meta } from './log-files.js'

const SLICE_MS = 10
const BATCH = 100_000
/** Number of steps between two looks at the clock. */
const STEPS = 500
const NO_LOCKS = new Map<string, never>()

/** The data was written by a newer version of this package. */
export class NewerFormatError extends Error {}

/** Throws a DamageError, after loading some of the keys, or a NewerFormatError. Calls `onprogress` between slices. */
export async function load (
  keyspace: Keyspace, disk: Disk, onprogress: (loaded: number, all: number) => void
): Promise<Chunk[]> {
  const meta = metaOf(disk)
  if (meta === undefined) return []
  const now = Date.now() * 1000
  const { epoch, reserved } = meta
  keyspace.countFrom(epoch, 0)
  const names = disk.names(LOG)
  const chunks: Chunk[] = []
  const replay = new Replay(keyspace, epoch)
  let end = performance.now() + SLICE_MS
  const pause = async (): Promise<void> => {
    if (performance.now() < end) return
    onprogress(chunks.length, names.length)
    await new Promise(resolve => { setImmediate(resolve) })
    keyspace.clock.tick()
    end = performance.now() + SLICE_MS
  }
  for (const name of names) {
    const content = disk.read(name)
    if (content === undefined) throw new DamageError(`${name} is missing`)
    readLog(content, replay)
    chunks.push({ name, size: content.length })
    await pause()
    if (replay.pending < BATCH && chunks.length < names.length) continue
    while (replay.run(STEPS)) await pause()
  }
  for (const name of disk.names(OPTIONS)) {
    restoreOptions(keyspace, name.slice(OPTIONS.length), disk.read(name)!)
    await pause()
  }
  keyspace.countFrom(epoch, Math.max(now, reserved) - epoch)
  return chunks
}

/** Removes the loaded keys. */
export function unload (keyspace: Keyspace): void {
  for (const collection of keyspace.collections.all()) collection.clearPrefix('', NO_LOCKS, () => {})
  keyspace.countFrom(Date.now() * 1000, 0)
}

/** Size of the records of all keys that are saved. */
export function liveBytes ({ counters: { totals }, collections }: Keyspace, notKept: Iterable<string>): number {
  let { bytes, keys } = totals
  for (const name of notKept) {
    const collection = collections.find(name)
    bytes -= collection?.bytes ?? 0
    keys -= collection?.size ?? 0
  }
  return bytes + keys * PUT_HEAD
}

/** Replays a log. Its records take effect in `run`. */
class Replay implements LogReader {
  readonly #keyspace: Keyspace
  readonly #epoch: number
  /** The difference between the wall clock and the keyspace's clock. */
  readonly #ahead: number
  /** Entries to put, each TimedEntry with its end after it, and other steps. */
  #steps: Array<Entry | number | (() => void)> = []
  #next = 0
  #name: string | undefined
  #collection!: Collection

  constructor (keyspace: Keyspace, epoch: number) {
    this.#keyspace = keyspace
    this.#epoch = epoch
    this.#ahead = Date.now() - keyspace.clock.now
  }

  get pending (): number {
    return this.#steps.length
  }

  /** Takes that many steps. Returns whether more are left. */
  run (steps: number): boolean {
    for (let i = 0; i < steps && this.#next < this.#steps.length; i++) {
      const step = this.#steps[this.#next++]!
      if (typeof step === 'function') step()
      else this.#put(step as Entry, (step as Entry).isTimed() ? this.#steps[this.#next++] as number : 0)
    }
    if (this.#next < this.#steps.length) return true
    this.#steps = []
    this.#next = 0
    return false
  }

  put (name: string, key: string, text: string | Buffer, version: number, end: number): void {
    this.#select(name)
    const entry = new (end === 0 ? Entry : TimedEntry)(key, text, version - this.#epoch, this.#keyspace.clock.now)
    this.#steps.push(entry)
    if (end !== 0) this.#steps.push(end)
  }

  del (name: string, key: string): void {
    this.#select(name)
    this.#steps.push(() => { this.#remove(key, 'del') })
  }

  clear (name: string, prefix: string, revision: number): void {
    this.#select(name)
    this.#steps.push(() => {
      this.#keyspace.context.revision = revision - this.#epoch
      this.#collection.clearPrefix(prefix, NO_LOCKS, () => {})
      // Records of keys that were locked during the clear follow, with their old versions.
      while (this.#collection.removeDue(new Budget())) { /* until all are removed */ }
    })
  }

  #select (name: string): void {
    if (name === this.#name) return
    this.#name = name
    this.#steps.push(() => { this.#collection = this.#keyspace.collection(name) })
  }

  #put (entry: Entry, end: number): void {
    const entries = this.#collection
    const { key, text, version } = entry
    const ttl = end === 0 ? null : end - this.#ahead - this.#keyspace.clock.now
    if (ttl !== null && ttl <= 0) {
      this.#remove(key, 'expired')
      return
    }
    const before = entries.stored(key)
    if (before === undefined) {
      entries.insert(entry, false)
      if (ttl !== null) entries.setEnd(entry, ttl)
    } else {
      this.#keyspace.context.revision = version - 1 // put increments it
      entries.put(key, before, text, ttl, false)
    }
  }

  #remove (key: string, kind: 'del' | 'expired'): void {
    const entry = this.#collection.stored(key)
    if (entry !== undefined) this.#collection.remove(entry, kind)
  }
}

function metaOf (disk: Disk): Meta | undefined {
  const record = disk.read(META)
  if (record === undefined) return undefined
  let meta: Partial<Meta> | null
  try {
    meta = JSON.parse(record.toString()) as Partial<Meta> | null
  } catch (cause) {
    throw new DamageError('its description cannot be read', { cause })
  }
  const { format, epoch, reserved } = meta ?? {}
  if (!Number.isSafeInteger(format)) throw new DamageError('its description has no format')
  if (format! > FORMAT) {
    throw new NewerFormatError(`it has format ${format}, this version of strong-store supports up to ${FORMAT}`)
  }
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(reserved)) {
    throw new DamageError('its description is incomplete')
  }
  return meta as Meta
}
