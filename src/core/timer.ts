// Timers of any length. Node's setTimeout fires after 1 ms where the delay exceeds 2^31 - 1 ms (24.8 days).
import { performance } from 'node:perf_hooks'

const MAX_DELAY_MS = 2 ** 31 - 1

/** One timer that can be started again; every timer in the package is one of these. */
export class Timer {
  #timeout: NodeJS.Timeout | undefined
  #isReferenced = true

  /** Calls `fn` once, `delay` milliseconds from now. Replaces what was started before. */
  start (delay: number, fn: () => void): void {
    this.stop()
    this.#arm(delay > MAX_DELAY_MS ? performance.now() + delay : 0, delay, fn)
  }

  stop (): void {
    clearTimeout(this.#timeout)
    this.#timeout = undefined
  }

  /** Whether it keeps the process alive while it runs. It does until told otherwise. */
  setReferenced (isReferenced: boolean): void {
    this.#isReferenced = isReferenced
    if (isReferenced) this.#timeout?.ref()
    else this.#timeout?.unref()
  }

  #arm (end: number, delay: number, fn: () => void): void {
    this.#timeout = setTimeout(() => {
      const left = end - performance.now()
      if (delay > MAX_DELAY_MS && left > 0) {
        this.#arm(end, left, fn)
        return
      }
      this.#timeout = undefined
      fn()
    }, Math.min(delay, MAX_DELAY_MS))
    if (!this.#isReferenced) this.#timeout.unref()
  }
}
