// Delays changes of keys that have copies: REVOKER holds the lock of the key until the copies are revoked, so calls on
// the key keep their order, and other keys are not affected.
import { randomUUID } from 'node:crypto'
import type { Reply, Request, Op } from '../../core/engine.js'
import type { StoreErrorCode } from '../../core/errors.js'
import type { Bytes } from '../../core/value.js'
import { Budget } from './agenda.js'
import { BulkRevocation } from './bulk-revocation.js'
import { ROOM_RETRY_MS, type Collection } from './collection.js'
import type { CollectionTable } from './collection-table.js'
import type { Context } from './context.js'
import { REVOKER, type Lock } from './lock.js'
import type { Locks } from './locks.js'
import type { Operations } from './operations.js'

/** Maximum length of a counter's value. */
const MAX_DIGITS = 24
/** The token of all locks held by REVOKER. No caller knows it. */
const TOKEN = randomUUID()

/** The parts of the keyspace that Revocations uses. */
interface Queues {
  /** Ends a lock and serves its queue. */
  end (lock: Lock): void
  turnAway (request: Request<Bytes>, code: StoreErrorCode): Reply<Bytes>
}

export class Revocations {
  readonly #context: Context
  readonly #values: Operations
  readonly #locks: Locks
  readonly #queues: Queues
  readonly #running = new Set<BulkRevocation>()
  /** The number of locks held by REVOKER, by collection. */
  readonly #held = new Map<string, number>()

  constructor (
    context: Context, values: Operations, locks: Locks, collections: CollectionTable, queues: Queues
  ) {
    this.#context = context
    this.#values = values
    this.#locks = locks
    this.#queues = queues
    context.copies.onfree = (collection, key) => {
      const lock = collections.find(collection)?.locks.get(key)
      if (lock?.holder === REVOKER) queues.end(lock)
      for (const work of this.#running) if (work.collection.name === collection) work.freed(key)
    }
  }

  /**
   * Locks the key of a change until no copy of what it changes can be read; undefined if none can be read now. While
   * the key is being cleared, this applies to all calls, including reads: none may see the key deleted while others can
   * still read copies.
   */
  begin (collection: Collection, request: Request<Bytes>): Lock | undefined {
    const isCleared = this.#running.size > 0 && this.#isCleared(collection, request.key)
    if (!isChange(request) && !isCleared) return undefined
    const entry = collection.find(request.key)
    if (!isCleared && this.#values.refusal(collection, entry, request) !== undefined) return undefined
    // A cleared key has no entry, but may still have copies.
    const wait = isCleared || entry?.isCopied === true ? this.#context.copies.recall(collection, request.key) : 0
    if (entry !== undefined) entry.isCopied = wait > 0
    const lock = wait === 0 ? undefined : this.#hold(this.#locks.make(collection, request.key), wait)
    if (lock !== undefined || !isBlocked(collection, request, false)) return lock
    return this.#awaitRoom(collection, this.#locks.make(collection, request.key))
  }

  /**
   * Revokes the copies of all keys with a prefix, in slices, and calls `ondone` when none can be read any more. If
   * `isClear`, calls on keys whose copies can still be read wait.
   */
  revokeAll (collection: Collection, prefix: string, isClear: boolean, ondone: () => void): void {
    const work = new BulkRevocation(this.#context, collection, prefix, isClear, () => {
      this.#running.delete(work)
      ondone()
    })
    this.#running.add(work)
    const next = work.run(new Budget())
    if (next !== undefined) this.#context.agenda.schedule(work, next)
  }

  /** Whether the first call in the queue has to wait longer, for copies of keys that it has to evict. */
  isContinued (collection: Collection, lock: Lock, request: Request<Bytes>): boolean {
    if (!collection.hasCopies || !isBlocked(collection, request, true)) return false
    this.#awaitRoom(collection, lock)
    return true
  }

  /** The number of locks in a collection that are held by REVOKER. */
  heldIn (collection: string): number {
    return this.#held.get(collection) ?? 0
  }

  /** A lock held by REVOKER has ended: no copy of its key can be read any more. */
  ended (collection: Collection, lock: Lock): void {
    const { copies, clock, counters } = this.#context
    copies.forget(collection, lock.key)
    this.#countHeld(lock, -1)
    counters.near.waited += (clock.now - lock.since) / 1000
  }

  /** The lock has passed from REVOKER to a caller: rejects the waiting calls that do not wait for other holders. */
  passed (collection: Collection, lock: Lock): void {
    for (const waiter of [...lock.queue()]) {
      if (!waiter.request.nowait) continue
      lock.remove(waiter)
      waiter.caller.answer(waiter.id, this.#queues.turnAway(waiter.request, 'STORE_LOCKED'))
    }
    collection.clears.meet(lock)
  }

  #isCleared (collection: Collection, key: string): boolean {
    for (const work of this.#running) {
      if (work.covers(collection, key)) return true
    }
    return false
  }

  #awaitRoom (collection: Collection, lock: Lock): Lock {
    this.#context.copies.pause(collection, 2 * ROOM_RETRY_MS)
    return this.#hold(lock, ROOM_RETRY_MS)
  }

  #hold (lock: Lock, duration: number): Lock {
    const { agenda, clock, counters } = this.#context
    this.#countHeld(lock, 1)
    lock.token = TOKEN
    lock.holder = REVOKER
    lock.since = clock.now
    lock.setLease(agenda, clock.now, duration)
    counters.near.waits++
    return lock
  }

  /** Statistics exclude the locks held by REVOKER and the calls that wait for them. */
  #countHeld (lock: Lock, more: 1 | -1): void {
    const { name } = lock.collection
    const held = this.heldIn(name) + more
    if (held === 0) this.#held.delete(name)
    else this.#held.set(name, held)
    this.#context.counters.totals.locks -= more
    lock.collection.countWaiters(-more * lock.waiters)
  }
}

/** Whether a call on an unlocked key may change what copies contain. */
function isChange ({ op, token, ttl }: Request<Bytes>): boolean {
  switch (op) {
    case 'acquire': return true
    case 'set':
    case 'del':
    case 'increment': return token === undefined
    case 'touch': return token === undefined && ttl !== undefined
    default: return false
  }
}

const ADDING: readonly Op[] = ['set', 'increment']

/** Whether a write has to wait, because copies of the keys that it has to evict can still be read. */
function isBlocked (collection: Collection, { op, key, text }: Request<Bytes>, isLocked: boolean): boolean {
  return ADDING.includes(op) && collection.awaitsRoom(key, key.length + (text?.length ?? MAX_DIGITS), isLocked)
}
