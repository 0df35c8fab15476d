// Answers calls that wait for something to happen, once it has: at the end of the tick in which it happened, so that a
// batch of changes makes one answer. Answers are rationed, so that calls which follow a busy collection take a bounded
// part of the process's time: what exceeds the rate is answered a little later, for more changes at once.
import type { Task } from './agenda.js'
import type { Context } from './context.js'

// An answer, with the call that follows it, takes 15 to 100 µs. While little changes, each change is answered at once.
// Where more changes per millisecond than this, answers are made in rounds, in which one text does for all that wait
// for the same.
const ANSWERS_PER_MS = 16
const MIN_ANSWERS_PER_MS = 0.5
const CHANGES_PER_ANSWER = 64
const MAX_BURST = 256
/** What a round may have, and calls that are answered together, or else later. */
const ROUND = 64

export interface Wakeable {
  /**
   * Answers the calls that have something to report, as many as `take` allows. True if some have to wait for the next
   * time.
   */
  answer (take: (calls: number) => number): boolean
}

export class Wakeups implements Task {
  slot = -1
  readonly isUrgent = true
  readonly #context: Context
  readonly #ready = new Set<Wakeable>()
  #isPlanned = false
  #left = MAX_BURST
  /** When `#left` was counted, and changes since. */
  #countedAt = 0
  #changes = 0
  readonly #take = (calls: number): number => {
    if (this.#left < Math.min(calls, ROUND)) return 0
    const taken = Math.min(calls, Math.floor(this.#left))
    this.#left -= taken
    return taken
  }

  constructor (context: Context) {
    this.#context = context
  }

  /** Something has changed that calls may wait for. */
  changed (): void {
    this.#changes++
  }

  wake (ready: Wakeable): void {
    this.#ready.add(ready)
    if (this.#isPlanned) return
    this.#isPlanned = true
    this.#refill()
    if (this.#left > ROUND) process.nextTick(() => { this.#answer() })
    else this.#context.agenda.schedule(this, this.#context.clock.now + 1)
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
    const elapsed = now - this.#countedAt
    if (elapsed <= 0) return
    const gained = elapsed * ANSWERS_PER_MS - this.#changes
    const least = elapsed * MIN_ANSWERS_PER_MS + this.#changes / CHANGES_PER_ANSWER
    if (gained >= least) this.#left = Math.min(MAX_BURST, this.#left + gained)
    else if (this.#left > ROUND) this.#left = Math.max(ROUND, this.#left + gained)
    else this.#left = Math.min(ROUND, this.#left + least)
    this.#countedAt = now
    this.#changes = 0
  }
}
