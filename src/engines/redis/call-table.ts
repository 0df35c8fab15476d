// The pending calls of this process, and their number and size.
import { endsLock, type Request } from '../../core/engine.js'
import type { RedisCall } from './call.js'

/** Maximum size in bytes of the keys and values of pending calls. Above it, calls are rejected. */
const MAX_BACKLOG = 256 * 2 ** 20
/** Maximum number of pending calls, including unconfirmed ones. Above it, calls are rejected. */
const MAX_PENDING = 2 ** 19

export class CallTable {
  /** By the slot in PendingCalls. */
  #byId: Array<RedisCall | undefined> = []
  /** By the number that identifies the call on the server. */
  readonly #byNumber = new Map<number, RedisCall>()
  #numbers = 0
  #unconfirmed = 0
  #backlog = 0

  /** The number of calls without a reply that are not delivered yet. */
  get unconfirmed (): number {
    return this.#unconfirmed
  }

  /** Whether to reject a request. `pending`: the number of calls that wait for a reply. */
  isFull (request: Request, pending: number): boolean {
    if (endsLock(request)) return false // otherwise the key would stay locked
    return this.#backlog > MAX_BACKLOG || pending + this.#unconfirmed > MAX_PENDING
  }

  add (call: RedisCall): void {
    this.#backlog += call.size
    if (call.id === 0) this.#unconfirmed++
    else this.#byId[call.id] = call
  }

  /** Assigns a number to a call that is about to be sent to a script. */
  number (call: RedisCall): void {
    if (call.number !== 0) return // it is sent again
    call.number = ++this.#numbers
    call.at = Date.now()
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
