// Loads the state on a disk into a new keyspace, in slices.
import { performance } from 'node:perf_hooks'
import { StoreError } from '../../core/errors.js'
import type { Bytes } from '../../core/value.js'
import { Budget } from './agenda.js'
import { NAME_HEAD, PUT_HEAD, readLog, type LogReader } from './change-log.js'
import { DamageError, type Disk } from './disk.js'
import type { Keyspace } from './keyspace.js'
import { restoreOptions } from './kept-options.js'
import { FORMAT, LOG, META, OPTIONS, chunkName, type Chunk, type Meta } from './log-files.js'
import { unseal } from './sealed-record.js'

const SLICE_MS = 10
const NO_LOCKS = new Map<string, never>()

/** The data was written by a newer version of this package. */
export class NewerFormatError extends Error {}

/** Throws a DamageError, after loading some of the keys, or a NewerFormatError. Calls `onprogress` between slices. */
export async function load (
  keyspace: Keyspace, disk: Disk, onprogress: (loaded: number, all: number) => void
): Promise<Chunk[]> {
  const names = disk.names()
  if (names.length === 0) return []
  const meta = metaOf(disk, names)
  const now = Date.now() * 1000
  const { epoch, reserved, chunks: [first, end] } = meta
  keyspace.countFrom(epoch, 0)
  const chunks: Chunk[] = []
  const replay = new Replay(keyspace, epoch)
  let sliceEnd = performance.now() + SLICE_MS
  const pause = async (): Promise<void> => {
    if (performance.now() < sliceEnd) return
    onprogress(chunks.length, end - first)
    await new Promise(resolve => { setImmediate(resolve) })
    keyspace.clock.tick()
    sliceEnd = performance.now() + SLICE_MS
  }
  for (let number = first; number < end; number++) {
    const content = disk.read(chunkName(number))
    if (content === undefined) throw new DamageError(`chunk ${number} is missing`)
    readLog(content, replay)
    chunks.push({ number, size: content.length, snapshot: 0 })
    await pause()
  }
  for (const name of names) {
    if (name.startsWith(OPTIONS)) restoreOptions(keyspace, name.slice(OPTIONS.length), disk.read(name)!)
    else if (name !== META && !name.startsWith(LOG)) throw new DamageError(`it has an unknown record, ${name}`)
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

/** Size of the records of all keys that are saved, at most: in a log, keys of one collection may share its name. */
export function liveBytes ({ counters, collections }: Keyspace, notKept: Iterable<string>): number {
  let { totals: { bytes, keys }, nameBytes } = counters
  for (const name of notKept) {
    const { size = 0, bytes: more = 0 } = collections.find(name) ?? {}
    bytes -= more
    keys -= size
    nameBytes -= size * name.length
  }
  return bytes + nameBytes + keys * (NAME_HEAD + PUT_HEAD)
}

/** Replays a log. */
class Replay implements LogReader {
  readonly #keyspace: Keyspace
  readonly #epoch: number
  /** The difference between the wall clock and the keyspace's clock. */
  readonly #ahead: number

  constructor (keyspace: Keyspace, epoch: number) {
    this.#keyspace = keyspace
    this.#epoch = epoch
    this.#ahead = Date.now() - keyspace.clock.now
  }

  put (name: string, key: string, text: Bytes, version: number, end: number): void {
    const collection = this.#keyspace.collection(name)
    const ttl = end === 0 ? null : end - this.#ahead - this.#keyspace.clock.now
    if (ttl !== null && ttl <= 0) {
      this.#remove(name, key, 'expired')
      return
    }
    const written = collection.put(key, collection.stored(key), text, ttl, false)
    if (written === undefined) throw new StoreError('STORE_FULL')
    written.version = version - this.#epoch
  }

  del (name: string, key: string): void {
    this.#remove(name, key, 'del')
  }

  clear (name: string, prefix: string, revision: number): void {
    const collection = this.#keyspace.collection(name)
    this.#keyspace.context.revision = revision - this.#epoch
    collection.clearPrefix(prefix, NO_LOCKS, () => {})
    // Records of keys that were locked during the clear follow, with their old versions.
    while (collection.removeDue(new Budget())) { /* until all are removed */ }
  }

  #remove (name: string, key: string, kind: 'del' | 'expired'): void {
    const collection = this.#keyspace.collection(name)
    const entry = collection.stored(key)
    if (entry !== undefined) collection.remove(entry, kind)
  }
}

function metaOf (disk: Disk, names: readonly string[]): Meta {
  const record = disk.read(META)
  if (record === undefined) throw new DamageError('its description is missing')
  const { format, epoch, reserved, chunks } = unseal(META, record) as Partial<Meta>
  if (!Number.isSafeInteger(format)) throw new DamageError('its description has no format')
  if (format! > FORMAT) {
    throw new NewerFormatError(`it has format ${format}, this version of strong-store supports up to ${FORMAT}`)
  }
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(reserved)) {
    throw new DamageError('its description is incomplete')
  }
  return { format: format!, epoch: epoch!, reserved: reserved!, chunks: chunks ?? chunksOf(names) }
}

/** For early data, whose description does not have them. */
function chunksOf (names: readonly string[]): [first: number, end: number] {
  const found = names.filter(name => name.startsWith(LOG))
  const first = Number.parseInt(found[0]?.slice(LOG.length) ?? '0', 36)
  return [first, first + found.length]
}
