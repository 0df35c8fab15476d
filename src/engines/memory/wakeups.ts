// Answers calls that wait for an event once per iteration of the event loop, so that the changes of all connections
// that were read in it cause one reply. Replies are rate limited, so that watches of a busy collection take a bounded
// share of CPU time: above the rate, replies are sent later and cover more changes.
import type { Reply } from '../../core/engine.js'
import type { Bytes } from '../../core/value.js'
import type { Task } from './agenda.js'
import type { Context } from './context.js'
import type { Caller } from './lock.js'

// A reply takes 10 to 50 µs. At low rates, each change is answered immediately. Above this number of changes per
// millisecond, replies are sent in rounds, and all calls that wait for the same keys share one text.
const ANSWERS_PER_MS = 48
const MIN_ANSWERS_PER_MS = 0.5
const CHANGES_PER_ANSWER = 128
const MAX_BURST = 256
/** Maximum number of replies per round; calls that share a text may exceed it. */
const ROUND = 64

export interface Wakeable {
  /**
   * Answers calls that have something to report, as many as `take` allows. True if some are left for the next round.
   */
  answer (take: (calls: number) => number): boolean
}

export class Wakeups implements Task {
  slot = -1
  readonly isUrgent = true
  readonly #context: Context
  readonly #ready = new Set<Wakeable>()
  readonly #answered = new Set<Caller>()
  #isPlanned = false
  #left = MAX_BURST
  /** When `#left` was computed, and the changes since. */
  #countedAt = 0
  #changes = 0
  readonly #take = (calls: number): number => {
    if (this.#left < Math.min(calls, ROUND)) return 0
    const taken = Math.min(calls, Math.floor(this.#left))
    this.#left -= taken
    return taken
  }

  readonly #answer = (): void => {
    for (const ready of this.#ready) { // may become more
      this.#ready.delete(ready)
      if (!ready.answer(this.#take)) continue
      this.#ready.add(ready) // at the end of the queue
      this.#context.agenda.schedule(this, this.#context.clock.now + 1)
      break
    }
    this.#isPlanned = this.#ready.size > 0
    for (const caller of this.#answered) caller.flush()
    this.#answered.clear()
  }

  constructor (context: Context) {
    this.#context = context
  }

  /** Calls may have something to report. */
  changed (): void {
    this.#changes++
  }

  wake (ready: Wakeable): void {
    this.#ready.add(ready)
    if (this.#isPlanned) return
    this.#isPlanned = true
    this.#refill()
    if (this.#left > ROUND) setImmediate(this.#answer)
    else this.#context.agenda.schedule(this, this.#context.clock.now + 1)
  }

  run (): number | undefined {
    this.#refill()
    this.#answer()
    return undefined
  }

  /** Answers a call. The reply is sent before others that wait for the end of the tick. */
  send (caller: Caller, id: number, reply: Reply<Bytes>): void {
    caller.answer(id, reply)
    this.#answered.add(caller)
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
