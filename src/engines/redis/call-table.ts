// The calls of this process that are under way, and how much they are together.
import type { RedisCall } from './call.js'

/** Bytes of keys and values on their way to the server above which calls are refused. */
const MAX_BACKLOG = 256 * 2 ** 20
/** Calls without an answer, unconfirmed ones included, above which calls are refused. */
const MAX_PENDING = 2 ** 19

export class CallTable {
  /** By the slot in PendingCalls. */
  #byId: Array<RedisCall | undefined> = []
  /** By the number that the server knows. */
  readonly #byNumber = new Map<number, RedisCall>()
  #numbers = 0
  #unconfirmed = 0
  #backlog = 0

  /** `pending`: calls that wait for an answer. */
  isFull (pending: number): boolean {
    return this.#backlog > MAX_BACKLOG || pending + this.#unconfirmed > MAX_PENDING
  }

  add (call: RedisCall): void {
    this.#backlog += call.size
    if (call.id === 0) this.#unconfirmed++
    else this.#byId[call.id] = call
  }

  /** Gives a call that is about to be sent its number. */
  number (call: RedisCall): void {
    call.number = ++this.#numbers
    if (call.id !== 0) this.#byNumber.set(call.number, call)
  }

  withId (id: number): RedisCall | undefined {
    return this.#byId[id]
  }

  withNumber (number: number): RedisCall | undefined {
    return this.#byNumber.get(number)
  }

  delete (call: RedisCall): void {
    this.#backlog -= call.size
    if (call.id === 0) {
      this.#unconfirmed--
      return
    }
    this.#byNumber.delete(call.number)
    this.#byId[call.id] = undefined
  }

  clear (): void {
    this.#byId = []
    this.#byNumber.clear()
    this.#unconfirmed = 0
    this.#backlog = 0
  }
}
