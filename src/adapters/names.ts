// Keys in which clients have a say, such as their addresses and URLs.
import { createHash } from 'node:crypto'
import { MAX_NAME_BYTES } from '../core/validation.js'

/** `prefix + key`; with the SHA-256 of the key where that is no key of a store. */
export function nameOf (prefix: string, key: string): string {
  const name = prefix + key
  if (name.isWellFormed() && (name.length * 3 <= MAX_NAME_BYTES || Buffer.byteLength(name) <= MAX_NAME_BYTES)) return name
  return prefix + createHash('sha256').update(key).digest('base64url')
}
