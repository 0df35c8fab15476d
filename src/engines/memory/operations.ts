// Executes calls on the value of a key.
import { largeBuffers } from '../../core/buffer-pool.js'
import { Reply, type Request } from '../../core/engine.js'
import type { StoreErrorCode } from '../../core/errors.js'
import { isBuffer, type Bytes } from '../../core/value.js'
import { sum, windowOf } from './increment.js'
import type { Collection } from './collection.js'
import type { Context } from './context.js'
import type { Counters } from './counters.js'
import type { Entry } from './entry.js'
import type { Caller } from './lock.js'

/** With `private` instead of #private methods: their checks would cost a get 3 %. */
export class Operations {
  /**
   * The base of versions and fences, which must not repeat after a restart. Entries store the difference. No keyspace
   * can outrun the current time in microseconds by its rate of changes.
   */
  epoch = Date.now() * 1000
  readonly #context: Context
  readonly #totals: Counters['totals']

  constructor (public maxBytes: number, context: Context) {
    this.#context = context
    this.#totals = context.counters.totals
  }

  versionOf (entry: Entry): number {
    return this.epoch + entry.version
  }

  /** `isLocked`: whether the key has a lock, with or without an owner. */
  execute (collection: Collection, request: Request<Bytes>, caller: Caller, isLocked: boolean): Reply<Bytes> {
    const { calls } = this.#context.counters
    switch (request.op) {
      case 'get':
        calls.get++
        return this.readAndGrantCopy(collection, request, caller, isLocked)
      case 'entry':
        calls.entry++
        return this.readAndGrantCopy(collection, request, caller, isLocked)
      case 'head':
        calls.head++
        return this.read(collection, request)
      case 'peek':
        calls.peek++
        return this.read(collection, request)
      case 'set':
        calls.set++
        return this.write(collection, request, isLocked)
      case 'increment':
        calls.increment++
        return this.write(collection, request, isLocked)
      case 'del':
        calls.del++
        return this.delete(collection, request)
      case 'touch':
        calls.touch++
        return this.touch(collection, request)
      default: // break, of an unlocked key
        calls.break++
        return Reply.of(0)
    }
  }

  private readAndGrantCopy (
    collection: Collection, request: Request<Bytes>, caller: Caller, isLocked: boolean
  ): Reply<Bytes> {
    const reply = this.read(collection, request)
    const isNear = collection.bounds.near > 0 && !isLocked // no copies of locked keys
    if (!isNear) return reply
    this.#context.copies.grant(collection, request.key, caller, reply)
    if (reply.near !== undefined) collection.find(request.key)!.isCopied = true
    return reply
  }

  read (collection: Collection, request: Request<Bytes>): Reply<Bytes> {
    collection.reads++
    this.#totals.reads++
    const reply = new Reply<Bytes>()
    const entry = collection.find(request.key)
    if (entry === undefined) return reply
    if (request.op !== 'peek') collection.use(entry)
    if (request.op !== 'head') {
      // If it also releases a lock, a waiting call may change the value before the reply is sent.
      const text = request.release ? entry.text : entry.borrowed
      reply.text = text
      if (isBuffer(text)) largeBuffers.lend(text)
    }
    if (request.op !== 'get' || collection.bounds.near > 0) { // a copy needs both
      reply.version = this.versionOf(entry)
      reply.expiresIn = collection.expiresIn(entry)
    }
    return reply
  }

  /** `isLocked`: see Entries.put. */
  private write (collection: Collection, request: Request<Bytes>, isLocked: boolean): Reply<Bytes> {
    const entry = collection.find(request.key)
    const refusal = this.refusal(collection, entry, request)
    if (refusal !== undefined) return this.refuse(request, refusal)
    const reply = new Reply<Bytes>()
    let text = request.text
    let ttl: number | null | undefined = request.ttl ?? (request.token === undefined ? null : undefined)
    if (request.op === 'increment') {
      if (request.down && entry === undefined) return Reply.of(0)
      reply.number = sum(entry?.text, request)
      if (reply.number === undefined) return this.refuse(request, 'STORE_NOT_A_NUMBER')
      text = String(reply.number)
      ttl = windowOf(entry === undefined, reply.number, request)
    }
    if (text === undefined || text.length > this.maxBytes) return this.refuse(request, 'STORE_VALUE_TOO_LARGE')
    const written = collection.put(request.key, entry, text, ttl, isLocked)
    if (written === undefined) return this.refuse(request, 'STORE_FULL')
    collection.writes++
    this.#totals.writes++
    reply.version = this.epoch + this.#context.revision
    if (request.op === 'increment') reply.expiresIn = collection.expiresIn(written)
    else if (entry === undefined) reply.number = 1
    return reply
  }

  private delete (collection: Collection, request: Request<Bytes>): Reply<Bytes> {
    const entry = collection.find(request.key)
    const refusal = this.refusal(collection, entry, request)
    if (refusal !== undefined) return this.refuse(request, refusal)
    if (entry === undefined) return Reply.of(0)
    collection.deleteEntry(entry)
    return Reply.of(1)
  }

  private touch (collection: Collection, request: Request<Bytes>): Reply<Bytes> {
    const entry = collection.find(request.key)
    const refusal = this.refusal(collection, entry, request)
    if (refusal !== undefined) return this.refuse(request, refusal)
    if (entry === undefined) return Reply.of(0)
    collection.use(entry)
    if (request.ttl === undefined) return Reply.of(1)
    collection.setEnd(entry, request.ttl)
    return Reply.of(1)
  }

  /** Why a write fails without changing the key; undefined if its conditions are met. `entry`: that of its key. */
  refusal (
    { bounds }: Collection, entry: Entry | undefined, { ifVersion, ifAbsent, ifPresent, durable }: Request<Bytes>
  ): StoreErrorCode | undefined {
    if (durable && (this.#context.durability === undefined || !bounds.keep)) return 'STORE_OPTION_INVALID'
    if (ifAbsent && entry !== undefined) return 'STORE_EXISTS'
    if (ifPresent && entry === undefined) return 'STORE_NOT_FOUND'
    if (ifVersion === undefined) return undefined
    return ifVersion === (entry === undefined ? 0 : this.versionOf(entry)) ? undefined : 'STORE_VERSION_MISMATCH'
  }

  private refuse (request: Request<Bytes>, code: StoreErrorCode): Reply<Bytes> {
    this.#context.counters.refuse(request.op, code)
    return new Reply(code)
  }
}
