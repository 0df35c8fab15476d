// The client side of near caches: copies of values that this process reads without calling the store. The server side,
// memory/copies.ts, explains why such reads are linearizable. For that, the client follows these rules:
//
// - All copies share one lease, counted from the moment it was requested. Each reply that comes with a copy, new or
//   known, renews it. While copies are read, a ping also renews it once a quarter of it has passed.
// - A revoked copy is dropped before the next frame of the connection is processed.
// - The calls of this process keep their order. Copies are read only once every change that this process has sent has
//   reached the store, and the copy of a key only once every read of that key has. A reply shows that its request and
//   all requests sent before it have reached the store, and it arrives after the revocations that they caused. The copy
//   of a key is dropped before a change of that key is sent. A new copy may be older than calls that were sent after
//   the read that returned it, so it is not read until they have reached the store.
//   A change that has reached the store may still wait there for a lock. Reads of other keys do not wait for it; they
//   would not if they were sent to the store either. A clear may still revoke copies, so none are read until it is
//   answered.
//   Concurrent reads of different keys have no order, except those of one series: after its first read that was sent to
//   the store, a series reads no copies.
// - If a read of a key is answered without a copy, the copy of that key is dropped: the store may not know of it.
// - A copy expires with its key, whose remaining time is counted from the moment the read was sent.
import { Reply, Request, type Op } from '../../core/engine.js'
import { append, moveToEnd, remove } from '../../core/linked-list.js'
import { MAX_COPIES } from '../memory/copies.js'

const DEFAULT_BYTES = 32 * 2 ** 20
/** Approximate memory overhead of a copy. */
const COPY_BYTES = 300
/** A read of a copy yields to the event loop if the last one that did so is more milliseconds ago. */
const MAX_BUSY_MS = 1
/** Calls whose replies may come with a copy. */
const GRANTING: readonly Op[] = ['get', 'entry']
const READING: readonly Op[] = [...GRANTING, 'head', 'peek']
/** Calls that change nothing. */
const HARMLESS = new Set<Op>([
  ...READING, 'scan', 'dump', 'size', 'collections', 'locks', 'lock', 'stats', 'ping', 'watch', 'subscribe'
])

interface Copy {
  readonly id: number
  readonly collection: string
  readonly key: string
  readonly text: string
  readonly version: number | undefined
  readonly bytes: number
  /** In milliseconds. */
  readonly lease: number
  /** When its key expires; Infinity if it does not. */
  readonly end: number
  /** It must not be read until the request with this number has reached the store. */
  after: number
  /** Number of reads. */
  hits: number
  // Neighbors in the list by last use.
  prev: Copy | undefined
  next: Copy | undefined
}

/** A request that the store has not answered yet. */
interface Sent {
  /** Requests are numbered in the order in which they are sent. */
  readonly number: number
  readonly at: number
}

const NOT_NUMBERED: Sent = { number: 0, at: -Infinity }

/** The parts of the connection that a NearCache uses. */
export interface Link {
  call (request: Request): Promise<Reply>
  /** Tells the store that the copy with this id was dropped after `hits` reads. */
  acknowledge (id: number, hits: number): void
}

export class NearCache {
  /** Above this size, the least recently used copies are dropped. */
  maxBytes = DEFAULT_BYTES
  bytes = 0
  /**
   * Whether there has been a copy. Requests sent before the first one are not numbered: they have reached the store by
   * the time the first lease is granted.
   */
  isUsed = false
  readonly #link: Link
  readonly #now: () => number
  readonly #collections = new Map<string, Map<string, Copy>>()
  readonly #copies = new Map<number, Copy>()
  /** The least recently used copy, the first of a linked list. */
  #first: Copy | undefined
  #sent = 0
  /** By call id. */
  readonly #pending: Sent[] = []
  /** The number of the last request that has reached the store. */
  #reached = 0
  /** The number of the last change that was sent. */
  #lastChange = 0
  /** Clears that are not answered yet. */
  #clears = 0
  /** When the current lease was requested. */
  #leasedAt = -Infinity
  #isRenewing = false
  /** Reads of copies since the last ping that renewed the lease. */
  #hits = 0
  #readAt = 0
  #turnedAt = 0

  constructor (link: Link, now: () => number) {
    this.#link = link
    this.#now = now
  }

  /** Whether reads have to yield to the event loop: otherwise a loop that awaits thousands of them would block it. */
  get isBusy (): boolean {
    return this.#readAt - this.#turnedAt > MAX_BUSY_MS
  }

  /** Called when a read has yielded to the event loop. */
  turned (): void {
    this.#turnedAt = this.#now()
  }

  /** The reply to a request, if a copy may be read. */
  read (request: Request): Reply | undefined {
    const copy = this.#collections.get(request.collection)?.get(request.key)
    if (copy === undefined || this.#clears > 0) return undefined
    if (copy.after > this.#reached || this.#lastChange > this.#reached) return undefined
    const { op, token, wait, series } = request
    if (!READING.includes(op) || token !== undefined || series?.isSent === true) return undefined
    if (wait?.signal?.aborted === true || wait?.scope?.aborted === true) return undefined
    const now = this.#readAt = this.#now()
    if (now >= copy.end) {
      this.#giveUp(copy)
      return undefined
    }
    const age = now - this.#leasedAt
    if (age > copy.lease / 4) this.#renew()
    if (age >= copy.lease) return undefined
    this.#hits++
    copy.hits++
    this.#first = moveToEnd(this.#first!, copy)
    const reply = new Reply()
    reply.text = copy.text
    reply.version = copy.version
    if (copy.end !== Infinity) reply.expiresIn = copy.end - now
    return reply
  }

  /** Called before a request is sent, if `isUsed`. `id` is that of the call, or 0. */
  sent ({ op, collection, key, series }: Request, id: number): void {
    this.#pending[id] = { number: ++this.#sent, at: this.#now() }
    if (series !== undefined) series.isSent = true
    if (!HARMLESS.has(op)) this.#lastChange = this.#sent
    if (op === 'clear') this.#clears++
    const copy = this.#collections.get(collection)?.get(key)
    if (copy === undefined) return
    if (READING.includes(op)) copy.after = this.#sent
    else this.#giveUp(copy)
  }

  /** Called for each reply, if `isUsed` or if it comes with a copy. */
  answered (id: number, request: Request | undefined, reply: Reply): void {
    const { number, at } = this.#pending[id] ?? NOT_NUMBERED
    this.#reached = Math.max(this.#reached, number)
    if (request === undefined) return
    const { op, collection, key } = request
    if (op === 'clear' && number > 0) this.#clears--
    if (op === 'ping' && request.number !== undefined) {
      this.#isRenewing = false
      if (reply.code === undefined) this.#leasedAt = Math.max(this.#leasedAt, at)
    } else if (reply.near !== undefined) {
      this.#leasedAt = Math.max(this.#leasedAt, at)
      if (reply.number !== undefined) this.#keep(request, reply, at)
      else if (!this.#copies.has(reply.near)) this.#link.acknowledge(reply.near, 0) // the store then grants a new one
    } else if (GRANTING.includes(op)) {
      this.#giveUpOf(collection, key)
    }
  }

  #keep ({ collection, key }: Request, { near, number: lease, text, version, expiresIn }: Reply, sentAt: number): void {
    this.isUsed = true
    const bytes = COPY_BYTES + Buffer.byteLength(text!) + Buffer.byteLength(key)
    const end = expiresIn === undefined ? Infinity : sentAt + expiresIn
    // `end` is counted from the request: after a long wait for the reply, it would be much too early.
    if (bytes > this.maxBytes || (end !== Infinity && this.#now() - sentAt > lease!)) {
      this.#link.acknowledge(near!, 0)
      return
    }
    this.#giveUpOf(collection, key) // the previous copy may have expired
    this.#add({
      id: near!,
      collection,
      key,
      text: text!,
      version,
      bytes,
      lease: lease!,
      end,
      after: this.#sent,
      hits: 0,
      prev: undefined,
      next: undefined
    })
    while (this.bytes > this.maxBytes || this.#copies.size > MAX_COPIES) this.#giveUp(this.#first!)
  }

  /** The store has revoked a copy. */
  revoke (id: number): void {
    const copy = this.#copies.get(id)
    if (copy === undefined) this.#link.acknowledge(id, 0)
    else this.#giveUp(copy)
  }

  /** The number of reads of copies that the store has not been told. */
  takeHits (): number {
    const hits = this.#hits
    this.#hits = 0
    return hits
  }

  /** The connection is lost: drops all copies and the lease. */
  clear (): void {
    this.#collections.clear()
    this.#copies.clear()
    this.#pending.length = 0
    this.#first = undefined
    this.bytes = this.#sent = this.#reached = this.#lastChange = this.#clears = this.#hits = 0
    this.#isRenewing = false
    this.#leasedAt = -Infinity
  }

  #renew (): void {
    if (this.#isRenewing) return
    this.#isRenewing = true
    const ping = new Request('ping', '', '')
    ping.number = this.takeHits()
    // If it fails, the lease expires, and reads go to the store.
    this.#link.call(ping).catch(() => { this.#isRenewing = false })
  }

  #add (copy: Copy): void {
    let keys = this.#collections.get(copy.collection)
    if (keys === undefined) this.#collections.set(copy.collection, keys = new Map())
    keys.set(copy.key, copy)
    this.#copies.set(copy.id, copy)
    this.#first = append(this.#first, copy)
    this.bytes += copy.bytes
  }

  #giveUpOf (collection: string, key: string): void {
    const copy = this.#collections.get(collection)?.get(key)
    if (copy !== undefined) this.#giveUp(copy)
  }

  /** Drops a copy and notifies the store. */
  #giveUp (copy: Copy): void {
    const keys = this.#collections.get(copy.collection)!
    keys.delete(copy.key)
    if (keys.size === 0) this.#collections.delete(copy.collection)
    this.#copies.delete(copy.id)
    this.#first = remove(this.#first!, copy)
    this.bytes -= copy.bytes
    this.#link.acknowledge(copy.id, copy.hits)
  }
}
