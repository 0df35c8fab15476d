// Background expiry: processes the collections of a store that are due, whichever process uses them (`sweep` in
// scripts/visit.ts). Every connected process takes part; a collection that one has processed is not due for the next.
import { Timer } from '../../core/timer.js'
import type { Connection } from './connection.js'
import { scriptCall, type ScriptCall } from './script-call.js'

const INTERVAL_MS = 5000
/** Number of indexes per round. A cluster has many. */
const AT_A_TIME = 64

export class Sweeper {
  readonly #connection: Connection
  readonly #call: ScriptCall
  readonly #indexes: string[]
  readonly #timer = new Timer()
  #next = 0
  #isStopped = false

  /** `life`: milliseconds without a heartbeat after which this process counts as dead. */
  constructor (connection: Connection, life: number, indexes: string[]) {
    this.#connection = connection
    this.#call = scriptCall('sweep', { channel: connection.channel, life: String(life) })
    this.#indexes = indexes
    this.#timer.setReferenced(false)
    this.#plan()
  }

  stop (): void {
    this.#isStopped = true
    this.#timer.stop()
  }

  #plan (): void {
    if (this.#isStopped) return
    // Jitter, so that not all processes sweep at the same time.
    this.#timer.start(INTERVAL_MS * (0.5 + Math.random()), () => { this.#run().then(() => { this.#plan() }, () => {}) })
  }

  async #run (): Promise<void> {
    const count = Math.min(AT_A_TIME, this.#indexes.length)
    const indexes = Array.from({ length: count }, (_, i) => this.#indexes[(this.#next + i) % this.#indexes.length]!)
    this.#next = (this.#next + count) % this.#indexes.length
    // if one fails, it stays due for the next round or another process
    await Promise.all(indexes.map(index => this.#sweep(index).catch(() => {})))
  }

  /** In steps, so that the server can execute other calls in between. */
  async #sweep (index: string): Promise<void> {
    while (!this.#isStopped && await this.#connection.run<number>(index, this.#call) === 1) {
      /* there is more */
    }
  }
}
