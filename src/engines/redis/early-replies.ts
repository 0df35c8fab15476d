// PendingCalls that wait for their turn, by number. It may come before the word that they wait: the two travel on different connections.
import type { Request } from '../../core/engine.js'

/** A call as long as it is not answered. */
export interface Asked {
  readonly request: Request
  /** The place of the call in PendingCalls; 0 where nobody wants an answer. */
  readonly id: number
  /** What the server knows it by. */
  readonly number: number
  /** That of the lock which an acquire may bring. */
  readonly token: string | undefined
  readonly at: number
}

export class EarlyReplies {
  readonly #waiting = new Map<number, Asked>()
  readonly #early = new Map<number, string>()

  /** A call waits. The answer, if its turn has come already. */
  wait (number: number, call: Asked): string | undefined {
    const early = this.#early.get(number)
    if (early === undefined) this.#waiting.set(number, call)
    else this.#early.delete(number)
    return early
  }

  /** A turn has come, with the answer to the call; undefined if it is not known to wait yet. */
  come (number: number, answer: string): Asked | undefined {
    const call = this.#waiting.get(number)
    if (call === undefined) this.#early.set(number, answer)
    return call
  }

  /** The call that waits as this number, if one does. */
  get (number: number): Asked | undefined {
    return this.#waiting.get(number)
  }

  delete (number: number): void {
    this.#waiting.delete(number)
  }

  clear (): void {
    this.#waiting.clear()
    this.#early.clear()
  }
}
