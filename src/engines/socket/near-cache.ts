// The copies of values that this process keeps and reads by itself: the client's side of memory/copies.ts, which says
// why such reads are linearizable. What this side has to do for that:
//
// - The lease on all copies is counted from the moment at which it was asked for. Each read that the store answers with
//   a copy, new or known, renews it. While copies are read, it is also renewed after a quarter of its time.
// - A revoked copy is dropped before anything else is read from the connection.
// - The calls of this process keep their order. Copies are read only if all changes that this process has sent have
//   reached the store, and a copy only if all reads of its key have. A request that was answered has reached the store,
//   and so have all sent before it; its answer follows the revocations that they caused. The copy of a key is given up
//   before a change of the key is sent. A new copy may be older than calls that were sent after its read: it is not
//   read until they have reached the store.
//   A change that has reached the store may still wait there for a lock. Reads of other keys do not wait for it, as
//   they would not if they were sent. A clear may still revoke copies, so none are read until it is answered.
//   Reads of different keys that are under way at a time have no order, except those of a series: it reads no copies
//   after the first read that was sent.
// - A copy is given up when a read of its key is answered without one, as the store may know of none then.
// - A copy ends with its key: its time is counted from the moment at which it was asked for.
import { Reply, Request, type Op } from '../../core/engine.js'
import { append, moveToEnd, remove } from '../../core/linked-list.js'
import { MAX_COPIES } from '../memory/copies.js'

const DEFAULT_BYTES = 32 * 2 ** 20
/** Approximate memory overhead of a copy. */
const COPY_BYTES = 300
/** Reads are answered for so many milliseconds before they let the event loop turn. */
const MAX_BUSY_MS = 1
/** The calls that are answered with copies. */
const GRANTING: readonly Op[] = ['get', 'entry']
const READING: readonly Op[] = [...GRANTING, 'head', 'peek']
/** The calls that change nothing. */
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
  /** Milliseconds. */
  readonly lease: number
  /** When its key expires; Infinity if it does not. */
  readonly end: number
  /** Read it only if the request with this number has reached the store. */
  after: number
  /** How often it was read. */
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

/** What it needs of the connection. */
export interface Link {
  call (request: Request): Promise<Reply>
  /** The copy with this id is gone. It was read so many times. */
  acknowledge (id: number, hits: number): void
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
  #sent = 0
  /** By the ids of the calls. */
  readonly #pending: Sent[] = []
  /** The number of the last request that has reached the store. */
  #reached = 0
  /** That of the last change that was sent. */
  #lastChange = 0
  /** Clears that are not answered yet. */
  #clears = 0
  /** When the current lease was asked for. */
  #leasedAt = -Infinity
  #isRenewing = false
  /** Since the last request for a lease. */
  #hits = 0
  #readAt = 0
  #turnedAt = 0

  constructor (link: Link, now: () => number) {
    this.#link = link
    this.#now = now
  }

  /** Whether reads have to let the event loop turn: a loop that awaits thousands of them keeps the rest waiting. */
  get isBusy (): boolean {
    return this.#readAt - this.#turnedAt > MAX_BUSY_MS
  }

  /** The event loop has turned. */
  turned (): void {
    this.#turnedAt = this.#now()
  }

  /** The reply to a request, if there is a copy that may be read. */
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

  /** A request is going to be sent. `id`: that of the call, or 0. Only needed if `isUsed`. */
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

  /** A call is answered. Only needed if `isUsed`, or with a copy. */
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
      else if (!this.#copies.has(reply.near)) this.#link.acknowledge(reply.near, 0) // the store has to grant a new one
    } else if (GRANTING.includes(op)) {
      this.#giveUpOf(collection, key)
    }
  }

  #keep ({ collection, key }: Request, { near, number: lease, text, version, expiresIn }: Reply, sentAt: number): void {
    this.isUsed = true
    const bytes = COPY_BYTES + Buffer.byteLength(text!) + Buffer.byteLength(key)
    const end = expiresIn === undefined ? Infinity : sentAt + expiresIn
    // After a long wait, the end would be much too early.
    if (bytes > this.maxBytes || (end !== Infinity && this.#now() - sentAt > lease!)) {
      this.#link.acknowledge(near!, 0)
      return
    }
    this.#giveUpOf(collection, key) // it may be past its end
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

  /** The store revokes a copy. */
  revoke (id: number): void {
    const copy = this.#copies.get(id)
    if (copy === undefined) this.#link.acknowledge(id, 0)
    else this.#giveUp(copy)
  }

  /** The connection is lost: there are neither copies nor a lease any more. */
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
    ping.number = this.#hits
    this.#hits = 0
    // If it fails, there is no lease, and reads ask the store.
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

  /** Drops a copy, and tells the store. */
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
