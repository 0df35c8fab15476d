// The calls of this process that an engine has not answered yet, and the locks that the process holds.
import { offAbort, onAbort } from './abort-signals.js'
import { Grant, Request, endsLock, isPoll, type Abortable, type Op, type Reply, type Wait } from './engine.js'
import { StoreError, type StoreErrorCode } from './errors.js'
import { LongWaits, type Waiting } from './long-waits.js'
import { Timer } from './timer.js'

class Call implements Abortable, Waiting {
  timer: Timer | undefined
  onabort: (() => void) | undefined
  /** The promise has been settled; the slot is kept until the reply arrives. */
  abandoned = false
  isTold = false

  constructor (
    readonly request: Request,
    readonly id: number,
    readonly since: number,
    readonly carrier: Carrier,
    readonly resolve: (reply: Reply) => void,
    readonly reject: (error: StoreError) => void
  ) {}

  abort (): void {
    this.carrier.cancel(this.id, this.abandoned)
  }

  /** Removes the timer and the listeners. */
  tidy (): void {
    const { wait } = this.request
    if (wait === undefined) return
    this.timer?.stop()
    if (this.onabort !== undefined) offAbort(wait.signal!, this.onabort)
    wait.scope?.delete(this)
  }
}

/** What an engine provides to PendingCalls. */
export interface Carrier {
  /** Sends the request. The reply is passed to `settle` with this id. */
  send (request: Request, id: number): void
  /**
   * Asks the engine to answer a waiting call early. Every call is answered, cancelled or not. `isAbandoned`: the
   * caller no longer waits, and a lock granted by the reply has to be released.
   */
  cancel (id: number, isAbandoned: boolean): void
  /**
   * Milliseconds added to local timeouts if the server enforces them too. Its timeout should fire first, since that
   * also cancels the call there. Default 0.
   */
  readonly timeoutMargin?: number
}

export class PendingCalls {
  #slots: Array<Call | undefined> = [undefined] // id 0 stands for "no reply"
  #free: number[] = []
  #held = new Map<string, Grant>()
  readonly #carrier: Carrier
  #polls = 0
  readonly #longWaits = new LongWaits(() => this.#slots, request => this.call(request))

  constructor (carrier: Carrier) {
    this.#carrier = carrier
  }

  /** The number of calls that are not answered yet. */
  get pending (): number {
    return this.#slots.length - 1 - this.#free.length
  }

  /** The number of pending calls that do not wait for an event. */
  get active (): number {
    return this.pending - this.#polls
  }

  /** The number of locks that this process holds. */
  get held (): number {
    return this.#held.size
  }

  call (request: Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const { wait } = request
      if (wait?.signal?.aborted === true) {
        reject(new StoreError('STORE_ABORTED', about(request), { cause: wait.signal.reason }))
        return
      }
      if (request.token !== undefined) this.#forget(request)
      const id = this.#free.pop() ?? this.#slots.length
      const call = new Call(request, id, this.#longWaits.now(), this.#carrier, resolve, reject)
      this.#slots[id] = call
      if (isPoll(request)) this.#polls++
      if (wait !== undefined) watch(call, wait)
      try {
        this.#carrier.send(request, id)
      } catch (error) {
        this.#take(id)
        const { code, detail, cause } = error as StoreError
        const options = cause === undefined ? undefined : { cause }
        reject(error instanceof StoreError ? failure(code, request, detail, options) : error)
        return
      }
      if (wait?.scope?.aborted === true) this.#carrier.cancel(id, false)
    })
  }

  post (request: Request): void {
    if (request.token !== undefined) this.#forget(request)
    try {
      this.#carrier.send(request, 0)
    } catch {} // errors of posts are not reported
  }

  /** The request of a pending call. */
  requestOf (id: number): Request | undefined {
    return this.#slots[id]?.request
  }

  /** Handles the reply to a call. `why` is the detail of an error. */
  settle (id: number, reply: Reply, why?: string): void {
    if (reply.more) {
      this.#deliver(id, reply)
      return
    }
    const call = this.#take(id)
    if (call === undefined) return
    const { request } = call
    if (request.op === 'acquire' && reply.token !== undefined) {
      if (call.abandoned) this.#giveBack(request, reply.token)
      else this.#held.set(reply.token, reply.grant = new Grant())
    }
    if (call.abandoned) return
    if (reply.code === undefined) call.resolve(reply)
    else call.reject(new StoreError(reply.code, why ?? `${about(request)}${adviceOn(reply.code, request)}`))
  }

  /** Deferred, as the continuation of a promise would be: the engine may be in the middle of an operation. */
  #deliver (id: number, reply: Reply): void {
    const call = this.#slots[id]
    if (call === undefined) return
    queueMicrotask(() => {
      try {
        if (!call.abandoned) call.request.wait!.onmore!(reply)
      } catch (error) {
        call.abandoned = true
        call.reject(error as StoreError)
        call.abort()
      }
    })
  }

  /** The store reports that a lock of this process has ended without its release. */
  lost (token: string): void {
    const grant = this.#held.get(token)
    this.#held.delete(token)
    grant?.lose()
  }

  /** Fails all pending calls and marks all held locks as lost. */
  fail (code: StoreErrorCode, why?: string): void {
    const slots = this.#slots
    const held = this.#held
    this.#slots = [undefined]
    this.#free = []
    this.#polls = 0
    this.#held = new Map()
    this.#longWaits.stop()
    for (const call of slots) {
      if (call === undefined) continue
      call.tidy()
      if (!call.abandoned) call.reject(failure(code, call.request, why))
    }
    for (const grant of held.values()) grant.lose()
  }

  #take (id: number): Call | undefined {
    const call = this.#slots[id]
    if (call === undefined) return undefined
    this.#slots[id] = undefined
    this.#free.push(id)
    if (isPoll(call.request)) this.#polls--
    call.tidy()
    return call
  }

  /** Releases a lock that was granted after its call was abandoned. */
  #giveBack ({ collection, key }: Request, token: string): void {
    const request = new Request('release', collection, key)
    request.token = token
    this.post(request)
  }

  #forget (request: Request): void {
    if (endsLock(request)) this.#held.delete(request.token!)
  }
}

function watch (call: Call, { timeout, signal, scope }: Wait): void {
  scope?.add(call)
  if (timeout === undefined && signal === undefined) return
  const abandon = (error: StoreError): void => {
    call.tidy()
    call.abandoned = true
    call.reject(error)
    call.abort()
  }
  if (timeout !== undefined) {
    call.timer = new Timer()
    call.timer.start(timeout + (call.carrier.timeoutMargin ?? 0), () => {
      abandon(new StoreError('STORE_TIMEOUT', `${timeout / 1000} s, ${about(call.request)}`))
    })
  }
  if (signal !== undefined) {
    call.onabort = () => { abandon(new StoreError('STORE_ABORTED', about(call.request), { cause: signal.reason })) }
    onAbort(signal, call.onabort)
  }
}

function adviceOn (code: StoreErrorCode, { durable, text, cursor }: Request): string {
  if (code !== 'STORE_OPTION_INVALID') return ''
  if (cursor !== undefined) return `; invalid cursor: expected the cursor of a previous page, got ${cursor}`
  const isDurable = durable || text?.includes('"durable":true') === true
  return isDurable ? '; durable requires a store with data and a collection with keep: true' : ''
}

function failure (code: StoreErrorCode, request: Request, why: string | undefined, options?: ErrorOptions): StoreError {
  return new StoreError(code, why === undefined ? about(request) : `${about(request)}: ${why}`, options)
}

const OF_STORE: readonly Op[] = ['ping', 'stats', 'locks', 'collections']
const OF_COLLECTION: readonly Op[] = ['scan', 'dump', 'size', 'clear', 'configure', 'watch']
const OF_CHANNEL: readonly Op[] = ['publish', 'subscribe']

/** Describes a call, for error messages. */
export function about ({ op, collection, key }: Request): string {
  if (OF_STORE.includes(op)) return op
  if (OF_CHANNEL.includes(op)) return `${op} in channel ${JSON.stringify(key)}`
  if (OF_COLLECTION.includes(op) && key === '') return `${op} of collection ${JSON.stringify(collection)}`
  return `${op} of ${JSON.stringify(key)} in collection ${JSON.stringify(collection)}`
}
