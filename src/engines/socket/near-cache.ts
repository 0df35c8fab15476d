// The copies of values that this process keeps and reads by itself: the client's side of memory/copies.ts, which says
// why such reads are linearizable. What this side has to do for that:
//
// - The lease on all copies is counted from the moment at which it was asked for. While copies are read, it is renewed
//   after half of its time.
// - A revoked copy is dropped before anything else is read from the connection.
// - The calls of this process keep their order. A request that was answered has reached the store, and so have all sent
//   before it. Copies are read only if all changes that this process has sent have reached the store, and a copy only
//   if all reads of its key have: then a revocation that they may have caused has arrived.
//   A change that has reached the store may still wait there for a lock. Reads of other keys do not wait for it, as
//   they would not if they were sent. Its own key has no copy then: those of locked keys have been revoked.
// - The copy of a key is given up before a change of the key is sent, and when a read of the key is answered without a
//   new one, as the store may know of none then.
// - A copy ends with its key: its time is counted from the moment at which it was asked for.
import { Reply, Request, type Op } from '../../core/engine.js'
import { append, moveToEnd, remove } from '../../core/linked-list.js'

const DEFAULT_BYTES = 32 * 2 ** 20
/** Approximate memory overhead of a copy. */
const COPY_BYTES = 300
/** The calls that are answered with copies. */
const GRANTING: readonly Op[] = ['get', 'entry']
const READING: readonly Op[] = [...GRANTING, 'head', 'peek']
const HARMLESS = new Set<Op>([
  ...READING, 'scan', 'dump', 'size', 'collections', 'locks', 'lock', 'stats', 'ping', 'watch', 'subscribe'
])

interface Copy {
  readonly id: number
  readonly collection: string
  readonly key: string
  readonly text: string
  readonly version: number | undefined
  /** Milliseconds. */
  readonly lease: number
  /** When its key expires; Infinity if it does not. */
  readonly end: number
  /** Read it only if the request with this number has reached the store. */
  after: number
  // Neighbors in the list by last use.
  prev: Copy | undefined
  next: Copy | undefined
}

/** What it needs of the connection. */
export interface Link {
  call (request: Request): Promise<Reply>
  /** The copy with this id is gone. */
  acknowledge (id: number): void
}

export class NearCache {
  /** Above this size, the least recently used copies are dropped. */
  maxBytes = DEFAULT_BYTES
  bytes = 0
  /**
   * Whether there has been a copy. Requests sent before that are not numbered: they have reached the store by the time
   * of the first lease.
   */
  isUsed = false
  readonly #link: Link
  readonly #now: () => number
  readonly #collections = new Map<string, Map<string, Copy>>()
  readonly #copies = new Map<number, Copy>()
  /** The least recently used: the first of a linked list. */
  #first: Copy | undefined
  // Requests are numbered in the order in which they are sent.
  #sent = 0
  /** The numbers of the pending calls, and when they were sent, by their ids. */
  readonly #numbers: number[] = []
  readonly #times: number[] = []
  /** The last of them that has reached the store. */
  #reached = 0
  #lastChange = 0
  /** The request for a lease that is not answered yet, and when it was sent. */
  #renewal = 0
  #askedAt = 0
  /** When the current lease was asked for. */
  #leasedAt = -Infinity
  #hits = 0

  /** Whether the answer to a request for a lease is awaited. */
  get isRenewing (): boolean {
    return this.#renewal !== 0
  }

  constructor (link: Link, now: () => number) {
    this.#link = link
    this.#now = now
  }

  /** The reply to a request, if there is a copy that may be read. */
  read (request: Request): Reply | undefined {
    const copy = this.#collections.get(request.collection)?.get(request.key)
    if (copy === undefined || copy.after > this.#reached || this.#lastChange > this.#reached) return undefined
    const { op, token, wait } = request
    if (!READING.includes(op) || token !== undefined) return undefined
    if (wait?.signal?.aborted === true || wait?.scope?.aborted === true) return undefined
    const now = this.#now()
    if (now >= copy.end) {
      this.#giveUp(copy)
      return undefined
    }
    const age = now - this.#leasedAt
    if (age > copy.lease / 2) this.#renew()
    if (age >= copy.lease) return undefined
    this.#hits++
    this.#first = moveToEnd(this.#first!, copy)
    const reply = new Reply()
    reply.text = copy.text
    reply.version = copy.version
    if (copy.end !== Infinity) reply.expiresIn = copy.end - now
    return reply
  }

  /** A request is going to be sent. `id`: that of the call, or 0. Only needed if `isUsed`. */
  sent ({ op, collection, key, number }: Request, id: number): void {
    this.#numbers[id] = ++this.#sent
    const now = this.#times[id] = this.#now()
    if (op === 'ping' && number !== undefined) {
      this.#renewal = this.#sent
      this.#askedAt = now
    }
    const copy = this.#collections.get(collection)?.get(key)
    if (copy !== undefined) copy.after = this.#sent
    if (HARMLESS.has(op)) return
    this.#lastChange = this.#sent
    if (copy !== undefined) this.#giveUp(copy)
  }

  /** A call is answered. Only needed if `isUsed`, or with a copy. */
  answered (id: number, request: Request | undefined, reply: Reply): void {
    const number = this.#numbers[id]
    if (number !== undefined && number > this.#reached) this.#reached = number
    if (number === this.#renewal) {
      this.#renewal = 0
      if (reply.code === undefined) this.#leasedAt = this.#askedAt
    }
    if (request === undefined) return
    if (reply.near !== undefined) this.#keep(request, reply, this.#times[id] ?? -Infinity)
    else if (GRANTING.includes(request.op)) {
      const copy = this.#collections.get(request.collection)?.get(request.key)
      if (copy !== undefined) this.#giveUp(copy)
    }
  }

  #keep ({ collection, key }: Request, { near, number: lease, text, version, expiresIn }: Reply, sentAt: number): void {
    this.isUsed = true
    const known = this.#collections.get(collection)?.get(key)
    if (known !== undefined) this.#drop(known) // the store has replaced it
    const end = expiresIn === undefined ? Infinity : sentAt + expiresIn
    const copy: Copy = {
      id: near!,
      collection,
      key,
      text: text!,
      version,
      lease: lease!,
      end,
      after: this.#sent,
      prev: undefined,
      next: undefined
    }
    this.#add(copy)
    // After a long wait, the end would be much too early.
    if (end !== Infinity && this.#now() - sentAt > lease!) this.#giveUp(copy)
    while (this.bytes > this.maxBytes) this.#giveUp(this.#first!)
    if (this.#now() - this.#leasedAt > lease! / 2) this.#renew()
  }

  /** The store revokes a copy. */
  revoke (id: number): void {
    const copy = this.#copies.get(id)
    if (copy !== undefined) this.#drop(copy)
    this.#link.acknowledge(id)
  }

  /** The connection is lost: there are neither copies nor a lease any more. */
  clear (): void {
    this.#collections.clear()
    this.#copies.clear()
    this.#first = undefined
    this.bytes = this.#sent = this.#reached = this.#lastChange = this.#renewal = this.#hits = 0
    this.#leasedAt = -Infinity
  }

  #renew (): void {
    if (this.#renewal !== 0) return
    const ping = new Request('ping', '', '')
    ping.number = this.#hits
    this.#hits = 0
    this.#link.call(ping).catch(() => {}) // then there is no lease, and reads ask the store
  }

  #add (copy: Copy): void {
    let keys = this.#collections.get(copy.collection)
    if (keys === undefined) this.#collections.set(copy.collection, keys = new Map())
    keys.set(copy.key, copy)
    this.#copies.set(copy.id, copy)
    this.#first = append(this.#first, copy)
    this.bytes += sizeOf(copy)
  }

  #drop (copy: Copy): void {
    const keys = this.#collections.get(copy.collection)!
    keys.delete(copy.key)
    if (keys.size === 0) this.#collections.delete(copy.collection)
    this.#copies.delete(copy.id)
    this.#first = remove(this.#first!, copy)
    this.bytes -= sizeOf(copy)
  }

  /** Drops a copy that the store has not revoked. */
  #giveUp (copy: Copy): void {
    this.#drop(copy)
    this.#link.acknowledge(copy.id)
  }
}

function sizeOf ({ text, key }: Copy): number {
  return COPY_BYTES + text.length + key.length
}
