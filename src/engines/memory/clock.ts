// The keyspace's source of time.
import { performance } from 'node:perf_hooks'

/** Monotonic milliseconds: changes of the wall clock cannot end keys or leases early. */
export type Time = () => number

/** A cached clock: `tick` reads the time once per batch of requests. In whole milliseconds since the start. */
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
