// The calls of one request. They are validated and passed to the store in order; replies are sent as NDJSON lines.
import { Readable } from 'node:stream'
import { MAX_LOCKS, Request, type Abortable, type AbortScope, type Op, type Reply } from '../src/core/engine.js'
import { StoreError } from '../src/core/errors.js'
import { checkCollection, checkCursor, checkKey, checkName, checkNewToken, checkToken } from '../src/core/validation.js'
import { text } from '../src/core/value.js'
import { boundsOf } from '../src/api/options.js'
import type { Store } from '../src/api/store.js'
import { CLOSING } from './prefer.js'
import type { Identity } from './tokens.js'
import {
  HEARTBEAT_MS, LEASE_MS, OPERATIONS, readCall, writeReply, type SentCall, type SentReply
} from '../src/engines/http/protocol.js'

/** Length of a line in UTF-16 code units, not counting its last reply. */
const LINE_LENGTH = 65_536
const MAX_PAGE = 1000
/**
 * A batch that holds more than MAX_OWN of replies gets no more values while the other ones of this process hold more
 * than MAX_OTHERS, in UTF-16 code units: clients that do not read must not use up the memory of the server.
 */
const MAX_OWN = 2 ** 20
const MAX_OTHERS = 256 * 2 ** 20
/** Reads that become `peek` for tokens with read access, so that they do not count as uses. */
const LOOKS: readonly Op[] = ['get', 'entry', 'head']

export interface Rights {
  identity: Identity
  /** Milliseconds. */
  maxLease: number
  /** The display name of the lock owner; `owner` is the one given in the call. */
  ownerOf (owner: string | undefined): string
}

/** Length of the replies of all batches that have not been written. */
let unwritten = 0

/** The waits of one client, cancelled when it disconnects. */
class Waits implements AbortScope {
  aborted = false
  readonly #waits = new Set<Abortable>()

  add (wait: Abortable): void {
    this.#waits.add(wait)
  }

  delete (wait: Abortable): void {
    this.#waits.delete(wait)
  }

  abort (): void {
    this.aborted = true
    for (const wait of this.#waits) wait.abort()
  }
}

export class Batch {
  /** Resolves when every call has a reply or waits for a lock. */
  readonly accepted: Promise<unknown>
  readonly #store: Store
  readonly #rights: Rights
  readonly #waits = new Waits()
  #isStopping = false
  /** Replies not yet written. */
  #replies: Array<[index: number, reply: SentReply]> = []
  /** Length of their texts. */
  #length = 0
  #isEnded = false
  /** Calls without a reply. */
  #left = 0
  /** Granted locks whose reply has not been written, by the index of the call. */
  readonly #grants = new Map<number, Request>()
  #stream: Readable | undefined
  #heartbeat: NodeJS.Timeout | undefined
  /** Whether the stream has room for more. */
  #isWanted = false
  #finish!: () => void

  constructor (store: Store, calls: SentCall[], rights: Rights) {
    this.#store = store
    this.#rights = rights
    const finished = new Promise<void>(resolve => { this.#finish = resolve })
    const collections = new Set<string>()
    this.#left = calls.length
    for (const [i, call] of calls.entries()) {
      if (this.#start(i, call)) collections.add(call.collection)
    }
    // Calls on a collection are answered in order, so this reply comes after all calls that do not wait, unconfirmed
    // ones included.
    const barrier = Promise.all(
      Array.from(collections, collection => store.call(new Request('lock', collection, '')))
    ).catch(() => {})
    this.accepted = calls.some(({ unconfirmed }) => unconfirmed === true) ? barrier : Promise.race([finished, barrier])
  }

  /** All replies, or a stream if some are still to come. */
  answer (): string | Readable {
    if (this.#left === 0 && this.#length <= LINE_LENGTH) return this.#line()
    this.#stream = new Readable({ read: () => { this.#isWanted = true; this.#write() } })
    this.#push(this.#line())
    this.#heartbeat = setInterval(() => { if (this.#isWanted) this.#push('\n') }, HEARTBEAT_MS).unref()
    return this.#stream
  }

  /** Fails the calls that wait: the server is closing. */
  stop (): void {
    this.#isStopping = true
    this.#waits.abort()
  }

  /** Ends with the response. If that is incomplete, releases the locks whose grants the client has not received. */
  end (isWhole: boolean): void {
    clearInterval(this.#heartbeat)
    this.#waits.abort()
    if (!isWhole) for (const request of this.#grants.values()) this.#giveBack(request)
    this.#grants.clear()
    this.#isEnded = true
    this.#replies = []
    this.#count(-this.#length)
  }

  /** Passes a call to the store; false if it is invalid. */
  #start (i: number, call: SentCall): boolean {
    let request: Request
    try {
      request = this.#requestOf(call)
    } catch (error) {
      if (call.unconfirmed === true) this.#done()
      else this.#answer(i, failureOf(error as StoreError))
      return false
    }
    if (call.unconfirmed === true) {
      this.#store.post(request)
      this.#done()
      return true
    }
    request.wait = { timeout: call.timeout, signal: undefined, scope: this.#waits }
    const isEarly = (): boolean => this.#stream === undefined
    this.#store.call(request).then(
      reply => {
        if (request.op !== 'acquire') this.#answer(i, this.#fitted(call.op, reply))
        else if (isEarly()) this.#grant(i, request, reply)
        else {
          turns().then(
            () => { this.#grant(i, request, reply) }, () => {}
          )
        } // so that the disconnect of a client is seen before the lock is granted to it
      },
      (error: StoreError) => {
        const isStopped = this.#isStopping && error.code === 'STORE_ABORTED'
        this.#answer(i, isStopped ? { code: 'STORE_DISCONNECTED', detail: CLOSING } : failureOf(error))
      }
    )
    return true
  }

  #grant (i: number, request: Request, reply: Reply): void {
    request.token = reply.token
    const answer = this.#fitted('acquire', reply)
    if (this.#isEnded || answer.code !== undefined) this.#giveBack(request)
    else this.#grants.set(i, request)
    this.#answer(i, answer)
  }

  #fitted (op: Op, reply: Reply): SentReply {
    const isFull = this.#length > MAX_OWN && unwritten - this.#length > MAX_OTHERS
    return isFull && reply.text !== undefined ? { code: 'STORE_OVERLOADED' } : writeReply(op, reply)
  }

  #count (length: number): void {
    this.#length += length
    unwritten += length
  }

  #giveBack ({ collection, key, token }: Request): void {
    this.#store.post(Object.assign(new Request('release', collection, key), { token }))
  }

  #answer (i: number, reply: SentReply): void {
    this.#done()
    if (this.#isEnded) return
    this.#replies.push([i, reply])
    this.#count(reply.text?.length ?? 0)
    if (this.#isWanted && this.#replies.length === 1) setImmediate(() => { this.#write() })
  }

  #done (): void {
    this.#left--
    if (this.#left === 0) this.#finish()
  }

  #write (): void {
    while (this.#isWanted && this.#replies.length > 0) this.#push(this.#line())
    if (this.#isWanted && this.#left === 0 && this.#replies.length === 0) this.#push(null)
  }

  #push (chunk: string | null): void {
    this.#isWanted = this.#stream!.push(chunk)
  }

  /** A line with as many replies as fit. */
  #line (): string {
    let length = 0
    const count = this.#replies.findIndex(([, { text = '' }]) => (length += text.length) > LINE_LENGTH) + 1
    const replies = this.#replies.splice(0, count === 0 ? Infinity : count)
    this.#count(-length)
    if (this.#stream !== undefined) for (const [i] of replies) this.#grants.delete(i)
    return `${JSON.stringify(replies)}\n`
  }

  #requestOf (call: SentCall): Request {
    const { identity: { canWrite, collections }, maxLease, ownerOf } = this.#rights
    if (!canWrite && !OPERATIONS[call.op].isRead) {
      throw new StoreError('STORE_UNREACHABLE', 'ADMIN_READ_ONLY: the token has read access only')
    }
    if (collections?.has(call.collection) === false && call.op !== 'ping') {
      throw new StoreError('STORE_UNREACHABLE', 'ADMIN_OUT_OF_SCOPE: the token does not cover this collection')
    }
    const request = readCall(canWrite || !LOOKS.includes(call.op) ? call : { ...call, op: 'peek' })
    const { op, collection, key, token, cursor, owner, limit, ttl, number } = request
    checkCollection(collection)
    checkKey(key)
    if (token !== undefined) (op === 'acquire' ? checkNewToken : checkToken)(token)
    else if (op === 'release' || op === 'renew' || request.release) {
      throw new StoreError(
        'STORE_OPTION_INVALID', `${op} requires a token`
      )
    }
    if (cursor !== undefined) checkCursor(cursor)
    if (owner !== undefined) checkName(owner, 'STORE_OPTION_INVALID')
    if (limit !== undefined && ttl === undefined) throw new StoreError('STORE_OPTION_INVALID', 'limit requires a ttl')
    if (op === 'increment' && number === undefined) {
      throw new StoreError('STORE_OPTION_INVALID', 'increment requires a number')
    }
    if (op === 'subscribe' && (token === undefined || !(number! >= 0))) {
      throw new StoreError('STORE_OPTION_INVALID', 'subscribe requires a token and a number')
    }
    if (op === 'set' || op === 'publish') text.encode(request.text, this.#store.maxValueBytes)
    if (op === 'configure') checkBounds(request.text)
    if (op === 'scan' || op === 'dump') request.number = pageOf(number ?? 100, MAX_PAGE)
    if (op === 'collections') request.number = pageOf(number ?? 100, MAX_PAGE)
    if (op === 'locks') request.number = pageOf(number ?? MAX_LOCKS, MAX_LOCKS)
    if (op === 'acquire') {
      request.lease ??= Math.min(LEASE_MS, maxLease)
      request.owner = ownerOf(owner)
      request.detached = true // it must not end with this process, which does not see the client exit
    }
    if (request.lease !== undefined && request.lease > maxLease) {
      throw new StoreError(
        'STORE_OPTION_INVALID',
        `invalid lease: expected at most ${maxLease / 1000} seconds, got ${request.lease / 1000}`
      )
    }
    return request
  }
}

function pageOf (number: number, most: number): number {
  return Math.max(1, Math.min(Math.floor(number), most))
}

/** Validates options that Collection.configure has serialized. */
function checkBounds (bounds: string | undefined): void {
  let parsed: unknown
  try {
    parsed = JSON.parse(bounds ?? '')
  } catch {}
  if (typeof parsed !== 'object' || parsed === null) {
    throw new StoreError('STORE_OPTION_INVALID', 'invalid options of a collection: expected a JSON object')
  }
  const { idle, near, ...others } = parsed as { idle?: unknown, near?: unknown }
  const seconds = (ms: unknown): number => typeof ms === 'number' ? ms / 1000 : NaN
  boundsOf({
    ...others,
    ...idle === undefined ? {} : { expireKeys: seconds(idle) },
    ...near === undefined ? {} : { near: seconds(near) }
  })
}

function failureOf ({ code, detail }: StoreError): SentReply {
  return { code, ...detail === undefined ? {} : { detail } }
}

/** Resolves after the events that are pending in this process. */
async function turns (): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise(resolve => { setImmediate(resolve) })
}
