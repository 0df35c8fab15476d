// A locked key: its owner and the queue of waiters.
import { randomUUID } from 'node:crypto'
import type { Request, Reply } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import { append, remove, type ListNode } from '../../core/linked-list.js'
import { own, type Bytes } from '../../core/value.js'
import type { Agenda, Task } from './agenda.js'
import type { Copy } from './copies.js'

/** A client of the keyspace: a connection, or this process. Its methods must not call the keyspace. */
export abstract class Caller {
  /** Its calls that wait for locked keys, by id. */
  readonly waiting = new Map<number, Waiting>()
  /** Size of the values that its waiting calls and posts are going to write. */
  waitingBytes = 0
  /** The locks that end when it disconnects. */
  readonly holding = new HeldLocks()
  /** The number of its waiting calls that take several replies. */
  streams = 0
  /** It has disconnected: its locks count as released, and its waiting calls are never executed. */
  hasLeft = false
  // See Copies.
  copies: Map<number, Copy> | undefined
  leasedAt = -Infinity
  /** Shown as the owner in listings of locks. */
  abstract readonly label: string
  /** Bytes of replies that it has not read yet. */
  get backlog (): number { return 0 }
  get keepsCopies (): boolean { return false }
  revoke (_id: number): void {}
  /** The reply to call `id`. Id 0 needs none. */
  abstract answer (id: number, reply: Reply<Bytes>): void
  /** Sends the answers so far without delay. */
  flush (): void {}
  /** A lock of this caller ended without a release. */
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

/** Holds the lock of a key while copies of its value are revoked. */
class Revoker extends Caller {
  readonly label = 'near caches'
  answer (): void {}
  lost (): void {}
}

export const REVOKER: Caller = new Revoker()

interface HeldLock extends ListNode<HeldLock> {
  readonly lock: Lock
}

/** A waiting call. */
export interface Waiting {
  readonly since: number
  /** Ends the wait without executing the call. */
  withdraw (): void
}

/** A waiting call on one key. */
export class Waiter implements Waiting {
  prev: Waiter | undefined
  next: Waiter | undefined
  constructor (
    readonly request: Request<Bytes>,
    readonly caller: Caller,
    readonly id: number,
    readonly lock: Lock,
    readonly since: number,
    /** The keyspace's revision when the call arrived: see Context. */
    readonly revision: number
  ) {}

  get bytes (): number {
    return this.request.text?.length ?? 0
  }

  withdraw (): void {
    this.lock.remove(this)
  }
}

/** The parts of a collection that a lock uses. */
export interface LockedCollection {
  readonly name: string
  countWaiters (more: number): void
}

/** Exists while a key is locked, and has the queue of waiters. As a task, it ends the lock when the lease expires. */
export class Lock implements Task {
  slot = -1
  get isUrgent (): boolean { return true }
  // Neighbors in the list of all locks of the keyspace.
  prev: Lock | undefined
  next: Lock | undefined
  /** Empty between two owners. */
  token = ''
  fence = 0
  owner = ''
  since = 0
  /** Milliseconds, as granted and renewed; undefined for none. */
  lease: number | undefined
  /** The clock reading at the end of the lease. */
  end = 0
  /**
   * Notified if the lock is lost. The lock ends when this caller disconnects, unless it is detached. Stays REVOKER
   * until there is another.
   */
  holder: Caller | undefined
  /** Its place among those that end with the holder. */
  held: HeldLock | undefined
  waiters = 0
  /** The first waiter in the queue. */
  first: Waiter | undefined
  /** Waiting acquires that brought their own token, by token. */
  #named: Map<string, Waiter> | undefined

  constructor (
    readonly collection: LockedCollection,
    readonly key: string,
    /** Clears up to this revision have been applied to the key: see Clear. */
    public revision: number,
    readonly onexpired: (lock: Lock) => void
  ) {}

  /** The lease has expired. */
  run (): undefined {
    this.onexpired(this)
  }

  /** Gives the lock to a caller. */
  grant ({ token, owner, detached, lease }: Request<Bytes>, caller: Caller, fence: number, now: number): void {
    this.token = token ?? randomUUID()
    this.fence = fence
    this.owner = owner ?? caller.label
    this.since = now
    this.holder = caller
    if (!detached || lease === undefined) caller.holding.add(this)
  }

  /** Starts a lease of so many milliseconds, or none. */
  setLease (agenda: Agenda, now: number, lease: number | undefined): void {
    agenda.cancel(this)
    this.lease = lease
    if (lease === undefined) return
    this.end = now + Math.ceil(lease)
    agenda.schedule(this, this.end + 1)
  }

  /** Whether its owner has disconnected, but the lock has not been ended yet. */
  get isAbandoned (): boolean {
    return this.holder!.hasLeft && this.held !== undefined
  }

  /** STORE_PROTOCOL if the caller uses an id twice: the call could not be found when the caller disconnects. */
  enqueue (request: Request<Bytes>, caller: Caller, id: number, now: number, revision: number): void {
    const cannotWait = id === 0 ? request.op === 'acquire' : caller.waiting.has(id)
    if (cannotWait) throw new StoreError('STORE_PROTOCOL', `call ${id} cannot wait`)
    if (request.text !== undefined) request.text = own(request.text)
    const waiter = new Waiter(request, caller, id, this, now, revision)
    this.first = append(this.first, waiter)
    this.countWaiters(1)
    caller.waitingBytes += waiter.bytes
    if (id !== 0) caller.waiting.set(id, waiter)
    if (request.token !== undefined) (this.#named ??= new Map()).set(request.token, waiter)
  }

  /** The acquire that waits with this token: the latest, if it was sent again. */
  named (token: string): Waiter | undefined {
    return this.#named?.get(token)
  }

  /** The waiters in queue order. */
  * queue (): Generator<Waiter> {
    for (let waiter = this.first; waiter !== undefined; waiter = waiter.next) yield waiter
  }

  remove (waiter: Waiter): void {
    this.first = remove(this.first!, waiter)
    this.countWaiters(-1)
    waiter.caller.waitingBytes -= waiter.bytes
    waiter.caller.waiting.delete(waiter.id)
    const { token } = waiter.request
    if (token !== undefined && this.named(token) === waiter) this.#named!.delete(token)
  }

  /** The statistics of the collection exclude calls that wait for REVOKER. */
  private countWaiters (more: 1 | -1): void {
    this.waiters += more
    const isHeldByRevoker = this.holder === REVOKER && this.token !== ''
    if (!isHeldByRevoker) this.collection.countWaiters(more)
  }
}
