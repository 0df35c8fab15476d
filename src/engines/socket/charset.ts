// How strings are encoded in frames.
import { isAscii } from 'node:buffer'
import { largeBuffers } from '../../core/buffer-pool.js'
import { StoreError } from '../../core/errors.js'
import type { FastBuffer } from '../../core/fast-buffer.js'
import { borrow, isLatin1, type Bytes } from '../../core/value.js'

/** The server receives text of at least this size as a Buffer of its own, and sends it without copying it. */
export const LARGE = 8 * 1024
/** Shorter strings get room for three bytes for each character. */
const LONG = 4096

/** A client writes strings as UTF-8; the server passes the bytes through (see core/value.ts). */
export interface Charset {
  write (buffer: Buffer, text: string, at: number): number
  read (buffer: Buffer, from: number, to: number): string
  /** An upper bound of the encoded size of `text`. */
  room (text: string): number
}

export const bytes: Charset = {
  write: (buffer, text, at) => (buffer as FastBuffer).latin1Write(text, at),
  read: (buffer, from, to) => (buffer as FastBuffer).latin1Slice(from, to),
  room: text => text.length
}

export const utf8: Charset = {
  write: (buffer, text, at) => (buffer as FastBuffer).utf8Write(text, at),
  read: (buffer, from, to) => (buffer as FastBuffer).utf8Slice(from, to),
  room: text => text.length < LONG ? text.length * 3 : Buffer.byteLength(text)
}

/** Whether the last long text was ASCII, so that the next one probably is. */
let wasAscii = true

/** Room for the text of a request. For long text it may be a guess, which saves counting its bytes: see `writeText`. */
export function textRoom (text: string): number {
  if (text.length < LONG) return text.length * 3
  if (wasAscii && isLatin1(text)) return text.length
  const size = Buffer.byteLength(text)
  wasAscii = size === text.length
  return size
}

/** Writes text for which there is `room`. Returns where it ends, or undefined if it needs room for its `byteLength`. */
export function writeText (buffer: Buffer, text: string, at: number, room: number): number | undefined {
  if (text.length !== room) return at + utf8.write(buffer, text, at)
  const end = at + bytes.write(buffer, text, at)
  wasAscii = isAscii(buffer.subarray(at, end))
  return wasAscii ? end : undefined
}

/** The text of a request. Borrows the buffer if the text is short. `isOwned`: it may keep the buffer. */
export function readText (buffer: Buffer, at: number, end: number, isOwned: boolean): Bytes {
  if (end - at < LARGE) return borrow(buffer, at, end)
  if (isOwned) return buffer.subarray(at, end)
  const text = largeBuffers.take(end - at)
  buffer.copy(text, 0, at, end)
  return text
}

/** Writes a string of a field: its size u16, then its bytes. Returns where it ends. */
export function writeShort (buffer: Buffer, text: string, at: number, charset: Charset): number {
  const length = charset.write(buffer, text, at + 2)
  buffer.writeUInt16LE(length, at)
  return at + 2 + length
}

export function readShort (buffer: Buffer, at: number, end: number, charset: Charset): string {
  inside(at + 2, end)
  return charset.read(buffer, at + 2, inside(at + 2 + buffer.readUInt16LE(at), end))
}

/** `at`, if a frame up to `end` has as much. STORE_PROTOCOL otherwise. */
export function inside (at: number, end: number): number {
  if (at > end) throw new StoreError('STORE_PROTOCOL', 'a field exceeds its frame')
  return at
}
