// One collection of the keyspace: its values, its locks, its counters.
import { Entries } from './entries.js'
import type { Clock, Deadlines } from './expiry.js'
import type { Lock } from './lock.js'

export class CollectionState {
  readonly entries: Entries
  readonly locks = new Map<string, Lock>()
  reads = 0
  writes = 0

  constructor (readonly name: string, clock: Clock, deadlines: Deadlines) {
    this.entries = new Entries(clock, deadlines)
  }

  /** Whether forgetting it loses no more than its counters. */
  get isDisposable (): boolean {
    const { size, bounds } = this.entries
    return size === 0 && this.locks.size === 0 && bounds.idle + bounds.maxKeys + bounds.maxBytes === 0
  }

  get waiters (): number {
    let sum = 0
    for (const lock of this.locks.values()) sum += lock.waiters
    return sum
  }
}
