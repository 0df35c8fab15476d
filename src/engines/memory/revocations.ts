// Delays changes of keys that have copies: REVOKER holds the lock of the key until the copies are revoked, so calls on
// the key keep their order, and other keys are not affected.
import { randomUUID } from 'node:crypto'
import type { Reply, Request, Op } from '../../core/engine.js'
import type { StoreErrorCode } from '../../core/errors.js'
import type { Bytes } from '../../core/value.js'
import { Budget, type Task } from './agenda.js'
import { ROOM_RETRY_MS, type Collection } from './collection.js'
import type { Context } from './context.js'
import { REVOKER, type Lock } from './lock.js'

/** Maximum length of a counter's value. */
const MAX_DIGITS = 24
/** The token of all locks held by REVOKER. No caller knows it. */
const TOKEN = randomUUID()

/** The parts of the keyspace that Revocations uses. */
interface Locks {
  /** Creates a lock without a holder. */
  make (collection: Collection, key: string): Lock
  /** Ends a lock and serves its queue. */
  end (lock: Lock): void
  turnAway (request: Request<Bytes>, code: StoreErrorCode): Reply<Bytes>
}

export class Revocations {
  readonly #context: Context
  readonly #locks: Locks
  readonly #running = new Set<RevokeAll>()
  /** The locks held by REVOKER, by collection. */
  readonly #held = new Map<string, Set<Lock>>()

  constructor (context: Context, locks: Locks, lockOf: (collection: string, key: string) => Lock | undefined) {
    this.#context = context
    this.#locks = locks
    context.copies.onfree = (collection, key) => {
      const lock = lockOf(collection, key)
      if (lock?.holder === REVOKER) locks.end(lock)
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
    const work = new RevokeAll(this.#context, collection, prefix, isClear, () => {
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

  /** The locks held by REVOKER in one or all collections, and the calls that wait for them. Statistics exclude them. */
  count (collection?: string): { locks: number, waiters: number } {
    const some = collection === undefined ? this.#held.values() : [this.#held.get(collection) ?? []]
    let [locks, waiters] = [0, 0]
    for (const held of some) {
      for (const lock of held) {
        locks++
        waiters += lock.waiters
      }
    }
    return { locks, waiters }
  }

  /** A lock held by REVOKER has ended: no copy of its key can be read any more. */
  ended (collection: Collection, lock: Lock): void {
    const { copies, clock, counters } = this.#context
    copies.forget(collection, lock.key)
    const held = this.#held.get(collection.name)!
    held.delete(lock)
    if (held.size === 0) this.#held.delete(collection.name)
    counters.near.waited += (clock.now - lock.since) / 1000
  }

  /** The lock has passed from REVOKER to a caller: rejects the waiting calls that do not wait for other holders. */
  passed (collection: Collection, lock: Lock): void {
    for (const waiter of [...lock.queue()]) {
      if (!waiter.request.nowait) continue
      lock.remove(waiter)
      waiter.caller.answer(waiter.id, this.#locks.turnAway(waiter.request, 'STORE_LOCKED'))
    }
    for (const clear of collection.clears) clear.meet(lock)
  }

  #isCleared (collection: Collection, key: string): boolean {
    for (const work of this.#running) {
      if (work.isClear && work.collection === collection && key.startsWith(work.prefix)) return true
    }
    return false
  }

  #awaitRoom (collection: Collection, lock: Lock): Lock {
    this.#context.copies.pause(collection, 2 * ROOM_RETRY_MS)
    return this.#hold(lock, ROOM_RETRY_MS)
  }

  #hold (lock: Lock, duration: number): Lock {
    const { agenda, clock, counters } = this.#context
    lock.token = TOKEN
    lock.holder = REVOKER
    const { name } = lock.collection
    let held = this.#held.get(name)
    if (held === undefined) this.#held.set(name, held = new Set())
    held.add(lock)
    lock.since = clock.now
    lock.setLease(agenda, clock.now, duration)
    counters.near.waits++
    return lock
  }
}

/** Revokes the copies of many keys. */
class RevokeAll implements Task {
  slot = -1
  readonly isUrgent = true
  readonly #keys: string[]
  #searched = 0
  /** Keys with copies that have not been acknowledged. */
  readonly #left = new Set<string>()
  /** When the last lease on their copies expires. */
  #end = 0

  constructor (
    readonly context: Context, readonly collection: Collection, readonly prefix: string, readonly isClear: boolean,
    readonly ondone: () => void
  ) {
    this.#keys = [...context.copies.of(collection)?.keys() ?? []]
  }

  run (budget: Budget): number | undefined {
    const { copies, clock: { now } } = this.context
    while (this.#searched < this.#keys.length) {
      const key = this.#keys[this.#searched++]!
      const wait = key.startsWith(this.prefix) ? copies.recall(this.collection, key) : 0
      if (wait > 0) this.#left.add(key)
      this.#end = Math.max(this.#end, now + wait)
      if (budget.isSpent()) return now
    }
    if (this.#left.size > 0 && now < this.#end) return this.#end
    this.ondone()
    return undefined
  }

  /** All copies of a key have been acknowledged. */
  freed (key: string): void {
    if (!this.#left.delete(key) || this.#left.size > 0 || this.#searched < this.#keys.length) return
    this.context.agenda.cancel(this)
    this.ondone()
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
