// How strings are encoded in frames.

/** A client writes strings as UTF-8; the server passes the bytes through (see core/value.ts). */
export interface Charset {
  write (buffer: Buffer, text: string, at: number): number
  read (buffer: Buffer, from: number, to: number): string
  /** An upper bound of the encoded size of `text`. */
  room (text: string): number
}

// Internal methods of Node's Buffer, faster than `write` and `toString`.
interface FastBuffer extends Buffer {
  latin1Write (text: string, at: number): number
  latin1Slice (from: number, to: number): string
  utf8Write (text: string, at: number): number
  utf8Slice (from: number, to: number): string
}

export const bytes: Charset = {
  write: (buffer, text, at) => (buffer as FastBuffer).latin1Write(text, at),
  read: (buffer, from, to) => (buffer as FastBuffer).latin1Slice(from, to),
  room: text => text.length
}

export const utf8: Charset = {
  write: (buffer, text, at) => (buffer as FastBuffer).utf8Write(text, at),
  read: (buffer, from, to) => (buffer as FastBuffer).utf8Slice(from, to),
  room: text => text.length < 4096 ? text.length * 3 : Buffer.byteLength(text)
}
