// The only place where a value becomes text and back, and where text becomes bytes and back.
import { StoreError } from './errors.js'

/** The JSON text of a value. STORE_VALUE_INVALID where there is none, STORE_VALUE_TOO_LARGE above `maxBytes` of UTF-8. */
export function encode (value: unknown, maxBytes: number): string {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    throw new StoreError('STORE_VALUE_INVALID', (cause as Error).message, { cause })
  }
  if (text === undefined) throw new StoreError('STORE_VALUE_INVALID', `JSON has no ${typeof value}`)
  if (text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes) {
    throw new StoreError('STORE_VALUE_TOO_LARGE', `${Buffer.byteLength(text)} bytes, the limit is ${maxBytes}`)
  }
  return text
}

export function decode (text: string | undefined): unknown {
  return text === undefined ? undefined : JSON.parse(text)
}

// The keyspace keeps text as "bytes": a string with one character for each byte of its UTF-8. V8 stores such a
// string at one byte a character whatever was written in it, its length is the size to account for, and
// a socket's buffer turns into one, and back, by a plain copy.

export function toBytes (text: string): string {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1')
}

export function fromBytes (bytes: string): string {
  return isAscii(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8')
}

function isAscii (text: string): boolean {
  // eslint-disable-next-line no-control-regex
  return !/[^\x00-\x7f]/.test(text)
}
