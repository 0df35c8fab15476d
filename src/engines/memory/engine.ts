// The engine of the process that has the keyspace.
import { largeBuffers } from '../../core/buffer-pool.js'
import { PendingCalls } from '../../core/pending-calls.js'
import { Reply, Request, type Engine } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import { Data, type DataSettings } from './data.js'
import { fromBytes, isBuffer, toBytes, type Bytes } from '../../core/value.js'
import type { Keyspace } from './keyspace.js'
import { Caller } from './lock.js'
import { dispatch } from './dispatch.js'
import { Sweeper } from './sweeper.js'

export class MemoryEngine implements Engine {
  onerror: Engine['onerror']
  onclose: Engine['onclose']
  onloading: Engine['onloading']
  readonly isShared: boolean = false
  readonly #keyspace: Keyspace
  readonly #sweeper: Sweeper
  readonly #self: Self
  readonly #calls: PendingCalls
  #isClosed = false
  #opening: Promise<Data> | undefined
  /** Calls received before the data was loaded. */
  #early: Array<{ request: Request, id: number }> | undefined
  #failure: StoreError | undefined

  /** `data`: where the keyspace is saved, if at all. */
  constructor (keyspace: Keyspace, data?: DataSettings) {
    this.#keyspace = keyspace
    this.#sweeper = new Sweeper(keyspace)
    this.#calls = new PendingCalls({
      send: (request, id) => {
        this.#send(request, id)
        this.#awaits()
      },
      cancel: id => { this.#cancel(id) }
    })
    this.#self = new Self(this.#calls, () => { this.#awaits() })
    keyspace.callers.add(this.#self)
    if (data !== undefined) this.#open(data)
  }

  /** Resolves when the data is loaded, or immediately without data. Rejects if the data cannot be used. */
  async opened (): Promise<void> {
    await this.#opening
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

  /** STORE_NOT_DURABLE if the latest changes could not be written. */
  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.onclose?.()
    this.#sweeper.stop()
    this.#keyspace.leave(this.#self)
    try {
      const data = await this.#opening?.catch(() => undefined)
      await data?.close()
    } finally {
      this.#calls.fail('STORE_CLOSED')
    }
  }

  #open (options: DataSettings): void {
    this.#early = []
    this.#opening = Data.open(this.#keyspace, options, {
      onerror: error => { this.#report(error) },
      onloading: (loaded, all) => { this.onloading?.(loaded, all) }
    })
    this.#opening.then(
      () => {
        const early = this.#early ?? []
        this.#early = undefined
        for (const { request, id } of early) if (!this.#isClosed || id === 0) this.#dispatch(request, id)
      },
      (error: StoreError) => {
        this.#failure = error
        this.#early = undefined
        this.onerror?.(error) // and no warning, as each call fails
        this.#calls.fail(error.code, error.detail)
      }
    )
  }

  /** Emits a warning even without a listener: losing durability must not go unnoticed. */
  #report (error: StoreError): void {
    process.emitWarning(error.message, { code: error.code })
    this.onerror?.(error)
  }

  #cancel (id: number): void {
    const early = this.#early?.findIndex(call => call.id === id) ?? -1
    if (early === -1) {
      this.#keyspace.cancel(this.#self, id)
      return
    }
    this.#early!.splice(early, 1)
    this.#calls.settle(id, new Reply('STORE_ABORTED'))
  }

  #awaits (): void {
    const { pending, active } = this.#calls
    this.#sweeper.setWaiting(pending, pending - active)
  }

  #send (request: Request, id: number): void {
    if (this.#isClosed) throw new StoreError('STORE_CLOSED')
    if (this.#failure !== undefined) throw this.#failure
    if (this.#early !== undefined) this.#early.push({ request, id })
    else this.#dispatch(request, id)
  }

  #dispatch (request: Request, id: number): void {
    this.#keyspace.clock.tick()
    dispatch(this.#keyspace, inBytes(request), this.#self, id)
  }
}

/** This process as a caller of the keyspace. */
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
    if (reply.text !== undefined) {
      const { text } = reply
      reply.text = fromBytes(text)
      if (isBuffer(text)) largeBuffers.giveBack(text)
    }
    this.#calls.settle(id, reply as Reply)
    this.#answered()
  }

  // Deferred: the listener may call the store, and the keyspace is in the middle of an operation.
  lost (token: string): void {
    queueMicrotask(() => { this.#calls.lost(token) })
  }
}

/** Converts a request to bytes form. Copies it only if that changes something. */
function inBytes (request: Request): Request {
  const collection = toBytes(request.collection)
  const key = toBytes(request.key)
  const text = request.text === undefined ? undefined : toBytes(request.text)
  const owner = request.owner === undefined ? undefined : toBytes(request.owner)
  const isSame = collection === request.collection && key === request.key &&
    text === request.text && owner === request.owner
  if (isSame) return request
  return Object.assign(new Request(request.op, collection, key), request, { collection, key, text, owner })
}
