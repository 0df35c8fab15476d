// Tracks the copies of values that clients keep in their near caches (socket/near-cache.ts), and revokes them before a
// key changes. Four rules make reads of copies linearizable:
//
// 1. A client reads copies only during its lease, which it requests by each read of the collection and by pings. The
//    client counts the lease from the request, the store from the grant, which is later. So a lease that has expired
//    for the store has expired for the client.
// 2. Before a key changes, its copies are revoked. The change waits for a lock held by REVOKER until each client has
//    acknowledged the revocation or its lease has expired. No copies of a locked key are granted.
// 3. Replies and revocations are sent in order on one connection. A client that receives a lease has processed all
//    revocations sent before it, so a lease cannot revive a revoked copy; and a client receives each copy before the
//    revocation of that copy.
// 4. A client drops its own copy of a key before it sends a change of that key, and reads a new one only after the
//    store has answered the change or a request sent after it.
//
// An expiring key needs no revocation: each copy expires with its key, see NearCache. A store that takes over cannot
// revoke copies granted by its predecessor: a client that has not noticed the takeover reads its copies until its lease
// expires.
import type { Reply } from '../../core/engine.js'
import type { Bytes } from '../../core/value.js'
import type { Bounds } from './bounds.js'
import type { Clock } from './clock.js'
import type { Counters } from './counters.js'

/** Maximum number of copies of one client. */
export const MAX_COPIES = 2 ** 15
const MAX_ID = 2 ** 32 - 1
/** Reads after which a copy pays: granting and revoking it takes about as long as this many reads from the store. */
const PAYING_READS = 4
/** By how many reads the copies of a collection may fall short of PAYING_READS before grants are paused. */
const MAX_LOSS = 256
const LOSS_PAUSE_MS = 1000

/** A client that may keep copies. */
interface Keeper {
  readonly keepsCopies: boolean
  /** It has disconnected and no longer reads copies. */
  readonly hasLeft: boolean
  /** Its copies, by id. */
  copies: Map<number, Copy> | undefined
  /** The clock reading at the start of its lease. */
  leasedAt: number
  /** Sends it a revocation, which it has to acknowledge. */
  revoke (id: number): void
}

export interface Copy {
  /** Unique on the connection, so that a late acknowledgement cannot match a later copy of the key. */
  readonly id: number
  readonly caller: Keeper
  readonly collection: Copied
  readonly key: string
  /** The lease in milliseconds. */
  readonly lease: number
  /** When its lease expires; undefined until it is revoked. */
  until: number | undefined
  /** Another copy of the key. */
  next: Copy | undefined
}

/** The parts of a collection that Copies uses. */
export interface Copied {
  readonly name: string
  readonly bounds: Bounds
}

export class Copies {
  /** Called when the last copy of a key is acknowledged. */
  onfree: ((collection: string, key: string) => void) | undefined
  readonly #clock: Clock
  readonly #counts: Counters['near']
  /** The first copy of each key, by collection. Not a field of Collection, because most collections have no copies. */
  readonly #collections = new Map<Copied, Map<string, Copy>>()
  /** Until when no copies are granted. */
  readonly #pauses = new WeakMap<Copied, number>()
  /** By how many reads, in total, copies have fallen short of PAYING_READS. */
  readonly #losses = new WeakMap<Copied, number>()
  #lastId = 0

  constructor (clock: Clock, counts: Counters['near']) {
    this.#clock = clock
    this.#counts = counts
  }

  /** The first copy of each key; undefined if the collection has no copies. */
  of (collection: Copied): ReadonlyMap<string, Copy> | undefined {
    return this.#collections.size === 0 ? undefined : this.#collections.get(collection)
  }

  /**
   * Grants the caller a copy of the value in `reply`, if it keeps copies, and renews its lease. Sets `reply.near`, and
   * `reply.number` only if the copy is new.
   */
  grant (collection: Copied, key: string, caller: Keeper, reply: Reply<Bytes>): void {
    if (!caller.keepsCopies || reply.text === undefined) return
    const known = this.#copyOf(collection, key, caller)
    if (known !== undefined) {
      if (known.until !== undefined) return
      caller.leasedAt = this.#clock.now
      reply.near = known.id
      return
    }
    if (this.#pauses.get(collection)! > this.#clock.now) return
    const own = caller.copies ??= new Map()
    if (own.size >= MAX_COPIES) {
      const [oldest] = own.values()
      this.#revoke(oldest!) // makes room for a later grant
      return
    }
    const id = this.#lastId = this.#lastId % MAX_ID + 1
    let copies = this.#collections.get(collection)
    if (copies === undefined) this.#collections.set(collection, copies = new Map())
    const lease = collection.bounds.near
    const copy: Copy = { id, caller, collection, key, lease, until: undefined, next: copies.get(key) }
    copies.set(key, copy)
    own.set(id, copy)
    this.#counts.copies++
    caller.leasedAt = this.#clock.now
    reply.near = id
    reply.number = lease
  }

  /** Grants no copies for `duration` milliseconds, so that reads cannot delay a write that waits for evictions. */
  pause (collection: Copied, duration: number): void {
    this.#pauses.set(collection, Math.max(this.#pauses.get(collection) ?? 0, this.#clock.now + duration))
  }

  /** Renews the lease of a caller, which has read copies `hits` times since its last renewal. */
  renew (caller: Keeper, hits: number): void {
    caller.leasedAt = this.#clock.now
    this.#counts.hits += Math.max(0, Math.floor(hits))
  }

  /** Revokes the copies of a key. Returns the milliseconds until none can be read. */
  recall (collection: Copied, key: string): number {
    let wait = 0
    for (let copy = this.of(collection)?.get(key), next; copy !== undefined; copy = next) {
      next = copy.next
      this.#revoke(copy)
      const left = copy.caller.hasLeft ? 0 : copy.until! - this.#clock.now
      if (left <= 0) this.#remove(copy)
      else wait = Math.max(wait, left)
    }
    return wait
  }

  /** The caller has dropped a copy, revoked or not, after `hits` reads. */
  acknowledge (caller: Keeper, id: number, hits: number): void {
    const copy = caller.copies?.get(id)
    if (copy === undefined) return
    this.#weigh(copy.collection, hits)
    this.release(copy)
  }

  /** Removes a copy that can no longer be read. */
  release (copy: Copy): void {
    const { collection, key } = copy
    this.#remove(copy)
    if (this.of(collection)?.has(key) !== true) this.onfree?.(collection.name, key)
  }

  /** Removes the copies of a key, which can no longer be read. Does not call `onfree`. */
  forget (collection: Copied, key: string): void {
    for (let copy; (copy = this.of(collection)?.get(key)) !== undefined;) this.#remove(copy)
  }

  #revoke (copy: Copy): void {
    if (copy.until !== undefined) return
    // The clock counts whole milliseconds: the lease may have been granted up to one millisecond later.
    copy.until = copy.caller.leasedAt + copy.lease + 1
    this.#counts.revocations++
    copy.caller.revoke(copy.id)
  }

  #weigh (collection: Copied, hits: number): void {
    const loss = Math.max(0, (this.#losses.get(collection) ?? 0) + PAYING_READS - hits)
    const isTooMuch = loss > MAX_LOSS
    if (isTooMuch) this.pause(collection, LOSS_PAUSE_MS)
    this.#losses.set(collection, isTooMuch ? 0 : loss)
  }

  #copyOf (collection: Copied, key: string, caller: Keeper): Copy | undefined {
    let copy = this.of(collection)?.get(key)
    while (copy !== undefined && copy.caller !== caller) copy = copy.next
    return copy
  }

  #remove (copy: Copy): void {
    const { collection, key, caller } = copy
    const copies = this.#collections.get(collection)!
    const first = copies.get(key)!
    if (first !== copy) {
      let before = first
      while (before.next !== copy) before = before.next!
      before.next = copy.next
    } else if (copy.next !== undefined) copies.set(key, copy.next)
    else copies.delete(key)
    if (copies.size === 0) this.#collections.delete(collection)
    caller.copies!.delete(copy.id)
    this.#counts.copies--
  }
}
