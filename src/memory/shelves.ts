// The collections of a keyspace. One without keys, locks or options is forgotten when there are many.
import type { Tally } from './tally.js'
import type { Clock, Deadlines, Slice } from './expiry.js'
import { Shelf } from './shelf.js'

/** Collections that may be empty before those are forgotten. */
const EMPTY_SHELVES = 1000

export class Shelves {
  #shelves = new Map<string, Shelf>()
  #tidyAt = EMPTY_SHELVES
  readonly #clock: Clock
  readonly #deadlines: Deadlines
  readonly #past: Tally['past']

  constructor (clock: Clock, deadlines: Deadlines, { past }: Tally) {
    this.#clock = clock
    this.#deadlines = deadlines
    this.#past = past
  }

  get size (): number {
    return this.#shelves.size
  }

  find (name: string): Shelf | undefined {
    return this.#shelves.get(name)
  }

  get (name: string): Shelf {
    return this.#shelves.get(name) ?? this.#add(name)
  }

  values (): Iterable<Shelf> {
    return this.#shelves.values()
  }

  /** As Sweepable has it. */
  sweep (slice: Slice): boolean {
    for (const { entries } of this.#shelves.values()) {
      if (entries.sweep(slice)) return true
    }
    return false
  }

  get idles (): boolean {
    for (const { entries } of this.#shelves.values()) {
      if (entries.bounds.idle > 0) return true
    }
    return false
  }

  #add (name: string): Shelf {
    if (this.size >= this.#tidyAt) {
      for (const shelf of this.#shelves.values()) {
        if (shelf.isDisposable) this.#forget(shelf)
      }
      this.#tidyAt = Math.max(EMPTY_SHELVES, this.size * 2)
    }
    const shelf = new Shelf(name, this.#clock, this.#deadlines)
    this.#shelves.set(name, shelf)
    return shelf
  }

  #forget ({ name, reads, writes, entries }: Shelf): void {
    this.#past.reads += reads
    this.#past.writes += writes
    this.#past.expired += entries.expired
    this.#past.evicted += entries.evicted
    this.#shelves.delete(name)
  }
}
