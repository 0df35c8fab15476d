// Answers calls that wait for something to happen, once it has: at the end of the tick in which it happened, so that a batch of
// changes makes one answer. Answers are rationed, so that calls which follow a busy collection take a bounded part of the
// process's time: what exceeds the rate is answered a little later, for more changes at once.
import type { Task } from './agenda.js'
import type { Context } from './context.js'

/** An answer, with the call that follows it, takes about 15 µs: at this rate a quarter of the time. */
const ANSWERS_PER_MS = 16
const MAX_BURST = 256

export interface Wakeable {
  /** Answers the calls that have something to report, each if `take` allows it. True if some have to wait for the next time. */
  answer (take: () => boolean): boolean
}

export class Wakeups implements Task {
  slot = -1
  readonly isUrgent = true
  readonly #context: Context
  readonly #ready = new Set<Wakeable>()
  #isPlanned = false
  #left = MAX_BURST
  /** When `#left` was counted. */
  #countedAt = 0
  readonly #take = (): boolean => this.#left > 0 && this.#left-- > 0

  constructor (context: Context) {
    this.#context = context
  }

  wake (ready: Wakeable): void {
    this.#ready.add(ready)
    if (this.#isPlanned) return
    this.#isPlanned = true
    this.#refill()
    if (this.#left > 0) process.nextTick(() => { this.#answer() })
    else this.#context.agenda.schedule(this, this.#context.clock.now)
  }

  run (): number | undefined {
    this.#refill()
    this.#answer()
    return undefined
  }

  #answer (): void {
    this.#isPlanned = false
    for (const ready of this.#ready) {
      this.#ready.delete(ready)
      if (!ready.answer(this.#take)) continue
      this.#ready.add(ready) // behind the others
      this.#isPlanned = true
      this.#context.agenda.schedule(this, this.#context.clock.now + 1)
      return
    }
  }

  #refill (): void {
    const { now } = this.#context.clock
    this.#left = Math.min(MAX_BURST, this.#left + (now - this.#countedAt) * ANSWERS_PER_MS)
    this.#countedAt = now
  }
}
