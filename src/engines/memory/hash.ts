// HalfSipHash-1-3, a keyed 32-bit hash (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012; in Linux as
// hsiphash). Without the secret, nobody can construct keys that collide.

/** Two random 32-bit words. */
export type Secret = readonly [number, number]

/** Hashes text in bytes form (see value.ts). Unsigned. */
export function hash (bytes: string, [k0, k1]: Secret): number {
  let v0 = k0
  let v1 = k1
  let v2 = k0 ^ 0x6c796765
  let v3 = k1 ^ 0x74656462
  const { length } = bytes
  const words = length & ~3
  // All words of four bytes, a word with the remaining bytes and the length, and three finalization rounds.
  for (let at = 0, last = words + 12; at <= last; at += 4) {
    let word = 0
    if (at < words) {
      word = bytes.charCodeAt(at) | bytes.charCodeAt(at + 1) << 8
      word |= bytes.charCodeAt(at + 2) << 16 | bytes.charCodeAt(at + 3) << 24
    } else if (at === words) {
      word = length << 24
      for (let i = length - 1; i >= words; i--) word |= bytes.charCodeAt(i) << 8 * (i & 3)
    } else if (at === words + 4) {
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
