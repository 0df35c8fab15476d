// Timers without a maximum delay. Node's setTimeout fires after 1 ms if the delay exceeds 2^31 - 1 ms (24.8 days).
import { performance } from 'node:perf_hooks'

const MAX_DELAY_MS = 2 ** 31 - 1

/** A restartable timer. All timers of the package use it. */
export class Timer {
  #timeout: NodeJS.Timeout | undefined
  #isReferenced = true

  /** Calls `fn` once after `delay` milliseconds. Replaces a pending call. */
  start (delay: number, fn: () => void): void {
    this.stop()
    this.#arm(delay > MAX_DELAY_MS ? performance.now() + delay : 0, delay, fn)
  }

  stop (): void {
    clearTimeout(this.#timeout)
    this.#timeout = undefined
  }

  /** Whether a running timer keeps the process alive. Default: true. */
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
