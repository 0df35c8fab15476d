// A hash table whose longest operation stays short however many keys it holds. One big Map doubles all at once, which
// at a million keys holds the process for tens of milliseconds; this one grows and shrinks a small shard at a time, by
// linear hashing (Litwin, 1980).
//
// It can be walked in pages without keeping any state between them: keys are visited in the order of their bit-reversed
// hash, in which a shard that is split keeps its place, so a key that is there all the time is seen exactly once.
import { randomBytes } from 'node:crypto'
import { hash, type Secret } from './hash.js'
import { Shard, type Keyed } from './shard.js'

const SPLIT = 1024 // keys per shard, on average, above which the table grows
const MERGE = 256 //  and below which it shrinks

export interface Page<V> {
  values: V[]
  /** Where the next page begins; undefined at the end. */
  next: number | undefined
}

export class Table<V extends Keyed> {
  size = 0
  #shards = [new Shard<V>()]
  readonly #secret: Secret = [randomBytes(4).readInt32LE(), randomBytes(4).readInt32LE()]

  get (key: string): V | undefined {
    const hashed = this.#hash(key)
    return this.#shards[this.#index(hashed)]!.get(key, hashed)
  }

  /** Adds a value whose key is not there yet. */
  add (value: V): void {
    const hashed = this.#hash(value.key)
    this.#shards[this.#index(hashed)]!.add(value, hashed)
    if (++this.size > this.#shards.length * SPLIT) this.#grow()
  }

  delete (key: string): void {
    const hashed = this.#hash(key)
    if (!this.#shards[this.#index(hashed)]!.delete(key, hashed)) return
    if (--this.size < (this.#shards.length - 1) * MERGE) this.#shrink()
  }

  /** Not to be changed meanwhile. */
  * values (): Generator<V> {
    for (const shard of this.#shards) {
      for (const [value] of shard.entries()) yield value
    }
  }

  /** The values from `position` on (0 at first): at least `limit` if there are, at most one shard's more than that. */
  page (position: number, limit: number): Page<V> {
    const values: V[] = []
    let at: number | undefined = position >>> 0
    while (at !== undefined && values.length < limit) {
      const index = this.#index(reverse(at))
      const found: Array<{ place: number, value: V }> = []
      for (const [value, hashed] of this.#shards[index]!.entries()) {
        const place = reverse(hashed)
        if (place >= at) found.push({ place, value })
      }
      found.sort((a, b) => a.place - b.place)
      let end = limit - values.length
      // Keys of one hash share a page: the next one begins at a hash.
      while (end < found.length && found[end]!.place === found[end - 1]!.place) end++
      for (const { value } of found.slice(0, end)) values.push(value)
      if (end < found.length) return { values, next: found[end]!.place }
      const after = reverse(index) + 2 ** (32 - this.#bits(index))
      at = after < 2 ** 32 ? after : undefined
    }
    return { values, next: at }
  }

  #index (hashed: number): number {
    const half = 2 ** log2(this.#shards.length)
    const index = hashed & (2 * half - 1)
    return index < this.#shards.length ? index : index - half
  }

  /** How many low bits of a hash lead to this shard. */
  #bits (index: number): number {
    const level = log2(this.#shards.length)
    const half = 2 ** level
    return index >= half || index < this.#shards.length - half ? level + 1 : level
  }

  /** Not 0, as a shard wants it. */
  #hash (key: string): number {
    return hash(key, this.#secret) || 1
  }

  #grow (): void {
    const added = this.#shards.length
    const split = added - 2 ** log2(added)
    const source = this.#shards[split]!
    this.#shards[split] = new Shard(source.size / 2)
    this.#shards.push(new Shard(source.size / 2))
    for (const [value, hashed] of source.entries()) this.#shards[this.#index(hashed)]!.add(value, hashed)
  }

  #shrink (): void {
    const last = this.#shards.pop()!
    const target = this.#shards[this.#shards.length - 2 ** log2(this.#shards.length)]!
    for (const [value, hashed] of last.entries()) target.add(value, hashed)
  }
}

function log2 (n: number): number {
  return 31 - Math.clz32(n)
}

/** The 32 bits in opposite order. */
function reverse (n: number): number {
  n = ((n >>> 1) & 0x55555555) | ((n & 0x55555555) << 1)
  n = ((n >>> 2) & 0x33333333) | ((n & 0x33333333) << 2)
  n = ((n >>> 4) & 0x0f0f0f0f) | ((n & 0x0f0f0f0f) << 4)
  n = ((n >>> 8) & 0x00ff00ff) | ((n & 0x00ff00ff) << 8)
  return ((n >>> 16) | (n << 16)) >>> 0
}
