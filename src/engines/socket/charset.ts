// How strings are laid into frames, and read from them.

/** A client writes strings as UTF-8; the server keeps the bytes as they are (see core/value.ts). */
export interface Charset {
  write (buffer: Buffer, text: string, at: number): number
  read (buffer: Buffer, from: number, to: number): string
  /** No fewer bytes than `text` will take. */
  room (text: string): number
}

// Node's own names for the two copies that `write` and `toString` come down to, without their detours.
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
