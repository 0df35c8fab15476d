// The collections of a keyspace. One without keys, locks or options is forgotten when there are many.
import type { Counters } from './counters.js'
import type { Clock, Deadlines, Budget } from './expiry.js'
import { CollectionState } from './collection-state.js'

/** Collections that may be empty before those are forgotten. */
const EMPTY_SHELVES = 1000

export class CollectionTable {
  #shelves = new Map<string, CollectionState>()
  #tidyAt = EMPTY_SHELVES
  readonly #clock: Clock
  readonly #deadlines: Deadlines
  readonly #past: Counters['past']

  constructor (clock: Clock, deadlines: Deadlines, { past }: Counters) {
    this.#clock = clock
    this.#deadlines = deadlines
    this.#past = past
  }

  get size (): number {
    return this.#shelves.size
  }

  find (name: string): CollectionState | undefined {
    return this.#shelves.get(name)
  }

  get (name: string): CollectionState {
    return this.#shelves.get(name) ?? this.#add(name)
  }

  values (): Iterable<CollectionState> {
    return this.#shelves.values()
  }

  /** As Sweepable has it. */
  sweep (budget: Budget): boolean {
    for (const { entries } of this.#shelves.values()) {
      if (entries.sweep(budget)) return true
    }
    return false
  }

  get idles (): boolean {
    for (const { entries } of this.#shelves.values()) {
      if (entries.bounds.idle > 0) return true
    }
    return false
  }

  #add (name: string): CollectionState {
    if (this.size >= this.#tidyAt) {
      for (const shelf of this.#shelves.values()) {
        if (shelf.isDisposable) this.#forget(shelf)
      }
      this.#tidyAt = Math.max(EMPTY_SHELVES, this.size * 2)
    }
    const shelf = new CollectionState(name, this.#clock, this.#deadlines)
    this.#shelves.set(name, shelf)
    return shelf
  }

  #forget ({ name, reads, writes, entries }: CollectionState): void {
    this.#past.reads += reads
    this.#past.writes += writes
    this.#past.expired += entries.expired
    this.#past.evicted += entries.evicted
    this.#shelves.delete(name)
  }
}
