// A hash table whose operations take a bounded time, however many keys it has. A Map doubles all at once, which blocks
// the process for tens of milliseconds at a million keys; this table grows and shrinks by one small shard at a time
// (linear hashing: Litwin, 1980). A handful of keys is kept in a plain array.
//
// It can be walked in pages without state between them: keys are ordered by their bit-reversed hash, and a split of a
// shard preserves that order, so a key that exists during the whole walk is seen exactly once.
import { hashOf } from './hashed-key.js'
import type { Keys } from './keyed.js'
import { Shard } from './shard.js'

const SPLIT = 1024 // keys per shard, on average, above which the table grows
const MERGE = 256 //  and below which it shrinks
/** Up to this number of keys there are no shards. */
const MAX_FEW = 8

const NONE: never[] = []

export interface Page<V> {
  values: V[]
  /** The position of the next page; undefined at the end. */
  next: number | undefined
}

interface Placed<V> {
  place: number
  value: V
}

export class Table<V> {
  size = 0
  readonly #keys: Keys<V>
  /** All values while there are few. A single value is stored without an array. */
  #few: V | readonly V[] | undefined
  #shards: Array<Shard<V>> = NONE

  constructor (keys: Keys<V>) {
    this.#keys = keys
  }

  get (key: string): V | undefined {
    const shards = this.#shards
    if (shards.length === 0) return this.find(key)
    const hashed = hashOf(key)
    return shards[this.index(hashed)]!.get(key, hashed)
  }

  /** Adds a value. Its key must not exist. */
  add (value: V): void {
    if (this.#shards.length === 0) {
      this.setFew([...this.list, value])
      if (this.size > MAX_FEW) this.spread()
      return
    }
    this.size++
    const hashed = this.hashOf(value)
    this.#shards[this.index(hashed)]!.add(value, hashed)
    if (this.size > this.#shards.length * SPLIT) this.grow()
  }

  /** Replaces the value of a key. */
  replace (key: string, value: V): void {
    if (this.#shards.length === 0) {
      this.setFew(this.list.map(one => this.#keys.hasKey(one, key) ? value : one))
      return
    }
    const hashed = hashOf(key)
    this.#shards[this.index(hashed)]!.replace(key, value, hashed)
  }

  delete (key: string): void {
    if (this.#shards.length === 0) {
      this.setFew(this.list.filter(value => !this.#keys.hasKey(value, key)))
      return
    }
    const hashed = hashOf(key)
    if (!this.#shards[this.index(hashed)]!.delete(key, hashed)) return
    if (--this.size === 0) this.#shards = NONE
    else if (this.size < (this.#shards.length - 1) * MERGE) this.shrink()
  }

  /**
   * The values from `position` on (0 at first): `limit` of them, or up to the first for which `isLast` is true. Keys
   * of one hash share a page, as the next one begins at a hash.
   */
  page (position: number, limit: number, isLast: (value: V) => boolean = () => false): Page<V> {
    const values: V[] = []
    let at: number | undefined = position >>> 0
    let last: number | undefined
    while (at !== undefined && last === undefined) {
      const found: Array<Placed<V>> = []
      const next = this.visit(at, (value, place) => { found.push({ place, value }) })
      found.sort((a, b) => a.place - b.place)
      for (const { place, value } of found) {
        if (last !== undefined && place !== last) return { values, next: place }
        values.push(value)
        if (values.length >= limit || isLast(value)) last = place
      }
      at = next
    }
    return { values, next: at }
  }

  /** Values of one shard from `position` on, unordered. This is the step size of long walks. */
  step (position: number): Page<V> {
    const values: V[] = []
    const next = this.visit(position, value => { values.push(value) })
    return { values, next }
  }

  /** The keys of a step. */
  keyStep (position: number): Page<string> {
    const { values, next } = this.step(position)
    return { values: values.map(value => this.#keys.keyOf(value)), next }
  }

  /** All values, in steps. The table may change in between: what is there all the time is seen exactly once. */
  * walk (): Generator<V, void, undefined> {
    for (let at: number | undefined = 0; at !== undefined;) {
      const { values, next }: Page<V> = this.step(at)
      yield * values
      at = next
    }
  }

  * keys (): Generator<string, void, undefined> {
    for (const value of this.walk()) yield this.#keys.keyOf(value)
  }

  /** Visits the values of a shard from a position on. Returns the position of the next shard. */
  private visit (at: number, visit: (value: V, place: number) => void): number | undefined {
    if (this.#shards.length === 0) {
      for (const value of this.list) {
        const place = reverse(this.hashOf(value))
        if (place >= at) visit(value, place)
      }
      return undefined
    }
    const index = this.index(reverse(at))
    this.#shards[index]!.each((value, hashed) => {
      const place = reverse(hashed)
      if (place >= at) visit(value, place)
    })
    const after = reverse(index) + 2 ** (32 - this.bits(index))
    return after < 2 ** 32 ? after : undefined
  }

  private find (key: string): V | undefined {
    if (this.size === 1) return this.#keys.hasKey(this.#few as V, key) ? this.#few as V : undefined
    return this.list.find(value => this.#keys.hasKey(value, key))
  }

  private get list (): readonly V[] {
    return this.#few === undefined ? NONE : this.size === 1 ? [this.#few as V] : this.#few as readonly V[]
  }

  private setFew (few: readonly V[]): void {
    this.size = few.length
    this.#few = few.length > 1 ? few : few[0]
  }

  private hashOf (value: V): number {
    return hashOf(this.#keys.keyOf(value))
  }

  private index (hashed: number): number {
    const half = 1 << log2(this.#shards.length) // `2 **` is many times slower
    const index = hashed & (2 * half - 1)
    return index < this.#shards.length ? index : index - half
  }

  /** The number of low bits of a hash that select this shard. */
  private bits (index: number): number {
    const level = log2(this.#shards.length)
    const half = 2 ** level
    return index >= half || index < this.#shards.length - half ? level + 1 : level
  }

  private spread (): void {
    const shard = new Shard(this.#keys, this.size)
    for (const value of this.list) shard.add(value, this.hashOf(value))
    this.#few = undefined
    this.#shards = [shard]
  }

  private grow (): void {
    const added = this.#shards.length
    const split = added - 2 ** log2(added)
    const source = this.#shards[split]!
    this.#shards[split] = new Shard(this.#keys, source.size / 2)
    this.#shards.push(new Shard(this.#keys, source.size / 2))
    source.each((value, hashed) => { this.#shards[this.index(hashed)]!.add(value, hashed) })
  }

  private shrink (): void {
    const last = this.#shards.pop()!
    const target = this.#shards[this.#shards.length - 2 ** log2(this.#shards.length)]!
    last.each((value, hashed) => { target.add(value, hashed) })
  }
}

function log2 (n: number): number {
  return 31 - Math.clz32(n)
}

/** Reverses the 32 bits. */
function reverse (n: number): number {
  n = ((n >>> 1) & 0x55555555) | ((n & 0x55555555) << 1)
  n = ((n >>> 2) & 0x33333333) | ((n & 0x33333333) << 2)
  n = ((n >>> 4) & 0x0f0f0f0f) | ((n & 0x0f0f0f0f) << 4)
  n = ((n >>> 8) & 0x00ff00ff) | ((n & 0x00ff00ff) << 8)
  return ((n >>> 16) | (n << 16)) >>> 0
}
