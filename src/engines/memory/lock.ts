// A locked key: who holds it, and who waits for it in which order.
import type { Request, Reply } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import type { Bytes } from '../../core/value.js'
import { Deadline } from './expiry.js'

/** Somebody who asks: a connection, or the process of the keyspace itself. Must not call the keyspace from these. */
export abstract class Caller {
  /** Its calls that wait for a key, by the id it gave them. */
  readonly waiting = new Map<number, Waiter>()
  /** Of the values that these, and what it has posted, are to write. */
  waitingBytes = 0
  /** The locks that end with it. */
  readonly holding = new Set<Lock>()
  /** It is gone: what it still holds is as good as released, and what it waits for never comes. */
  hasLeft = false
  /** For people who look at who holds what. */
  abstract readonly label: string
  /** The outcome of call `id`. Nobody waits for that of id 0. */
  abstract answer (id: number, reply: Reply<Bytes>): void
  /** A lock that was granted to this caller ended without being released. */
  abstract lost (token: string): void
}

export class Waiter {
  prev: Waiter | undefined
  next: Waiter | undefined
  constructor (readonly request: Request<Bytes>, readonly caller: Caller, readonly id: number, readonly lock: Lock, readonly since: number) {}

  get bytes (): number {
    return this.request.text?.length ?? 0
  }
}

/** Exists while a key is held; calls that come meanwhile queue in it. Its deadline is the end of the lease. */
export class Lock extends Deadline {
  /** Empty between two holders. */
  token = ''
  fence = 0
  owner = ''
  since = 0
  lease: number | undefined
  /** Who is told if the lock is lost; it ends with this caller unless it is detached. */
  holder: Caller | undefined
  waiters = 0
  #first: Waiter | undefined
  #last: Waiter | undefined
  /** Acquires that wait with a token of their own, by that token. */
  #named: Map<string, Waiter> | undefined

  constructor (readonly collection: string, readonly key: string, readonly ondue: (lock: Lock) => void) {
    super(0)
  }

  due (): void {
    this.ondue(this)
  }

  /** Whether it is still to be ended after its holder has left. */
  get isAbandoned (): boolean {
    return this.holder!.hasLeft && this.holder!.holding.has(this)
  }

  /** STORE_PROTOCOL where the caller could not be found in the queue again, to take it out when it leaves. */
  enqueue (request: Request<Bytes>, caller: Caller, id: number, now: number): void {
    if (id === 0 ? request.op === 'acquire' : caller.waiting.has(id)) throw new StoreError('STORE_PROTOCOL', `call ${id} cannot wait`)
    const waiter = new Waiter(request, caller, id, this, now)
    waiter.prev = this.#last
    if (this.#last === undefined) this.#first = waiter
    else this.#last.next = waiter
    this.#last = waiter
    this.waiters++
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
    for (let waiter = this.#first; waiter !== undefined; waiter = waiter.next) yield waiter
  }

  /** Takes the first of the queue out of it. */
  shift (): Waiter | undefined {
    const waiter = this.#first
    if (waiter !== undefined) this.remove(waiter)
    return waiter
  }

  remove (waiter: Waiter): void {
    if (waiter.prev === undefined) this.#first = waiter.next
    else waiter.prev.next = waiter.next
    if (waiter.next === undefined) this.#last = waiter.prev
    else waiter.next.prev = waiter.prev
    this.waiters--
    waiter.caller.waitingBytes -= waiter.bytes
    waiter.caller.waiting.delete(waiter.id)
    const { token } = waiter.request
    if (token !== undefined && this.named(token) === waiter) this.#named!.delete(token)
  }
}
