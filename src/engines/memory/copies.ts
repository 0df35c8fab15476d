// The copies of values that clients keep in their near caches (socket/near-cache.ts), and how they are revoked before
// a key changes. Reads of copies are linearizable because of four rules:
//
// 1. A client reads copies only while its lease runs, which it asks for by each read of the collection and by pings. It
//    counts from the moment it asked, the store from the moment it granted, which is later. So a lease that is over for
//    the store is over for the client.
// 2. Before a key changes, its copies are revoked. The change waits behind a lock of REVOKER until each client has
//    acknowledged or its lease is over. No copy of a locked key is granted.
// 3. Replies and revocations are sent on one connection, in order. A client that gets a lease has seen all revocations
//    sent before, so no lease revives a revoked copy; and it has seen every copy before the revocation of that copy.
// 4. A client gives its own copy of a key up before it sends a change of that key, and reads a new one only when the
//    store has answered a request that it sent no earlier than the change.
//
// A key that expires needs no revocation: each copy ends with its key, see NearCache. What a server that has been
// replaced granted is not revoked: until such a lease ends, a client that has not noticed reads its copies.
import type { Reply } from '../../core/engine.js'
import type { Bytes } from '../../core/value.js'
import type { Bounds } from './bounds.js'
import type { Clock } from './clock.js'
import type { Counters } from './counters.js'

/** Copies that one client may have. */
export const MAX_COPIES = 2 ** 15
const MAX_ID = 2 ** 32 - 1
/** A copy pays if it is read this often before it is gone: to grant it and to revoke it takes as long as such reads. */
const PAYING_READS = 4
/** Reads that copies of a collection may fall short of it before none are granted for a while. */
const MAX_LOSS = 256
const LOSS_PAUSE_MS = 1000

/** A client that may keep copies. */
interface Keeper {
  readonly keepsCopies: boolean
  /** Disconnected: it reads no copies any more. */
  readonly hasLeft: boolean
  /** The copies that it has, by id. */
  copies: Map<number, Copy> | undefined
  /** The clock reading at the start of its lease. */
  leasedAt: number
  /** Tells it that it must not read the copy any more. It acknowledges that. */
  revoke (id: number): void
}

export interface Copy {
  /** Unique on the connection, so that an acknowledgement cannot mean a later copy of the key. */
  readonly id: number
  readonly caller: Keeper
  readonly collection: Copied
  readonly key: string
  /** Milliseconds of its lease. */
  readonly lease: number
  /** When nobody can read it any more: known since it was revoked. */
  until: number | undefined
  /** Another copy of the key. */
  next: Copy | undefined
}

/** A collection, as far as copies matter. */
export interface Copied {
  readonly name: string
  readonly bounds: Bounds
}

export class Copies {
  /** Called when the last copy of a key is acknowledged. */
  onfree: ((collection: string, key: string) => void) | undefined
  readonly #clock: Clock
  readonly #counts: Counters['near']
  /** The first copy of each key that has any, by collection. Not in the collections: most of them never have any. */
  readonly #collections = new Map<Copied, Map<string, Copy>>()
  /** Until when none are granted. */
  readonly #pauses = new WeakMap<Copied, number>()
  /** Reads that copies have fallen short of PAYING_READS. */
  readonly #losses = new WeakMap<Copied, number>()
  #lastId = 0

  constructor (clock: Clock, counts: Counters['near']) {
    this.#clock = clock
    this.#counts = counts
  }

  /** The first copy of each key that has any; undefined if there are none. */
  of (collection: Copied): ReadonlyMap<string, Copy> | undefined {
    return this.#collections.size === 0 ? undefined : this.#collections.get(collection)
  }

  /** Lets the caller keep the value in `reply`, if it can, and renews its lease. Without `number`, it has the copy. */
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
      this.#revoke(oldest!) // makes room for the next one
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

  /** Grants no copies for so many milliseconds: a write waits for room, and keys that are read must not hold it up. */
  pause (collection: Copied, duration: number): void {
    this.#pauses.set(collection, Math.max(this.#pauses.get(collection) ?? 0, this.#clock.now + duration))
  }

  /** The caller asks for a lease, and has read copies this many times since it last did. */
  renew (caller: Keeper, hits: number): void {
    caller.leasedAt = this.#clock.now
    this.#counts.hits += Math.max(0, Math.floor(hits))
  }

  /** Revokes the copies of a key. Returns the milliseconds until nobody can read one. */
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

  /** The caller has no copy with that id any more, revoked or not. It has read it `hits` times. */
  acknowledge (caller: Keeper, id: number, hits: number): void {
    const copy = caller.copies?.get(id)
    if (copy === undefined) return
    this.#weigh(copy.collection, hits)
    this.release(copy)
  }

  /** Nobody can read the copy any more. */
  release (copy: Copy): void {
    const { collection, key } = copy
    this.#remove(copy)
    if (this.of(collection)?.has(key) !== true) this.onfree?.(collection.name, key)
  }

  /** Nobody can read copies of this key any more. */
  forget (collection: Copied, key: string): void {
    for (let copy; (copy = this.of(collection)?.get(key)) !== undefined;) this.#remove(copy)
  }

  #revoke (copy: Copy): void {
    if (copy.until !== undefined) return
    // The clock is in whole milliseconds: the lease may have been granted up to one later.
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
