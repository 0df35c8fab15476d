// Waiting for what comes about by itself, without guessing how long it takes.
import { setTimeout as delay } from 'node:timers/promises'

/** Resolves with the first result of `look` that is not false or undefined; rejects if there is none in `seconds`. */
export async function until<T> (look: () => T | Promise<T>, seconds = 10): Promise<Exclude<T, false | undefined>> {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const found = await look()
    if (found !== false && found !== undefined) return found as Exclude<T, false | undefined>
    if (Date.now() > end) throw new Error(`still not: ${look.toString()}`)
    await delay(2)
  }
}
