// Pauses between attempts to reach a store again: longer each time, and of random length, so that the processes of a
// server do not all come back at once.
import type { StoreError, StoreErrorCode } from '../core/errors.js'
import { offAbort, onAbort } from '../core/abort-signals.js'
import { Timer } from '../core/timer.js'

const FIRST_MS = 50
const MAX_MS = 5000

/** What may be over the next time. */
const TRANSIENT: readonly StoreErrorCode[] = [
  'STORE_DISCONNECTED', 'STORE_UNREACHABLE', 'STORE_OVERLOADED', 'STORE_QUEUE_FULL', 'STORE_TIMEOUT'
]

export function isTransient (error: unknown): boolean {
  return TRANSIENT.includes((error as StoreError).code)
}

export class Backoff {
  #failures = 0

  reset (): void {
    this.#failures = 0
  }

  /** The pause before the next attempt; it ends when the signal aborts. It does not keep the process alive. */
  async pause (ended: AbortSignal): Promise<void> {
    if (ended.aborted) return
    const longest = Math.min(MAX_MS, FIRST_MS * 2 ** this.#failures++)
    const timer = new Timer()
    timer.setReferenced(false)
    await new Promise<void>(resolve => {
      const end = (): void => {
        timer.stop()
        offAbort(ended, end)
        resolve()
      }
      onAbort(ended, end)
      timer.start(longest * (0.5 + Math.random() / 2), end)
    })
  }
}
