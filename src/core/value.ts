// The only place where a value becomes text and back, and where text becomes bytes and back.
import { StoreError } from './errors.js'

/** How a collection's values become JSON text and back. */
export interface Codec {
  /** STORE_VALUE_INVALID where there is no such text, STORE_VALUE_TOO_LARGE above `maxBytes` of UTF-8. */
  encode (value: unknown, maxBytes: number): string
  decode (text: string): unknown
}

/** Values as the language has them. */
export const json: Codec = {
  encode (value, maxBytes) {
    let text: string | undefined
    try {
      text = JSON.stringify(value)
    } catch (cause) {
      throw new StoreError('STORE_VALUE_INVALID', (cause as Error).message, { cause })
    }
    if (text === undefined) throw new StoreError('STORE_VALUE_INVALID', `JSON has no ${typeof value}`)
    checkSize(text, maxBytes)
    return text
  },
  decode (text) {
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw new StoreError('STORE_PROTOCOL', 'a value that is no JSON text', { cause })
    }
  }
}

/** Values that are JSON text already, for who only carries them. */
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
    if (!value.isWellFormed()) throw new StoreError('STORE_VALUE_INVALID', 'it has half of a surrogate pair')
    return value
  },
  decode: text => text
}

function checkSize (text: string, maxBytes: number): void {
  if (text.length * 3 <= maxBytes) return
  const size = Buffer.byteLength(text)
  if (size > maxBytes) throw new StoreError('STORE_VALUE_TOO_LARGE', `${size} bytes, the limit is ${maxBytes}`)
}

/**
 * Text as the keyspace keeps it. A string here has one character for each byte of its UTF-8: V8 stores it at one byte
 * a character whatever was written in it, and a socket's buffer turns into one, and back, by a plain copy. What is
 * large and comes from a socket stays a Buffer, as V8 takes many times longer to find room for a string of that size
 * than the copy takes. The length is the size to account for either way.
 */
export type Bytes = string | Buffer

export function toBytes (text: string): string {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1')
}

export function fromBytes (bytes: Bytes): string {
  if (typeof bytes !== 'string') return bytes.toString('utf8')
  return isAscii(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8')
}

function isAscii (text: string): boolean {
  // eslint-disable-next-line no-control-regex
  return !/[^\x00-\x7f]/.test(text)
}
