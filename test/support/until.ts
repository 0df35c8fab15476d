// Waits for conditions instead of guessing durations.
import { setTimeout as delay } from 'node:timers/promises'

/** Resolves with the first result of `look` that is not false or undefined. Rejects after `seconds`. */
export async function until<T> (look: () => T | Promise<T>, seconds = 10): Promise<Exclude<T, false | undefined>> {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const found = await look()
    if (found !== false && found !== undefined) return found as Exclude<T, false | undefined>
    if (Date.now() > end) throw new Error(`still not: ${look.toString()}`)
    await delay(2)
  }
}
