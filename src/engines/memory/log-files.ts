// The log on disk: its chunks, what to write next, and which old chunks to remove. The oldest chunks are removed when
// the log is much larger than the current data; records in them that are still current are written again.
import { CHUNK_SIZE, LogWriter, readLog } from './change-log.js'
import type { Disk } from './disk.js'
import { seal } from './sealed-record.js'
import { Slices } from './slices.js'

export const LOG = 'log/'
export const OPTIONS = 'options/'
export const META = 'meta'
export const FORMAT = 1

/** Maximum size of the log relative to the current records, and a constant on top. */
const MAX_RATIO = 1.25
const SPARE_BYTES = 2 ** 20
/**
 * How far versions and fences may grow before the reservation is written again, in microseconds of the clock they
 * start from: 1000 s.
 */
const RESERVE = 1e9

export interface Chunk {
  readonly number: number
  readonly size: number
  /** The number of its snapshot; 0 if it was loaded. */
  readonly snapshot: number
}

export interface Meta {
  readonly format: number
  readonly epoch: number
  /** Versions and fences up to this number may have been used. */
  readonly reserved: number
  /** The number of the first chunk of the log, and that after its last one. */
  readonly chunks: readonly [first: number, end: number]
}

export class LogFiles {
  /** Total size of the chunks on disk. */
  bytes = 0
  lastError: Error | undefined
  readonly #disk: Disk
  readonly #liveBytes: () => number
  /** Oldest first, starting at `#first`. */
  #chunks: Chunk[] = []
  #first = 0
  #next = 0
  #reclaimed: Chunk[] = []
  #pending: Map<string, Buffer | undefined> | undefined
  #added: Chunk[] = []
  /** The memory of the added chunks. */
  #used: ArrayBuffer[] = []
  /** The memory of the chunks that were written last. New memory for each would keep the garbage collector busy. */
  #spare: ArrayBuffer[] = []

  /** `liveBytes`: size of the log if every key were written once. */
  constructor (disk: Disk, chunks: readonly Chunk[], liveBytes: () => number) {
    this.#disk = disk
    this.#liveBytes = liveBytes
    this.#chunks = [...chunks]
    this.bytes = chunks.reduce((sum, { size }) => sum + size, 0)
    this.#next = chunks.length === 0 ? 0 : chunks.at(-1)!.number + 1
  }

  get hasPending (): boolean {
    return this.#pending !== undefined
  }

  /**
   * Selects chunks to remove with the next write. Calls back for each key whose last record may be in them. If one
   * cannot be read, it throws, and the chunk is selected all the same.
   */
  async reclaim (
    rewrite: (collection: string, key: string, version: number, snapshot: number) => void
  ): Promise<void> {
    const limit = this.#liveBytes() * MAX_RATIO + SPARE_BYTES
    let left = this.bytes - this.#reclaimed.reduce((sum, { size }) => sum + size, 0)
    const last = this.#chunks.length
    const slices = new Slices(1)
    while (left > limit && this.#first < last) {
      const chunk = this.#chunks[this.#first]!
      this.#first++
      this.#reclaimed.push(chunk)
      left -= chunk.size
      const content = this.#disk.read(chunkName(chunk.number))
      if (content !== undefined) {
        readLog(content, {
          put (collection, key, _text, version) { rewrite(collection, key, version, chunk.snapshot) }
        })
      }
      if (slices.isOver()) await slices.next()
    }
    if (this.#first > 1000 && this.#first > this.#chunks.length / 2) {
      this.#chunks = this.#chunks.slice(this.#first)
      this.#first = 0
    }
  }

  /** Selects all chunks to remove with the next write. */
  reclaimAll (): void {
    this.#reclaimed = this.#reclaimed.concat(this.#chunks.slice(this.#first))
    this.#chunks = []
    this.#first = 0
  }

  /** A writer of chunks for the next write. */
  newWriter (): LogWriter {
    return new LogWriter(this.#spare)
  }

  /**
   * Adds to the next write: the chunks of a snapshot, changed options of collections, and the position of versions and
   * fences.
   */
  append (
    snapshot: number, chunks: readonly Buffer[], options: ReadonlyMap<string, Buffer | undefined>,
    { epoch, count }: { epoch: number, count: number }
  ): void {
    const pending = new Map<string, Buffer | undefined>()
    for (const { number } of this.#reclaimed) pending.set(chunkName(number), undefined)
    for (const content of chunks) {
      const number = this.#next++
      pending.set(chunkName(number), content)
      this.#added.push({ number, size: content.length, snapshot })
      if (content.buffer.byteLength === CHUNK_SIZE) this.#used.push(content.buffer as ArrayBuffer)
    }
    for (const [name, value] of options) pending.set(OPTIONS + name, value)
    const first = (this.#chunks[this.#first] ?? this.#added[0])?.number ?? this.#next
    const reserved = epoch + count + RESERVE
    pending.set(META, seal(META, { format: FORMAT, epoch, reserved, chunks: [first, this.#next] } satisfies Meta))
    this.#pending = pending
  }

  /** Writes what was added. If that fails, it is kept for the next call. */
  async write (): Promise<void> {
    if (this.#pending === undefined) return
    try {
      await this.#disk.check()
      await this.#disk.write(this.#pending)
    } catch (error) {
      this.lastError = error as Error
      throw error
    }
    this.#pending = undefined
    this.#spare = this.#used
    this.#used = []
    for (const chunk of this.#added) {
      this.#chunks.push(chunk)
      this.bytes += chunk.size
    }
    for (const { size } of this.#reclaimed) this.bytes -= size
    this.#added = []
    this.#reclaimed = []
  }
}

export function chunkName (number: number): string {
  return LOG + number.toString(36).padStart(10, '0')
}
