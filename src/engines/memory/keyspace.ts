// All keys of a store, and the promises about them. Plain synchronous code: requests come in, answers go out, now or,
// where a key is locked, when it is the request's turn. Names and values are "bytes" here (see value.ts), never parsed.
import { randomUUID } from 'node:crypto'
import { Reply, type Request } from '../../core/engine.js'
import type { StoreErrorCode } from '../../core/errors.js'
import type { Bytes } from '../../core/value.js'
import { Counters } from './counters.js'
import { Clock, Deadlines, Budget, type Sweepable, type Time } from './expiry.js'
import { Disconnects } from './disconnects.js'
import { Lock, type Caller, type Waiter } from './lock.js'
import type { CollectionState } from './collection-state.js'
import { CollectionTable } from './collection-table.js'
import { Operations } from './operations.js'

export interface KeyspaceOptions {
  /** Bytes of JSON text that a value may have. */
  maxValueBytes?: number
  /** Calls that may wait for one key. */
  maxWaiters?: number
  /** Bytes of values that may wait to be written, of one caller. */
  maxWaitingBytes?: number
  time?: Time
}

export class Keyspace implements Sweepable {
  readonly clock: Clock
  readonly deadlines = new Deadlines()
  readonly tally = new Counters()
  readonly shelves: CollectionTable
  readonly values: Operations
  /** Other processes that are connected. */
  peers = 0
  readonly #maxWaiters: number
  readonly #maxWaitingBytes: number
  readonly #leaving = new Disconnects(lock => { this.#end(this.shelf(lock.collection), lock, false) })
  // Versions and fences must not repeat after a restart of the primary, so they count on from the time of day in
  // microseconds: no keyspace makes a change that often.
  readonly #epoch = Date.now() * 1000
  #grants = 0

  constructor ({ maxValueBytes = 2 ** 20, maxWaiters = 65_536, maxWaitingBytes = 64 * 2 ** 20, time }: KeyspaceOptions = {}) {
    this.#maxWaiters = maxWaiters
    this.#maxWaitingBytes = maxWaitingBytes
    this.clock = new Clock(time)
    this.shelves = new CollectionTable(this.clock, this.deadlines, this.tally)
    this.values = new Operations(this.#epoch, maxValueBytes, this.tally)
  }

  /** A call on one key. Answers through `caller.answer(id, …)`, before it returns unless the key is locked. */
  submit (request: Request<Bytes>, caller: Caller, id: number): void {
    const shelf = this.shelf(request.collection)
    const lock = shelf.locks.size === 0 ? undefined : this.lockOf(shelf, request.key)
    if (request.token !== undefined && (request.op !== 'acquire' || lock?.token === request.token)) {
      caller.answer(id, lock?.token === request.token ? this.#withToken(shelf, lock, request, caller) : this.#withoutLock(lock, request))
    } else if (lock === undefined) {
      caller.answer(id, this.#turn(shelf, undefined, request, caller))
    } else if (request.op === 'break') {
      this.tally.calls.break++
      this.#end(shelf, lock, true)
      caller.answer(id, Reply.of(1))
    } else if (request.nowait) {
      caller.answer(id, this.#turnAway(request, 'STORE_LOCKED'))
    } else if (lock.waiters >= this.#maxWaiters) {
      caller.answer(id, this.#turnAway(request, 'STORE_QUEUE_FULL'))
    } else if (caller.waitingBytes + (request.text?.length ?? 0) > this.#maxWaitingBytes) {
      caller.answer(id, this.#turnAway(request, 'STORE_OVERLOADED'))
    } else {
      lock.enqueue(request, caller, id, this.clock.now)
    }
  }

  /** Takes a call that still waits out of its queue; it is answered with STORE_ABORTED. */
  cancel (caller: Caller, id: number): void {
    const waiter = caller.waiting.get(id)
    if (waiter !== undefined) this.#giveUp(waiter)
  }

  /**
   * A caller is gone: nothing waits for it any more, and its locks are released without their changes. What is too much for
   * the slice is left to the sweep; who comes to such a key before it finds it released all the same.
   */
  leave (caller: Caller, budget = new Budget()): void {
    this.#leaving.add(caller)
    if (this.#leaving.sweep(budget)) this.wake()
  }

  /** The lock of a key that is held. */
  lockOf (shelf: CollectionState, key: string): Lock | undefined {
    const lock = shelf.locks.get(key)
    if (lock?.isAbandoned !== true) return lock
    this.#end(shelf, lock, false)
    return shelf.locks.get(key)
  }

  /** Whether another call may wait for each locked key of a collection. */
  hasRoom (shelf: CollectionState): boolean {
    for (const { waiters } of shelf.locks.values()) {
      if (waiters >= this.#maxWaiters) return false
    }
    return true
  }

  shelf (name: string): CollectionState {
    return this.shelves.get(name)
  }

  sweep (budget: Budget): boolean {
    let deadline
    while ((deadline = this.deadlines.next) !== undefined && this.clock.now > deadline.at) {
      this.deadlines.remove(deadline)
      deadline.due()
      if (budget.isSpent()) return true
    }
    return this.#leaving.sweep(budget) || this.shelves.sweep(budget)
  }

  get idles (): boolean {
    return this.shelves.idles
  }

  /** Has the sweep look at once whether there is something to do. */
  wake (): void {
    this.deadlines.onearlier?.(-Infinity)
  }

  /** A request whose turn it is: on a free key, or between two holders of a lock. */
  #turn (shelf: CollectionState, lock: Lock | undefined, request: Request<Bytes>, caller: Caller): Reply<Bytes> {
    const { calls } = this.tally
    switch (request.op) {
      case 'get':
        calls.get++
        return this.values.read(shelf, request)
      case 'entry':
        calls.entry++
        return this.values.read(shelf, request)
      case 'head':
        calls.head++
        return this.values.read(shelf, request)
      case 'peek':
        calls.peek++
        return this.values.read(shelf, request)
      case 'set':
        calls.set++
        return this.values.write(shelf, request, lock !== undefined)
      case 'increment':
        calls.increment++
        return this.values.write(shelf, request, lock !== undefined)
      case 'del':
        calls.del++
        return this.values.delete(shelf, request)
      case 'touch':
        calls.touch++
        return this.values.touch(shelf, request)
      case 'acquire':
        calls.acquire++
        return this.#grant(shelf, lock ?? this.#lock(shelf, request.key), request, caller)
      default: // break, of a key that is not locked
        calls.break++
        return Reply.of(0)
    }
  }

  /** A request that comes through the lock it names. */
  #withToken (shelf: CollectionState, lock: Lock, request: Request<Bytes>, caller: Caller): Reply<Bytes> {
    let reply: Reply<Bytes>
    switch (request.op) {
      case 'release':
        this.tally.calls.release++
        reply = new Reply<Bytes>()
        break
      case 'renew':
        this.tally.calls.renew++
        reply = new Reply<Bytes>()
        this.#setLease(lock, request.lease ?? lock.lease)
        reply.expiresIn = lock.lease
        break
      case 'acquire':
        return this.#turnAway(request, 'STORE_LOCKED')
      default:
        reply = this.#turn(shelf, lock, request, lock.holder!)
    }
    // Where somebody else releases a lock by its token, whoever it was granted to is told.
    if (request.release || request.op === 'release') this.#end(shelf, lock, lock.holder !== caller)
    return reply
  }

  /** A request whose token is not that of a lock that is held: it may be that of one who waits to hold it. */
  #withoutLock (lock: Lock | undefined, request: Request<Bytes>): Reply<Bytes> {
    const waiter = request.op === 'release' ? lock?.named(request.token!) : undefined
    if (waiter === undefined) return this.#turnAway(request, 'STORE_LOCK_LOST')
    this.tally.calls.release++
    this.#giveUp(waiter)
    return new Reply<Bytes>()
  }

  #giveUp (waiter: Waiter): void {
    waiter.lock.remove(waiter)
    this.tally.wait(this.clock.now - waiter.since)
    waiter.caller.answer(waiter.id, this.#turnAway(waiter.request, 'STORE_ABORTED'))
  }

  /** The answer to a call that has not had its turn. */
  #turnAway (request: Request<Bytes>, code: StoreErrorCode): Reply<Bytes> {
    this.tally.calls[request.op as keyof Counters['calls']]++
    this.tally.refuse(request.op, code)
    return new Reply(code)
  }

  #lock (shelf: CollectionState, key: string): Lock {
    const entry = shelf.entries.find(key)
    if (entry !== undefined) shelf.entries.lock(entry)
    const lock = new Lock(shelf.name, key, lock => { this.#end(shelf, lock, true) })
    shelf.locks.set(key, lock)
    return lock
  }

  #grant (shelf: CollectionState, lock: Lock, request: Request<Bytes>, caller: Caller): Reply<Bytes> {
    lock.token = request.token ?? randomUUID()
    lock.fence = this.#epoch + ++this.#grants
    lock.owner = request.owner ?? caller.label
    lock.since = this.clock.now
    lock.holder = caller
    if (!request.detached || request.lease === undefined) caller.holding.add(lock)
    this.#setLease(lock, request.lease)
    const reply = this.values.read(shelf, request) // its expiresIn is that of the key
    reply.token = lock.token
    reply.fence = lock.fence
    reply.expiresIn = lock.lease
    return reply
  }

  #setLease (lock: Lock, lease: number | undefined): void {
    this.deadlines.remove(lock)
    lock.lease = lease
    if (lease === undefined) return
    lock.at = this.clock.now + Math.ceil(lease)
    this.deadlines.add(lock)
  }

  /** Ends a hold and serves who waits: all up to the next one that takes the lock. */
  #end (shelf: CollectionState, lock: Lock, lost: boolean): void {
    const { holder, token } = lock
    this.deadlines.remove(lock)
    holder!.holding.delete(lock)
    lock.token = ''
    lock.holder = undefined
    if (lost) holder!.lost(token)
    while (lock.token === '') {
      const waiter = lock.shift()
      if (waiter === undefined) {
        shelf.locks.delete(lock.key)
        const entry = shelf.entries.find(lock.key)
        if (entry !== undefined) shelf.entries.unlock(entry)
        return
      }
      if (waiter.caller.hasLeft && waiter.id !== 0) continue
      this.tally.wait(this.clock.now - waiter.since)
      waiter.caller.answer(waiter.id, this.#turn(shelf, lock, waiter.request, waiter.caller))
    }
  }
}
