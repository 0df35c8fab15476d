// The engine of the process in which the keyspace lives.
import { PendingCalls } from '../../core/pending-calls.js'
import { Request, type Engine, type Reply } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import { fromBytes, toBytes, type Bytes } from '../../core/value.js'
import type { Keyspace } from './keyspace.js'
import { Caller } from './lock.js'
import { dispatch } from './dispatch.js'
import { Sweeper } from './sweeper.js'

export class MemoryEngine implements Engine {
  onerror: Engine['onerror']
  onclose: Engine['onclose']
  readonly isShared: boolean = false
  readonly #keyspace: Keyspace
  readonly #sweeper: Sweeper
  readonly #self: Self
  readonly #calls: PendingCalls
  #isClosed = false

  constructor (keyspace: Keyspace) {
    this.#keyspace = keyspace
    this.#sweeper = new Sweeper(keyspace)
    this.#calls = new PendingCalls({
      send: (request, id) => {
        this.#send(request, id)
        this.#awaits()
      },
      cancel: id => { this.#keyspace.cancel(this.#self, id) }
    })
    this.#self = new Self(this.#calls, () => { this.#awaits() })
  }

  get maxValueBytes (): number {
    return this.#keyspace.values.maxBytes
  }

  call (request: Request): Promise<Reply> {
    return this.#calls.call(request)
  }

  post (request: Request): void {
    this.#calls.post(request)
  }

  close (): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    this.#isClosed = true
    this.onclose?.()
    this.#sweeper.stop()
    this.#keyspace.leave(this.#self)
    this.#calls.fail('STORE_CLOSED')
    return Promise.resolve()
  }

  #awaits (): void {
    this.#sweeper.setAwaited(this.#calls.pending > 0)
  }

  #send (request: Request, id: number): void {
    if (this.#isClosed) throw new StoreError('STORE_CLOSED')
    this.#keyspace.clock.tick()
    dispatch(this.#keyspace, inBytes(request), this.#self, id)
  }
}

/** This process as the keyspace sees it. */
class Self extends Caller {
  readonly label = `pid ${process.pid}`
  readonly #calls: PendingCalls
  readonly #answered: () => void

  constructor (calls: PendingCalls, answered: () => void) {
    super()
    this.#calls = calls
    this.#answered = answered
  }

  answer (id: number, reply: Reply<Bytes>): void {
    if (id === 0) return
    if (reply.text !== undefined) reply.text = fromBytes(reply.text)
    this.#calls.settle(id, reply as Reply)
    this.#answered()
  }

  // Not at once: who listens may call the store, and the keyspace is in the middle of something.
  lost (token: string): void {
    queueMicrotask(() => { this.#calls.lost(token) })
  }
}

/** The request as the keyspace takes it: a copy only where that makes a difference. */
function inBytes (request: Request): Request {
  const collection = toBytes(request.collection)
  const key = toBytes(request.key)
  const text = request.text === undefined ? undefined : toBytes(request.text)
  const owner = request.owner === undefined ? undefined : toBytes(request.owner)
  const isSame = collection === request.collection && key === request.key && text === request.text && owner === request.owner
  if (isSame) return request
  return Object.assign(new Request(request.op, collection, key), request, { collection, key, text, owner })
}
