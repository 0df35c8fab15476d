// Waits for conditions instead of guessing durations.
import { setTimeout as delay } from 'node:timers/promises'

const MAX_PAUSE_MS = 20

/**
 * Resolves with the first result of `look` that is neither false nor undefined; rejects after `seconds`. The intervals
 * grow, to leave the CPU to the code that has to fulfil the condition.
 */
export async function until<T> (look: () => T | Promise<T>, seconds = 10): Promise<Exclude<T, false | undefined>> {
  const end = Date.now() + seconds * 1000
  for (let pause = 1; ; pause = Math.min(pause * 1.5, MAX_PAUSE_MS)) {
    const found = await look()
    if (found !== false && found !== undefined) return found as Exclude<T, false | undefined>
    if (Date.now() > end) throw new Error(`the condition was not met in time: ${look.toString()}`)
    await delay(pause)
  }
}
