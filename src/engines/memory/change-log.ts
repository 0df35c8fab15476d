// The log of changes: chunks of records, each about one key or one clear. Replaying them in order yields the last
// written state.
//
//   chunk    crc32 u32 of the rest | record …
//   NAME     1 u8 | length u16 | the collection of the records up to the next NAME
//   PUT      2 u8 | length u16 | length of the text u32 | version f64 | end f64 | key | text
//   DEL      3 u8 | length u16 | key
//   CLEAR    4 u8 | length u16 | revision f64 | prefix
//
// Numbers are little-endian. Versions and revisions are absolute. An end is in milliseconds of the wall clock, 0 for
// none.
import { crc32 } from 'node:zlib'
import type { FastBuffer } from '../../core/fast-buffer.js'
import { borrow, copyBytes, type Bytes } from '../../core/value.js'
import { DamageError } from './disk.js'

const NAME = 1
const PUT = 2
const DEL = 3
const CLEAR = 4

const CHUNK_HEAD = 4
const HEAD = 3
/** Size of a NAME record without the name. */
export const NAME_HEAD = HEAD
/** Size of a PUT record without its key and text. */
export const PUT_HEAD = HEAD + 4 + 8 + 8
/** All chunks have the same size, so a new one can reuse the space of an old one on disk. */
export const CHUNK_SIZE = 64 * 1024
const EMPTY = Buffer.alloc(0) as FastBuffer

/** Receives the records of a log. */
export interface LogReader {
  /** `text` is borrowed from the log. */
  put (collection: string, key: string, text: Bytes, version: number, end: number): void
  del (collection: string, key: string): void
  clear (collection: string, prefix: string, revision: number): void
}

export class LogWriter implements LogReader {
  readonly #chunks: Buffer[] = []
  readonly #spare: ArrayBuffer[]
  #buffer = EMPTY
  #used = CHUNK_HEAD
  #collection: string | undefined

  /** `spare`: the memory of former chunks, which it reuses. */
  constructor (spare: ArrayBuffer[]) {
    this.#spare = spare
  }

  put (collection: string, key: Bytes, text: Bytes, version: number, end: number): void {
    const at = this.#begin(PUT, collection, key, PUT_HEAD + key.length + text.length)
    const buffer = this.#buffer
    buffer.writeUInt32LE(text.length, at)
    buffer.writeDoubleLE(version, at + 4)
    buffer.writeDoubleLE(end, at + 12)
    this.#used = copyBytes(text, buffer, copyBytes(key, buffer, at + 20))
  }

  del (collection: string, key: string): void {
    const at = this.#begin(DEL, collection, key, HEAD + key.length)
    this.#used = at + this.#buffer.latin1Write(key, at)
  }

  clear (collection: string, prefix: string, revision: number): void {
    const at = this.#begin(CLEAR, collection, prefix, HEAD + 8 + prefix.length)
    this.#buffer.writeDoubleLE(revision, at)
    this.#used = at + 8 + this.#buffer.latin1Write(prefix, at + 8)
  }

  /** The chunks that were written. */
  end (): Buffer[] {
    this.#seal()
    return this.#chunks
  }

  /** Writes the head of a record of `size` bytes. Returns the offset after it. */
  #begin (kind: number, collection: string, key: Bytes, size: number): number {
    const total = size + HEAD + collection.length
    if (this.#used + total > this.#buffer.length) {
      this.#seal()
      this.#buffer = this.#allocate(CHUNK_HEAD + total)
      this.#used = CHUNK_HEAD
      this.#collection = undefined
    }
    if (collection !== this.#collection) {
      this.#collection = collection
      const at = this.#head(NAME, collection.length)
      this.#used = at + this.#buffer.latin1Write(collection, at)
    }
    return this.#head(kind, key.length)
  }

  #head (kind: number, length: number): number {
    this.#buffer[this.#used] = kind
    return this.#buffer.writeUInt16LE(length, this.#used + 1)
  }

  #seal (): void {
    if (this.#used === CHUNK_HEAD) return
    const chunk = this.#buffer.subarray(0, this.#used)
    chunk.writeUInt32LE(crc32(chunk.subarray(CHUNK_HEAD)), 0)
    this.#chunks.push(chunk)
    this.#used = CHUNK_HEAD
    this.#buffer = EMPTY
  }

  #allocate (size: number): FastBuffer {
    const memory = size > CHUNK_SIZE ? undefined : this.#spare.pop()
    const buffer = memory === undefined ? Buffer.allocUnsafeSlow(Math.max(size, CHUNK_SIZE)) : Buffer.from(memory)
    return buffer as unknown as FastBuffer
  }
}

/** Reads a chunk. Throws a DamageError before the first record if the checksum does not match. */
export function readLog (bytes: Buffer, reader: Partial<LogReader>): void {
  const chunk = bytes as FastBuffer
  if (chunk.length < CHUNK_HEAD || crc32(chunk.subarray(CHUNK_HEAD)) !== chunk.readUInt32LE(0)) {
    throw new DamageError('a checksum does not match')
  }
  let collection = ''
  for (let at = CHUNK_HEAD; at < chunk.length;) {
    const kind = chunk[at]
    const length = chunk.readUInt16LE(at + 1)
    at += HEAD
    if (kind === PUT) {
      const textAt = at + 20 + length
      const end = textAt + chunk.readUInt32LE(at)
      const key = chunk.latin1Slice(at + 20, textAt)
      reader.put?.(collection, key, borrow(bytes, textAt, end), chunk.readDoubleLE(at + 4), chunk.readDoubleLE(at + 12))
      at = end
    } else if (kind === CLEAR) {
      reader.clear?.(collection, chunk.latin1Slice(at + 8, at + 8 + length), chunk.readDoubleLE(at))
      at += 8 + length
    } else {
      const name = chunk.latin1Slice(at, at + length)
      if (kind === NAME) collection = name
      else if (kind === DEL) reader.del?.(collection, name)
      else throw new DamageError(`unknown kind of record: ${kind}`)
      at += length
    }
  }
}
