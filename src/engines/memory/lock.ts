// A locked key: who holds it, and who waits for it in which order.
import type { Request, Reply } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import type { Bytes } from '../../core/value.js'
import type { Task } from './agenda.js'
import { append, remove, type ListNode } from './linked-list.js'

/** Somebody who asks: a connection, or the process of the keyspace itself. Must not call the keyspace from these. */
export abstract class Caller {
  /** Its calls that wait for locked keys, by the id it gave them. */
  readonly waiting = new Map<number, Waiting>()
  /** Of the values that these, and what it has posted, are to write. */
  waitingBytes = 0
  /** The locks that end with it. */
  readonly holding = new HeldLocks()
  /** It is gone: what it still holds is as good as released, and what it waits for never comes. */
  hasLeft = false
  /** For people who look at who holds what. */
  abstract readonly label: string
  /** Bytes of answers that it has not read yet. */
  get backlog (): number { return 0 }
  /** The outcome of call `id`. Nobody waits for that of id 0. */
  abstract answer (id: number, reply: Reply<Bytes>): void
  /** A lock that was granted to this caller ended without being released. */
  abstract lost (token: string): void
}

/** The locks of a caller, the oldest first. A list, as a large Set takes milliseconds to grow and to shrink. */
export class HeldLocks {
  size = 0
  #first: HeldLock | undefined

  get first (): Lock | undefined {
    return this.#first?.lock
  }

  add (lock: Lock): void {
    lock.held = { lock, prev: undefined, next: undefined }
    this.#first = append(this.#first, lock.held)
    this.size++
  }

  delete (lock: Lock): void {
    if (lock.held === undefined) return
    this.#first = remove(this.#first!, lock.held)
    lock.held = undefined
    this.size--
  }
}

interface HeldLock extends ListNode<HeldLock> {
  readonly lock: Lock
}

/** A call that waits. */
export interface Waiting {
  readonly since: number
  /** Ends the wait; what the call would have done is not done. */
  withdraw (): void
}

/** A call on one key. */
export class Waiter implements Waiting {
  prev: Waiter | undefined
  next: Waiter | undefined
  constructor (
    readonly request: Request<Bytes>,
    readonly caller: Caller,
    readonly id: number,
    readonly lock: Lock,
    readonly since: number,
    /** Of the keyspace when it came: see Context. */
    readonly revision: number
  ) {}

  get bytes (): number {
    return this.request.text?.length ?? 0
  }

  withdraw (): void {
    this.lock.remove(this)
  }
}

/** A lock's collection, as far as the lock is concerned. */
export interface LockedCollection {
  readonly name: string
  countWaiters (more: number): void
}

/** Exists while a key is locked, with the queue of calls that wait for it. As a task it is the end of the lease. */
export class Lock implements Task {
  slot = -1
  get isUrgent (): boolean { return true }
  // The neighbours among all locks of the keyspace.
  prev: Lock | undefined
  next: Lock | undefined
  /** Empty between two holders. */
  token = ''
  fence = 0
  owner = ''
  since = 0
  /** In milliseconds, as it is granted and renewed; undefined for none. */
  lease: number | undefined
  /** Clock reading at which the lease ends. */
  end = 0
  /** Notified if the lock is lost. The lock ends with this caller unless it is detached. */
  holder: Caller | undefined
  /** Its place among those that end with the holder. */
  held: HeldLock | undefined
  waiters = 0
  /** The first in the queue. */
  first: Waiter | undefined
  /** Acquires that wait with a token of their own, by that token. */
  #named: Map<string, Waiter> | undefined

  constructor (
    readonly collection: LockedCollection,
    readonly key: string,
    /** Clears up to this revision of the keyspace are done with the key: see Clear. */
    public revision: number,
    readonly onexpired: (lock: Lock) => void
  ) {}

  /** The lease has run out. */
  run (): undefined {
    this.onexpired(this)
  }

  /** Whether it is still to be ended after its holder has left. */
  get isAbandoned (): boolean {
    return this.holder!.hasLeft && this.held !== undefined
  }

  /** STORE_PROTOCOL where the caller could not be found in the queue again, to take it out when it leaves. */
  enqueue (request: Request<Bytes>, caller: Caller, id: number, now: number, revision: number): void {
    const cannotWait = id === 0 ? request.op === 'acquire' : caller.waiting.has(id)
    if (cannotWait) throw new StoreError('STORE_PROTOCOL', `call ${id} cannot wait`)
    const waiter = new Waiter(request, caller, id, this, now, revision)
    this.first = append(this.first, waiter)
    this.waiters++
    this.collection.countWaiters(1)
    caller.waitingBytes += waiter.bytes
    if (id !== 0) caller.waiting.set(id, waiter)
    if (request.token !== undefined) (this.#named ??= new Map()).set(request.token, waiter)
  }

  /** The acquire that waits to hold the lock with this token: the last, where it was asked for again. */
  named (token: string): Waiter | undefined {
    return this.#named?.get(token)
  }

  /** Who waits, in their order. */
  * queue (): Generator<Waiter> {
    for (let waiter = this.first; waiter !== undefined; waiter = waiter.next) yield waiter
  }

  remove (waiter: Waiter): void {
    this.first = remove(this.first!, waiter)
    this.waiters--
    this.collection.countWaiters(-1)
    waiter.caller.waitingBytes -= waiter.bytes
    waiter.caller.waiting.delete(waiter.id)
    const { token } = waiter.request
    if (token !== undefined && this.named(token) === waiter) this.#named!.delete(token)
  }
}
