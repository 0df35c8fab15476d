// Runs the agenda of a keyspace when tasks are due, one slice at a time. Its timer keeps the process alive only if a
// call may be waiting for the result, such as the end of a lease, and not for tasks that only free memory.
import { performance } from 'node:perf_hooks'
import { Timer } from '../../core/timer.js'
import { Budget, SLICE_MS } from './agenda.js'
import type { Keyspace } from './keyspace.js'

/** Deadlines closer together than this are handled in one run. */
const MIN_PAUSE_MS = 10
/** Length of a slice relative to the time since the last one: slices get longer under load. */
const SHARE = 0.2
const MAX_SLICE_MS = 1

export class Sweeper {
  readonly #keyspace: Keyspace
  readonly #timer = new Timer()
  #planned = Infinity
  /** Pending calls, and those of them that wait for any change. */
  #waiting = 0
  #polls = 0
  /** When the last slice ended. */
  #ended = performance.now()

  constructor (keyspace: Keyspace) {
    this.#keyspace = keyspace
    this.#timer.setReferenced(false)
    keyspace.agenda.onscheduled = time => {
      this.#plan(time)
      this.#reference()
    }
  }

  /** `waiting`: number of pending calls; `polls`: those of them that wait for any change. */
  setWaiting (waiting: number, polls: number): void {
    this.#waiting = waiting
    this.#polls = polls
    this.#reference()
  }

  stop (): void {
    this.#timer.stop()
    this.#keyspace.agenda.onscheduled = undefined
  }

  #plan (time: number): void {
    if (time >= this.#planned) return
    this.#planned = time
    // The cached clock may be a millisecond late, and timers may fire a millisecond early.
    const delay = time - this.#keyspace.clock.now + 1
    // Due work, or the rest of a slice, continues after the event loop has done its own due work.
    this.#timer.start(delay <= 1 ? 1 : Math.max(MIN_PAUSE_MS, delay), () => { this.#run() })
  }

  #run (): void {
    this.#planned = -Infinity // tasks scheduled during the run need no timer
    this.#keyspace.clock.tick()
    try {
      const waited = performance.now() - this.#ended
      const slice = Math.min(MAX_SLICE_MS, Math.max(SLICE_MS, waited * SHARE))
      this.#keyspace.sweep(new Budget(undefined, slice))
    } finally {
      this.#ended = performance.now()
      this.#planned = Infinity
      this.#plan(this.#keyspace.agenda.next)
      this.#reference()
    }
  }

  #reference (): void {
    this.#timer.setReferenced(this.#polls > 0 || (this.#waiting > 0 && this.#keyspace.agenda.isAwaited))
  }
}
