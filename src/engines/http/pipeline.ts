// Keeps the calls of this process in order. Calls of one turn of the event loop share a request; the next request is
// sent when the calls of the previous one have reached the store, so they take effect in order on any connection.
import { isPoll, mayWait } from '../../core/engine.js'
import { MAX_CALLS, MAX_CALLS_LENGTH, writeCall } from './protocol.js'
import type { Call } from './exchange.js'

export interface QueuedCall extends Call {
  /** Already settled, must not be sent. */
  isCancelled: boolean
}

export class Pipeline {
  #queue: QueuedCall[] = []
  /** UTF-16 code units of the queued values. */
  #length = 0
  /** Calls that have been taken from the queue and may not have reached the store. */
  #underway: readonly QueuedCall[] = []
  #isRunning = false
  #drained: Array<() => void> = []
  readonly #send: (calls: QueuedCall[]) => Promise<void>

  /** `send` resolves when the calls have reached the store, or have failed; it never rejects. */
  constructor (send: (calls: QueuedCall[]) => Promise<void>) {
    this.#send = send
  }

  get size (): number {
    return this.#queue.length
  }

  get length (): number {
    return this.#length
  }

  /** Whether there are unconfirmed writes that may not have reached the store. */
  get hasUnconfirmedWrites (): boolean {
    return [this.#underway, this.#queue].some(calls => calls.some(isUnconfirmedWrite))
  }

  add (call: QueuedCall): void {
    this.#queue.push(call)
    this.#length += lengthOf(call)
    if (this.#isRunning) return
    this.#isRunning = true
    setImmediate(() => { this.#run().catch(() => {}) })
  }

  /** Removes and returns all queued calls. */
  clear (): QueuedCall[] {
    const queue = this.#queue
    this.#queue = []
    this.#length = 0
    return queue
  }

  /** Resolves when all calls have reached the store, or have failed. */
  async drained (): Promise<void> {
    if (this.#isRunning) await new Promise<void>(resolve => { this.#drained.push(resolve) })
  }

  async #run (): Promise<void> {
    while (this.#queue.length > 0) {
      const calls = this.#underway = this.#take()
      if (calls.length > 0) await this.#send(calls)
    }
    this.#underway = []
    this.#isRunning = false
    for (const resolve of this.#drained.splice(0)) resolve()
  }

  #take (): QueuedCall[] {
    const calls: QueuedCall[] = []
    let taken = 0
    let length = 0
    for (const call of this.#queue) {
      if (calls.length === MAX_CALLS || (calls.length > 0 && (isAlone(call) || isAlone(calls[0]!)))) break
      if (!call.isCancelled) {
        call.json = writeCall(call.request, call.isUnconfirmed)
        length += call.json.length
        if (calls.length > 0 && length > MAX_CALLS_LENGTH) break
        calls.push(call)
      }
      taken++
      this.#length -= lengthOf(call)
    }
    this.#queue.splice(0, taken)
    return calls
  }
}

/**
 * Whether the call needs a request of its own: statistics have their own route, and a wait is cancelled by aborting the
 * request, which must not affect others. An acquire is cancelled by its token instead.
 */
export function isAlone ({ request }: Call): boolean {
  if (request.op === 'acquire') return false
  const isCancellable = request.wait?.signal !== undefined || request.wait?.scope !== undefined
  return request.op === 'stats' || (isCancellable && (mayWait(request) || isPoll(request)))
}

/** Unconfirmed releases write nothing, and are repeated. The end of a subscription may be lost. */
export function isUnconfirmedWrite ({ isUnconfirmed, request: { op } }: Call): boolean {
  return isUnconfirmed && op !== 'release' && op !== 'subscribe'
}

function lengthOf ({ request }: Call): number {
  return request.text?.length ?? 0
}
