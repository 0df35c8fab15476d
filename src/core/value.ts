// Converts values to text and back, and text to bytes and back. No other file does.
import { isAscii as isAsciiBytes } from 'node:buffer'
import { StoreError } from './errors.js'
import type { FastBuffer } from './fast-buffer.js'

/** How the values of a collection are encoded as JSON text. */
export interface Codec {
  /** Throws STORE_VALUE_INVALID if the value has no JSON text, STORE_VALUE_TOO_LARGE above `maxBytes` of UTF-8. */
  encode (value: unknown, maxBytes: number): string
  decode (text: string): unknown
}

/** For values that are JavaScript values. */
export const json: Codec = {
  encode (value, maxBytes) {
    let text: string | undefined
    try {
      text = JSON.stringify(value)
    } catch (cause) {
      throw new StoreError('STORE_VALUE_INVALID', (cause as Error).message, { cause })
    }
    if (text === undefined) throw new StoreError('STORE_VALUE_INVALID', `JSON cannot represent type ${typeof value}`)
    if (text === '{}' && value instanceof Promise) {
      throw new StoreError('STORE_VALUE_INVALID', 'it is a promise: await it')
    }
    checkSize(text, maxBytes)
    return text
  },
  decode (text) {
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw new StoreError('STORE_PROTOCOL', 'a value is not JSON text', { cause })
    }
  }
}

/** For values that are JSON text already and are only passed on. */
export const text: Codec = {
  encode (value, maxBytes) {
    if (typeof value !== 'string') {
      throw new StoreError('STORE_VALUE_INVALID', `expected JSON text, got ${typeof value}`)
    }
    checkSize(value, maxBytes)
    try {
      JSON.parse(value)
    } catch (cause) {
      throw new StoreError('STORE_VALUE_INVALID', (cause as Error).message, { cause })
    }
    if (!value.isWellFormed()) throw new StoreError('STORE_VALUE_INVALID', 'it contains a lone surrogate')
    return value
  },
  decode: text => text
}

function checkSize (text: string, maxBytes: number): void {
  if (text.length * 3 <= maxBytes) return
  const size = isAscii(text) ? text.length : Buffer.byteLength(text)
  if (size > maxBytes) throw new StoreError('STORE_VALUE_TOO_LARGE', `${size} bytes, the limit is ${maxBytes}`)
}

/**
 * Text as the keyspace stores it. A string has one character per byte of UTF-8, so V8 stores it as one byte per
 * character, and it is copied to and from socket buffers without conversion. Large values that arrive over a socket
 * stay a Buffer: allocating a string of that size takes V8 many times longer than copying. In all forms, `length` is
 * the size in bytes.
 */
export type OwnBytes = string | Buffer
export type Bytes = OwnBytes | BorrowedBytes

/** Memory, and a view of all of it: to get the memory of a view takes longer than to copy a short value. */
export interface Memory {
  readonly memory: ArrayBuffer
  readonly bytes: FastBuffer
}

/**
 * Bytes in memory that belongs to somebody else: of a received frame, or where a value is stored. The memory may be
 * reused as soon as the keyspace has executed the call, so they are copied before.
 */
export class BorrowedBytes {
  constructor (private readonly source: Memory, private readonly start: number, readonly length: number) {}

  copyTo (target: Buffer, at: number): void {
    target.set(new Uint8Array(this.source.memory, this.start, this.length), at)
  }

  /** A string in bytes form. */
  copy (): string {
    return this.source.bytes.latin1Slice(this.start, this.start + this.length)
  }

  /** The text. */
  decode (): string {
    return this.source.bytes.utf8Slice(this.start, this.start + this.length)
  }
}

let lastBuffer: Buffer | undefined
let lastMemory: Memory | undefined

/** A part of a buffer, from which callers usually borrow several parts in turn. */
export function borrow (buffer: Buffer, start: number, end: number): BorrowedBytes {
  if (buffer !== lastBuffer || lastMemory === undefined) {
    const memory = buffer.buffer as ArrayBuffer
    if (memory !== lastMemory?.memory) lastMemory = { memory, bytes: Buffer.from(memory) as unknown as FastBuffer }
    lastBuffer = buffer
  }
  return new BorrowedBytes(lastMemory, buffer.byteOffset + start, end - start)
}

/** `instanceof Buffer` takes longer: Node defines the global as a getter. */
export function isBuffer (bytes: Bytes): bytes is Buffer {
  return typeof bytes === 'object' && !(bytes instanceof BorrowedBytes)
}

/** Bytes that can be kept. */
export function own (bytes: Bytes): OwnBytes {
  return bytes instanceof BorrowedBytes ? bytes.copy() : bytes
}

export function toBuffer (bytes: Bytes): Buffer {
  if (isBuffer(bytes)) return bytes
  const buffer = Buffer.allocUnsafeSlow(bytes.length)
  copyBytes(bytes, buffer, 0)
  return buffer
}

/** Returns where the copy ends. */
export function copyBytes (bytes: Bytes, target: Buffer, at: number): number {
  if (typeof bytes === 'string') (target as FastBuffer).latin1Write(bytes, at)
  else if (bytes instanceof BorrowedBytes) bytes.copyTo(target, at)
  else bytes.copy(target, at)
  return at + bytes.length
}

/** As a string in bytes form. */
export function asString (bytes: Bytes): string {
  return isBuffer(bytes) ? bytes.toString('latin1') : own(bytes) as string
}

export function toBytes (text: string): string {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1')
}

export function fromBytes (bytes: Bytes): string {
  if (bytes instanceof BorrowedBytes) return bytes.decode()
  if (typeof bytes !== 'string') return bytes.toString('utf8')
  return isAscii(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8')
}

/** Whether no character is above U+00FF. Looks at none of them if V8 stores the text with one byte for each. */
export function isLatin1 (text: string): boolean {
  // eslint-disable-next-line no-control-regex
  return !/[^\x00-\xff]/.test(text)
}

const CHUNK = 16 * 1024
let chunk: Buffer | undefined

function isAscii (text: string): boolean {
  // eslint-disable-next-line no-control-regex
  if (text.length < 512) return !/[^\x00-\x7f]/.test(text)
  if (!isLatin1(text)) return false
  // To copy long text and look at the copy takes a small part of the time of a regular expression or `byteLength`.
  chunk ??= Buffer.allocUnsafeSlow(CHUNK)
  for (let at = 0; at < text.length; at += CHUNK) {
    const size = chunk.write(text.slice(at, at + CHUNK), 'latin1')
    if (!isAsciiBytes(chunk.subarray(0, size))) return false
  }
  return true
}
