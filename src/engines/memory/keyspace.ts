// All keys of a store and the rules for calls on them. Synchronous code: requests are answered immediately, or in the
// order of the queue if the key is locked. Names and values are in bytes form (see value.ts) and never parsed.
import { Reply, endsLock, type Request } from '../../core/engine.js'
import { StoreError, type StoreErrorCode } from '../../core/errors.js'
import type { Bytes } from '../../core/value.js'
import { Budget, type Agenda } from './agenda.js'
import { Channels } from './channels.js'
import type { Clock } from './clock.js'
import type { Collection } from './collection.js'
import { CollectionTable } from './collection-table.js'
import { Context, type KeyspaceOptions } from './context.js'
import type { Counters } from './counters.js'
import { Disconnects } from './disconnects.js'
import { answer } from './durability.js'
import { REVOKER, Waiter, type Caller, type Lock } from './lock.js'
import { Locks } from './locks.js'
import { Operations } from './operations.js'
import { Revocations } from './revocations.js'
import { Wakeups } from './wakeups.js'
import { Watches } from './watches.js'

export class Keyspace {
  readonly context: Context
  readonly collections: CollectionTable
  readonly values: Operations
  readonly watches: Watches
  readonly channels: Channels
  readonly revocations: Revocations
  readonly locks: Locks
  /** The processes that share it. */
  readonly callers = new Set<Caller>()
  readonly #maxWaiters: number
  readonly #maxWaitingBytes: number
  readonly #disconnects: Disconnects

  constructor (options: KeyspaceOptions = {}) {
    const { maxValueBytes = 2 ** 20, maxWaiters = 65_536, maxWaitingBytes = 64 * 2 ** 20, time } = options
    this.#maxWaiters = maxWaiters
    this.#maxWaitingBytes = maxWaitingBytes
    this.context = new Context(time)
    this.collections = new CollectionTable(this.context)
    this.values = new Operations(maxValueBytes, this.context)
    this.locks = new Locks(this.context, lock => { this.#end(lock, true) })
    const wakeups = new Wakeups(this.context)
    this.watches = new Watches(this.context, wakeups, this.values, this.collections, maxWaiters)
    this.channels = new Channels(this.context, wakeups, this.values)
    this.#disconnects = new Disconnects(
      this.context, lock => { this.#end(lock, false) }, copy => { this.context.copies.release(copy) }
    )
    this.revocations = new Revocations(this.context, this.values, this.locks, this.collections, {
      end: lock => { this.#end(lock, false) },
      turnAway: (request, code) => this.#turnAway(request, code)
    })
  }

  /** Continues the versions and fences of another keyspace from `epoch + count`. Only before the first call. */
  countFrom (epoch: number, count: number): void {
    this.values.epoch = epoch
    this.context.revision = this.locks.grants = count
  }

  get clock (): Clock {
    return this.context.clock
  }

  get agenda (): Agenda {
    return this.context.agenda
  }

  get counters (): Counters {
    return this.context.counters
  }

  /** A call on one key. Replies through `caller.answer(id, …)`, before it returns unless the key is locked. */
  submit (request: Request<Bytes>, caller: Caller, id: number): void {
    const collection = this.collection(request.collection)
    let lock = collection.locks.size === 0 ? undefined : this.lockOf(collection, request.key)
    if (lock === undefined && collection.hasCopies) lock = this.revocations.begin(collection, request)
    if (request.token !== undefined && (request.op !== 'acquire' || lock?.token === request.token)) {
      const isHeld = lock?.token === request.token
      const reply = isHeld ? this.#withToken(collection, lock!, request, caller) : this.#withoutLock(lock, request)
      answer(this.context.durability, collection, request, caller, id, reply)
    } else if (lock === undefined) {
      const reply = this.#execute(collection, undefined, request, caller)
      answer(this.context.durability, collection, request, caller, id, reply)
    } else if (request.op === 'break') {
      this.counters.calls.break++
      const isMeant = lock.holder !== REVOKER && (request.number === undefined || request.number === lock.fence)
      if (isMeant) this.#end(lock, true)
      caller.answer(id, Reply.of(isMeant ? 1 : 0))
    } else if (request.nowait && lock.holder !== REVOKER) {
      caller.answer(id, this.#turnAway(request, 'STORE_LOCKED'))
    } else if (lock.waiters >= this.#maxWaiters) {
      caller.answer(id, this.#turnAway(request, 'STORE_QUEUE_FULL'))
    } else if (caller.waitingBytes + (request.text?.length ?? 0) > this.#maxWaitingBytes) {
      caller.answer(id, this.#turnAway(request, 'STORE_OVERLOADED'))
    } else {
      lock.enqueue(request, caller, id, this.clock.now, this.context.revision)
    }
  }

  /** Deletes all keys of a collection, or those with a prefix: see Clear. */
  clear (request: Request<Bytes>, caller: Caller, id: number): void {
    if (request.nowait) this.sweep(new Budget()) // ends locks of disconnected callers
    const collection = this.collection(request.collection)
    if (id !== 0 && caller.waiting.has(id)) throw new StoreError('STORE_PROTOCOL', `call ${id} cannot wait`)
    if (collection.clears.size >= this.#maxWaiters) {
      caller.answer(id, new Reply('STORE_QUEUE_FULL'))
      return
    }
    const clear = collection.clear(request, caller, id, collection.hasCopies)
    if (!clear.isRevoked) this.revocations.revokeAll(collection, request.key, true, () => { clear.onrevoked() })
  }

  /** Removes a waiting call from its queue and answers it with STORE_ABORTED. */
  cancel (caller: Caller, id: number): void {
    const waiting = caller.waiting.get(id)
    if (waiting instanceof Waiter) this.#giveUp(waiting)
    else if (waiting !== undefined) {
      waiting.withdraw()
      caller.answer(id, new Reply('STORE_ABORTED'))
    }
  }

  /**
   * A caller has disconnected: ends its waits and releases its locks without their changes. Whatever exceeds the slice
   * is left to the sweep; calls on such keys already treat the lock as released.
   */
  leave (caller: Caller, budget = new Budget()): void {
    this.#disconnects.add(caller)
    this.#disconnects.run(budget)
  }

  /** The lock of a key, if it is held. */
  lockOf (collection: Collection, key: string): Lock | undefined {
    const lock = collection.locks.get(key)
    if (lock?.isAbandoned !== true) return lock
    this.#end(lock, false)
    return collection.locks.get(key)
  }

  /** The collection with that name. Creates it if there is none. */
  collection (name: string): Collection {
    return this.collections.get(name)
  }

  /**
   * Does due work: ends leases and locks of disconnected callers, removes keys. True if the budget was spent first.
   */
  sweep (budget: Budget): boolean {
    return this.agenda.run(budget)
  }

  /** Executes a request: on an unlocked key, or between two owners of a lock. */
  #execute (
    collection: Collection, lock: Lock | undefined, request: Request<Bytes>, caller: Caller
  ): Reply<Bytes> {
    if (request.op !== 'acquire') return this.values.execute(collection, request, caller, lock !== undefined)
    this.counters.calls.acquire++
    return this.#grant(collection, lock ?? this.locks.make(collection, request.key), request, caller)
  }

  /** Executes a request with the token of the current lock. */
  #withToken (collection: Collection, lock: Lock, request: Request<Bytes>, caller: Caller): Reply<Bytes> {
    let reply: Reply<Bytes>
    switch (request.op) {
      case 'release':
        this.counters.calls.release++
        reply = new Reply<Bytes>()
        break
      case 'renew':
        this.counters.calls.renew++
        reply = new Reply<Bytes>()
        lock.setLease(this.agenda, this.clock.now, request.lease ?? lock.lease)
        reply.expiresIn = lock.lease
        break
      case 'acquire':
        return this.#turnAway(request, 'STORE_LOCKED')
      default:
        reply = this.#execute(collection, lock, request, lock.holder!)
    }
    // If another caller releases the lock by its token, the owner is notified.
    if (endsLock(request)) this.#end(lock, lock.holder !== caller)
    return reply
  }

  /** Handles a request whose token is not that of a held lock. It may be that of a waiting acquire. */
  #withoutLock (lock: Lock | undefined, request: Request<Bytes>): Reply<Bytes> {
    const waiter = request.op === 'release' ? lock?.named(request.token!) : undefined
    if (waiter === undefined) return this.#turnAway(request, 'STORE_LOCK_LOST')
    this.counters.calls.release++
    this.#giveUp(waiter)
    return new Reply<Bytes>()
  }

  #giveUp (waiter: Waiter): void {
    waiter.lock.remove(waiter)
    this.counters.wait(this.clock.now - waiter.since)
    waiter.caller.answer(waiter.id, this.#turnAway(waiter.request, 'STORE_ABORTED'))
  }

  /** The reply to a call that was not executed. */
  #turnAway (request: Request<Bytes>, code: StoreErrorCode): Reply<Bytes> {
    this.counters.calls[request.op as keyof Counters['calls']]++
    this.counters.refuse(request.op, code)
    return new Reply(code)
  }

  #grant (collection: Collection, lock: Lock, request: Request<Bytes>, caller: Caller): Reply<Bytes> {
    this.locks.grant(lock, request, caller, this.values.epoch)
    const reply = this.values.read(collection, request) // its expiresIn is that of the key
    reply.token = lock.token
    reply.fence = lock.fence
    reply.expiresIn = lock.lease
    return reply
  }

  /** Ends a lock and serves its queue, up to the next acquire. */
  #end (lock: Lock, isLost: boolean): void {
    const { holder, token } = lock
    const collection = this.collection(lock.collection.name)
    this.agenda.cancel(lock)
    holder!.holding.delete(lock)
    lock.token = ''
    if (holder === REVOKER) this.revocations.ended(collection, lock)
    else lock.holder = undefined
    if (isLost) holder!.lost(token)
    if (lock.waiters + collection.clears.size > 0) collection.settle(lock.key)
    while (lock.token === '') {
      const waiter = lock.first
      collection.clears.pass(lock, waiter?.revision ?? Infinity, this.context.revision)
      if (waiter === undefined) {
        this.locks.delete(collection, lock)
        return
      }
      if (this.revocations.isContinued(collection, lock, waiter.request)) return
      lock.remove(waiter)
      if (waiter.caller.hasLeft && waiter.id !== 0) continue
      this.counters.wait(this.clock.now - waiter.since)
      const { request, caller, id } = waiter
      answer(this.context.durability, collection, request, caller, id, this.#execute(collection, lock, request, caller))
    }
    if (holder === REVOKER) this.revocations.passed(collection, lock)
  }
}
