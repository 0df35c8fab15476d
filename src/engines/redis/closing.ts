// The close of a store: what was called before is delivered within a limited time, and what may be lost is reported.
import { StoreError } from '../../core/errors.js'
import { Timer } from '../../core/timer.js'

export class Closing {
  /** `ended`: everything is delivered or given up. */
  state: 'open' | 'closing' | 'ended' = 'open'
  #promise: Promise<void> | undefined
  #loss: StoreError | undefined

  /**
   * Takes at most `limit` milliseconds, during which the process is kept alive. `late` is called if `deliver` takes
   * longer, and `end` in any case. Rejects if calls may be lost.
   */
  run (limit: number, deliver: () => Promise<void>, late: () => void, end: () => void): Promise<void> {
    this.#promise ??= this.#run(limit, deliver, late, end)
    return this.#promise
  }

  /** Unconfirmed calls may be lost. Before the close, the 'error' event reports that. */
  lose (code: 'STORE_UNREACHABLE' | 'STORE_DISCONNECTED', why: string): void {
    if (this.state !== 'closing') return
    this.#loss ??= new StoreError(code, `unconfirmed writes before this close may be lost: ${why}`)
  }

  async #run (limit: number, deliver: () => Promise<void>, late: () => void, end: () => void): Promise<void> {
    this.state = 'closing'
    const timer = new Timer()
    await new Promise<void>((resolve, reject) => {
      timer.start(limit, () => {
        late()
        resolve()
      })
      deliver().then(resolve, reject)
    }).finally(() => { timer.stop() })
    this.state = 'ended'
    end()
    if (this.#loss !== undefined) throw this.#loss
  }
}
