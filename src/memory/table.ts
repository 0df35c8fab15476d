// A hash table whose longest operation stays short however many keys it holds. One big Map doubles all at once, which
// at a million keys holds the process for tens of milliseconds; this one grows and shrinks a small Map at a time, by
// linear hashing (Litwin, 1980).
//
// It can be walked in pages without keeping any state between them: keys are visited in the order of their bit-reversed
// hash, in which a Map that is split keeps its place, so a key that is there all the time is seen exactly once.

const SPLIT = 1024 // keys per Map, on average, above which the table grows
const MERGE = 256 //  and below which it shrinks

export interface Page<V> {
  values: V[]
  /** Where the next page begins; undefined at the end. */
  next: number | undefined
}

export class Table<V> {
  size = 0
  #shards: Map<string, V>[] = [new Map()]
  readonly #seed: number

  constructor (seed = Math.random() * 2 ** 32) {
    this.#seed = seed | 0
  }

  get (key: string): V | undefined {
    return this.#shardOf(key).get(key)
  }

  /** Adds a key that is not there yet. */
  add (key: string, value: V): void {
    this.#shardOf(key).set(key, value)
    if (++this.size > this.#shards.length * SPLIT) this.#grow()
  }

  delete (key: string): void {
    if (!this.#shardOf(key).delete(key)) return
    if (--this.size < (this.#shards.length - 1) * MERGE) this.#shrink()
  }

  * values (): Generator<V> {
    for (const shard of this.#shards) yield * shard.values()
  }

  /** The values from `position` on (0 at first): at least `limit` if there are, at most one Map's more than that. */
  page (position: number, limit: number): Page<V> {
    const values: V[] = []
    let at: number | undefined = position >>> 0
    while (at !== undefined && values.length < limit) {
      const index = this.#index(reverse(at))
      const found: Array<{ place: number, value: V }> = []
      for (const [key, value] of this.#shards[index]!) {
        const place = reverse(hash(key, this.#seed))
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

  #shardOf (key: string): Map<string, V> {
    return this.#shards.length === 1 ? this.#shards[0]! : this.#shards[this.#index(hash(key, this.#seed))]!
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

  #grow (): void {
    const added = this.#shards.length
    const source = this.#shards[added - 2 ** log2(added)]!
    const target = new Map<string, V>()
    this.#shards.push(target)
    for (const [key, value] of source) {
      if (this.#index(hash(key, this.#seed)) !== added) continue
      target.set(key, value)
      source.delete(key)
    }
  }

  #shrink (): void {
    const last = this.#shards.pop()!
    const target = this.#shards[this.#shards.length - 2 ** log2(this.#shards.length)]!
    for (const [key, value] of last) target.set(key, value)
  }
}

function log2 (n: number): number {
  return 31 - Math.clz32(n)
}

/** FNV-1a with a seed, then murmur3's finalizer, so that every bit of it is good. */
function hash (key: string, seed: number): number {
  let h = seed ^ 0x811c9dc5
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** The 32 bits in opposite order. */
function reverse (n: number): number {
  n = ((n >>> 1) & 0x55555555) | ((n & 0x55555555) << 1)
  n = ((n >>> 2) & 0x33333333) | ((n & 0x33333333) << 2)
  n = ((n >>> 4) & 0x0f0f0f0f) | ((n & 0x0f0f0f0f) << 4)
  n = ((n >>> 8) & 0x00ff00ff) | ((n & 0x00ff00ff) << 8)
  return ((n >>> 16) | (n << 16)) >>> 0
}
