// The hash and the bytes of the key that was looked up last: it is usually compared, looked up again or added next.
import { randomBytes } from 'node:crypto'
import { hash, type Secret } from './hash.js'

const SECRET: Secret = [randomBytes(4).readInt32LE(), randomBytes(4).readInt32LE()]

let key: string | undefined
let keyHash = 0
let words = new Int32Array(256)

/** The hash of a key. Never 0, as Shard requires. */
export function hashOf (text: string): number {
  if (text !== key) {
    if (wordsIn(text.length) >= words.length) words = new Int32Array(wordsIn(text.length) + 1)
    keyHash = hash(text, SECRET, words) || 1
    key = text
  }
  return keyHash
}

/** The bytes of a key as 32-bit words, which are compared faster than characters. Valid until the next call. */
export function bytesOf (text: string): Int32Array {
  hashOf(text)
  return words
}

/** The number of words with that many bytes. */
export function wordsIn (bytes: number): number {
  return bytes + 3 >> 2
}
