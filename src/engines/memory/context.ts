// State shared by all parts of a keyspace.
import { Agenda } from './agenda.js'
import { Observers, type Observer } from './changes.js'
import { Clock, type Time } from './clock.js'
import { Copies } from './copies.js'
import { EntryPool } from './entry-pool.js'
import type { Durability } from './durability.js'
import { Counters } from './counters.js'

export interface KeyspaceOptions {
  /** Maximum size of a value, in bytes of JSON text. */
  maxValueBytes?: number
  /** Maximum number of calls that wait for one key. */
  maxWaiters?: number
  /** Maximum size of the values that waiting calls of one caller are going to write. */
  maxWaitingBytes?: number
  time?: Time
}

export class Context {
  readonly clock: Clock
  readonly agenda: Agenda
  readonly counters = new Counters()
  readonly entries: EntryPool
  readonly copies: Copies
  /**
   * Incremented by every change and every clear: the version of an entry is the revision that wrote it. It also orders
   * clears relative to locks and waiters, each of which stores the revision at which it arrived.
   */
  revision = 0
  /** Undefined without observers. */
  changes: Observers | undefined
  /** Undefined if nothing is saved to disk. */
  durability: Durability | undefined

  constructor (time?: Time) {
    this.clock = new Clock(time)
    this.agenda = new Agenda(this.clock)
    this.entries = new EntryPool(this.agenda, this.clock)
    this.copies = new Copies(this.clock, this.counters.near)
  }

  observe (observer: Observer): void {
    this.changes = new Observers([...this.changes?.all ?? [], observer])
  }

  unobserve (observer: Observer): void {
    const others = this.changes?.all.filter(other => other !== observer) ?? []
    this.changes = others.length === 0 ? undefined : new Observers(others)
  }
}
