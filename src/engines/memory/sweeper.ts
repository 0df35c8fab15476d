// Runs the agenda of a keyspace when something is due, a slice at a time. Its timer does not keep the process alive,
// unless a call waits for what it may bring: the end of a lease, not of memory that is freed. It fires in a process
// that is kept alive by anything else, however quiet that is.
import { Timer } from '../../core/timer.js'
import { Budget } from './agenda.js'
import type { Keyspace } from './keyspace.js'

/** Deadlines that are closer together are handled in one run. */
const MIN_PAUSE_MS = 10

export class Sweeper {
  readonly #keyspace: Keyspace
  readonly #timer = new Timer()
  #planned = Infinity

  constructor (keyspace: Keyspace) {
    this.#keyspace = keyspace
    this.#timer.setReferenced(false)
    keyspace.agenda.onearlier = time => { this.#plan(time) }
  }

  /** `waiting`: calls that are not answered; `polls`: those of them that wait for any change. */
  setWaiting (waiting: number, polls: number): void {
    this.#timer.setReferenced(polls > 0 || (waiting > 0 && this.#keyspace.agenda.isAwaited))
  }

  stop (): void {
    this.#timer.stop()
    this.#keyspace.agenda.onearlier = undefined
  }

  #plan (time: number): void {
    if (time >= this.#planned) return
    this.#planned = time
    // The clock is up to a millisecond behind, and timers may fire as much too early.
    const delay = time - this.#keyspace.clock.now + 1
    // What is due already, or left over from a slice, goes on after whatever the event loop has to do by then.
    this.#timer.start(delay <= 1 ? 1 : Math.max(MIN_PAUSE_MS, delay), () => { this.#run() })
  }

  #run (): void {
    this.#planned = -Infinity // what is scheduled during the run needs no timer
    this.#keyspace.clock.tick()
    try {
      this.#keyspace.sweep(new Budget())
    } finally {
      this.#planned = Infinity
      this.#plan(this.#keyspace.agenda.next)
    }
  }
}
