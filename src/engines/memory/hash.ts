// HalfSipHash-1-3, a keyed 32-bit hash (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012; in Linux as
// hsiphash). Without the secret, nobody can construct keys that collide.
import { endianness } from 'node:os'

/** Two random 32-bit words. */
export type Secret = readonly [number, number]

/** The positions of four bytes in a word, in the byte order of the machine. */
const [B0, B1, B2, B3] = endianness() === 'LE' ? [0, 8, 16, 24] as const : [24, 16, 8, 0] as const

/**
 * Hashes text in bytes form (see value.ts). Unsigned. Also writes the bytes to `words`; the unused ones of the last
 * word are zero.
 */
export function hash (text: string, [k0, k1]: Secret, words: Int32Array): number {
  let v0 = k0
  let v1 = k1
  let v2 = k0 ^ 0x6c796765
  let v3 = k1 ^ 0x74656462
  const { length } = text
  const whole = length & ~3
  // All words of four bytes, a word with the remaining bytes and the length, and three finalization rounds.
  for (let at = 0, last = whole + 12; at <= last; at += 4) {
    let word = 0
    if (at < whole) {
      word = text.charCodeAt(at) << B0 | text.charCodeAt(at + 1) << B1
      word |= text.charCodeAt(at + 2) << B2 | text.charCodeAt(at + 3) << B3
      words[at >> 2] = word
    } else if (at === whole) {
      if (length > at) word = text.charCodeAt(at) << B0
      if (length > at + 1) word |= text.charCodeAt(at + 1) << B1
      if (length > at + 2) word |= text.charCodeAt(at + 2) << B2
      words[at >> 2] = word
      word ^= length << 24
    } else if (at === whole + 4) {
      v2 ^= 0xff
    }
    v3 ^= word
    v0 = v0 + v1 | 0
    v1 = rotate(v1, 5) ^ v0
    v0 = rotate(v0, 16)
    v2 = v2 + v3 | 0
    v3 = rotate(v3, 8) ^ v2
    v0 = v0 + v3 | 0
    v3 = rotate(v3, 7) ^ v0
    v2 = v2 + v1 | 0
    v1 = rotate(v1, 13) ^ v2
    v2 = rotate(v2, 16)
    v0 ^= word
  }
  return (v1 ^ v3) >>> 0
}

function rotate (word: number, bits: number): number {
  return word << bits | word >>> 32 - bits
}
