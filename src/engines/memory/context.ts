// What all parts of one keyspace share.
import { Agenda } from './agenda.js'
import { Observers, type Observer } from './changes.js'
import { Clock, type Time } from './clock.js'
import type { Durability } from './durability.js'
import { Counters } from './counters.js'

export class Context {
  readonly clock: Clock
  readonly agenda: Agenda
  readonly counters = new Counters()
  /**
   * Grows with every change and every clear: the version of an entry is the revision that wrote it. It also puts
   * clears in order with locks and the calls that wait for them, each of which keeps the revision at which it came.
   */
  revision = 0
  /** Undefined while there are no observers. */
  changes: Observers | undefined
  /** Undefined where nothing is kept beyond the process. */
  durability: Durability | undefined

  constructor (time?: Time) {
    this.clock = new Clock(time)
    this.agenda = new Agenda(this.clock)
  }

  observe (observer: Observer): void {
    this.changes = new Observers([...this.changes?.all ?? [], observer])
  }

  unobserve (observer: Observer): void {
    const others = this.changes?.all.filter(other => other !== observer) ?? []
    this.changes = others.length === 0 ? undefined : new Observers(others)
  }
}
