// Time as the keyspace reads it.
import { performance } from 'node:perf_hooks'

/** Milliseconds that only grow: no change of the wall clock can end a key or a lease before its time. */
export type Time = () => number

/**
 * The time, read once for many operations: `tick` is called before each batch of requests. Whole milliseconds since
 * the start.
 */
export class Clock {
  now = 0
  readonly #time: Time
  readonly #start: number

  constructor (time: Time = () => performance.now()) {
    this.#time = time
    this.#start = time()
    this.tick()
  }

  tick (): void {
    this.now = Math.floor(this.#time() - this.#start)
  }
}
