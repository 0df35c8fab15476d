// A small part of a table: open addressing with linear probing. It grows by half: doubling would leave up to five of
// eight slots empty. It allocates only when it grows. A Map also allocates when it shrinks, so a sweep would keep the
// garbage collector busy.
import type { Keys, Slots } from './keyed.js'

const SMALLEST = 8
/** The part of the slots that is used at most. */
const FULL = 0.8
const GROWTH = 1.5

/** Callers pass the hash of the key, which is never 0. */
export class Shard<V> {
  readonly #keys: Keys<V>
  #size = 0
  /** The hash in each slot; 0 if it is empty. */
  #hashes: Uint32Array
  #values: Slots<V>

  /** Preallocates room for that many values. */
  constructor (keys: Keys<V>, room = 0) {
    this.#keys = keys
    const slots = Math.max(SMALLEST, Math.ceil(room / FULL))
    this.#hashes = new Uint32Array(slots)
    this.#values = keys.slots(slots) as Slots<V>
  }

  get size (): number {
    return this.#size
  }

  get (key: string, hash: number): V | undefined {
    const slot = this.#slotOf(key, hash)
    return this.#hashes[slot] === 0 ? undefined : this.#values[slot]
  }

  /** Adds a value. Its key must not exist. */
  add (value: V, hash: number): void {
    if (this.#size + 1 > this.#hashes.length * FULL) this.#grow()
    this.#put(value, hash)
    this.#size++
  }

  /** Replaces the value of a key. */
  replace (key: string, value: V, hash: number): void {
    this.#values[this.#slotOf(key, hash)] = value
  }

  /** Returns whether the key existed. */
  delete (key: string, hash: number): boolean {
    const hashes = this.#hashes
    const values = this.#values
    const slots = hashes.length
    let empty = this.#slotOf(key, hash)
    if (hashes[empty] === 0) return false
    // Lookups end at the first empty slot, so displaced values after it have to move up.
    for (let slot = next(empty, slots); hashes[slot] !== 0; slot = next(slot, slots)) {
      if (distance(home(hashes[slot]!, slots), slot, slots) < distance(empty, slot, slots)) continue
      hashes[empty] = hashes[slot]!
      values[empty] = values[slot]
      empty = slot
    }
    hashes[empty] = 0
    values[empty] = undefined
    this.#size--
    return true
  }

  /** Calls `visit` for each value. It must not modify the shard. */
  each (visit: (value: V, hash: number) => void): void {
    const hashes = this.#hashes
    const values = this.#values
    for (let slot = 0; slot < hashes.length; slot++) {
      if (hashes[slot] !== 0) visit(values[slot]!, hashes[slot]!)
    }
  }

  /** The slot of the key, or the empty slot for it. */
  #slotOf (key: string, hash: number): number {
    const hashes = this.#hashes
    const values = this.#values
    const slots = hashes.length
    let slot = home(hash, slots)
    for (let found; (found = hashes[slot]) !== 0; slot = next(slot, slots)) {
      if (found === hash && this.#keys.hasKey(values[slot]!, key)) break
    }
    return slot
  }

  #put (value: V, hash: number): void {
    const hashes = this.#hashes
    const slots = hashes.length
    let slot = home(hash, slots)
    while (hashes[slot] !== 0) slot = next(slot, slots)
    hashes[slot] = hash
    this.#values[slot] = value
  }

  #grow (): void {
    const hashes = this.#hashes
    const values = this.#values
    const slots = Math.ceil(hashes.length * GROWTH)
    this.#hashes = new Uint32Array(slots)
    this.#values = this.#keys.slots(slots) as Slots<V>
    for (let slot = 0; slot < hashes.length; slot++) {
      if (hashes[slot] !== 0) this.#put(values[slot]!, hashes[slot]!)
    }
  }
}

/** The preferred slot of a hash. Its low bits have already selected the shard, so the high 16 are scaled. */
function home (hash: number, slots: number): number {
  return (hash >>> 16) * slots >>> 16
}

function next (slot: number, slots: number): number {
  return slot + 1 === slots ? 0 : slot + 1
}

function distance (from: number, to: number, slots: number): number {
  return to < from ? to - from + slots : to - from
}
