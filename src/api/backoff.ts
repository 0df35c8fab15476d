// Delays between attempts to reconnect: exponential with jitter, so that the processes of a server do not all
// reconnect at the same time.
import type { StoreError, StoreErrorCode } from '../core/errors.js'
import { offAbort, onAbort } from '../core/abort-signals.js'
import type { Abortion } from '../core/engine.js'
import { Timer } from '../core/timer.js'

const FIRST_MS = 50
const MAX_MS = 5000

/** Errors that may be temporary. */
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

  /** Waits before the next attempt, or until the signal aborts. Does not keep the process alive. */
  async pause (ended: AbortSignal | Abortion): Promise<void> {
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
