// Keys that clients can influence, such as addresses and URLs.
import { createHash } from 'node:crypto'
import { MAX_NAME_BYTES } from '../core/validation.js'

/** Returns `prefix + key`, with the SHA-256 of the key in its place if that is not a valid key of a store. */
export function nameOf (prefix: string, key: string): string {
  const name = prefix + key
  const isShort = name.length * 3 <= MAX_NAME_BYTES || Buffer.byteLength(name) <= MAX_NAME_BYTES
  if (isShort && name.isWellFormed()) return name
  return prefix + createHash('sha256').update(key).digest('base64url')
}
