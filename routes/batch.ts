// The calls of one request: checked, given to the store in their order, and their replies as lines.
import { Readable } from 'node:stream'
import { MAX_LOCKS, Request, isPoll, type Abortable, type AbortScope, type Op, type Reply } from '../src/core/engine.js'
import { StoreError } from '../src/core/errors.js'
import { checkCollection, checkCursor, checkKey, checkName, checkNewToken, checkToken } from '../src/core/validation.js'
import { text } from '../src/core/value.js'
import { boundsOf } from '../src/api/options.js'
import type { Store } from '../src/api/store.js'
import type { Identity } from './tokens.js'
import { HEARTBEAT_MS, LEASE_MS, OPERATIONS, readCall, writeReply, type SentCall, type SentReply } from '../src/engines/http/protocol.js'

/** Length of a line, in UTF-16 code units, beside that of its last reply. */
const LINE_LENGTH = 65_536
const MAX_PAGE = 1000
/** Reads that are no use of the key where the token may only read. */
const LOOKS: readonly Op[] = ['get', 'entry', 'head']

export interface Rights {
  identity: Identity
  /** Milliseconds. */
  maxLease: number
  /** Whose a lock is, for people; `owner`: what the call says. */
  ownerOf (owner: string | undefined): string
}

/** Ends the waits of a client that has hung up. */
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
  /** Resolves when all calls are answered or known to wait. */
  readonly accepted: Promise<unknown>
  readonly #store: Store
  readonly #rights: Rights
  readonly #waits = new Waits()
  /** Calls that wait for changes or messages. */
  readonly #polls = new Waits()
  #isStopping = false
  /** Replies that are not written yet. */
  #replies: Array<[index: number, reply: SentReply]> = []
  /** Length of their texts. */
  #length = 0
  /** Calls without a reply. */
  #left = 0
  /** Locks that the client has not been told of, by the index of the call. */
  readonly #grants = new Map<number, Request>()
  #stream: Readable | undefined
  #heartbeat: NodeJS.Timeout | undefined
  /** Whether the stream takes more. */
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
    // What is asked after the calls is answered after those of the same collection that do not wait, unconfirmed ones included.
    const barrier = Promise.all(Array.from(collections, collection => store.call(new Request('lock', collection, '')))).catch(() => {})
    this.accepted = calls.some(({ unconfirmed }) => unconfirmed === true) ? barrier : Promise.race([finished, barrier])
  }

  /** All replies, or a stream of them where some are still to come. */
  answer (): string | Readable {
    if (this.#left === 0 && this.#length <= LINE_LENGTH) return this.#line()
    this.#stream = new Readable({ read: () => { this.#isWanted = true; this.#write() } })
    this.#push(this.#line())
    this.#heartbeat = setInterval(() => { if (this.#isWanted) this.#push('\n') }, HEARTBEAT_MS).unref()
    return this.#stream
  }

  /** The server stops: what would wait for ever is answered. */
  stop (): void {
    this.#isStopping = true
    this.#polls.abort()
  }

  /** The answer has ended. Unless it was sent as a whole, the client has gone: what waits is given up, and so are locks it does not know of. */
  end (isWhole: boolean): void {
    clearInterval(this.#heartbeat)
    this.#waits.abort()
    this.#polls.abort()
    if (!isWhole) for (const request of this.#grants.values()) this.#giveBack(request)
    this.#grants.clear()
  }

  /** Whether the call was given to the store. */
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
    request.wait = { timeout: call.timeout, signal: undefined, scope: isPoll(request) ? this.#polls : this.#waits }
    const isEarly = (): boolean => this.#stream === undefined
    this.#store.call(request).then(
      reply => {
        if (request.op !== 'acquire') this.#answer(i, writeReply(call.op, reply))
        else if (isEarly()) this.#grant(i, request, reply)
        else turns().then(() => { this.#grant(i, request, reply) }, () => {}) // a client that has hung up by now is seen to have before it is answered
      },
      (error: StoreError) => {
        const isStopped = this.#isStopping && isPoll(request) && error.code === 'STORE_ABORTED'
        this.#answer(i, isStopped ? { code: 'STORE_DISCONNECTED', detail: 'the server stops' } : failureOf(error))
      }
    )
    return true
  }

  #grant (i: number, request: Request, reply: Reply): void {
    request.token = reply.token
    if (this.#waits.aborted) this.#giveBack(request)
    else this.#grants.set(i, request)
    this.#answer(i, writeReply('acquire', reply))
  }

  #giveBack ({ collection, key, token }: Request): void {
    this.#store.post(Object.assign(new Request('release', collection, key), { token }))
  }

  #answer (i: number, reply: SentReply): void {
    this.#replies.push([i, reply])
    this.#length += reply.text?.length ?? 0
    this.#done()
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

  /** Of as many replies as fit. */
  #line (): string {
    let length = 0
    const count = this.#replies.findIndex(([, { text = '' }]) => (length += text.length) > LINE_LENGTH) + 1
    const replies = this.#replies.splice(0, count === 0 ? Infinity : count)
    this.#length -= length
    if (this.#stream !== undefined) for (const [i] of replies) this.#grants.delete(i)
    return `${JSON.stringify(replies)}\n`
  }

  #requestOf (call: SentCall): Request {
    const { identity: { canWrite, collections }, maxLease, ownerOf } = this.#rights
    if (!canWrite && !OPERATIONS[call.op].isRead) throw new StoreError('STORE_UNREACHABLE', 'ADMIN_READ_ONLY: this token may read, but change nothing')
    if (collections?.has(call.collection) === false && call.op !== 'ping') {
      throw new StoreError('STORE_UNREACHABLE', 'ADMIN_OUT_OF_SCOPE: this token does not cover what was asked for')
    }
    const request = readCall(canWrite || !LOOKS.includes(call.op) ? call : { ...call, op: 'peek' })
    const { op, collection, key, token, cursor, owner, limit, ttl, number } = request
    checkCollection(collection)
    checkKey(key)
    if (token !== undefined) (op === 'acquire' ? checkNewToken : checkToken)(token)
    else if (op === 'release' || op === 'renew' || request.release) throw new StoreError('STORE_OPTION_INVALID', `${op} needs a token`)
    if (cursor !== undefined) checkCursor(cursor)
    if (owner !== undefined) checkName(owner, 'STORE_OPTION_INVALID')
    if (limit !== undefined && ttl === undefined) throw new StoreError('STORE_OPTION_INVALID', 'a limit needs a ttl')
    if (op === 'increment' && number === undefined) throw new StoreError('STORE_OPTION_INVALID', 'increment needs a number')
    if (op === 'subscribe' && (token === undefined || !(number! >= 0))) throw new StoreError('STORE_OPTION_INVALID', 'subscribe needs a token and a number')
    if (op === 'set' || op === 'publish') text.encode(request.text, this.#store.maxValueBytes)
    if (op === 'configure') checkBounds(request.text)
    if (op === 'scan') request.number = pageOf(number ?? 100, MAX_PAGE)
    if (op === 'collections') request.number = pageOf(number ?? 100, MAX_PAGE)
    if (op === 'locks') request.number = pageOf(number ?? MAX_LOCKS, MAX_LOCKS)
    if (op === 'acquire') {
      request.lease ??= Math.min(LEASE_MS, maxLease)
      request.owner = ownerOf(owner)
      request.detached = true // no connection of the client's is one of this process's
    }
    if (request.lease !== undefined && request.lease > maxLease) throw new StoreError('STORE_OPTION_INVALID', `lease can be ${maxLease / 1000} s at most`)
    return request
  }
}

function pageOf (number: number, most: number): number {
  return Math.max(1, Math.min(Math.floor(number), most))
}

/** As what Collection.configure makes of its options. */
function checkBounds (bounds: string | undefined): void {
  let parsed: unknown
  try {
    parsed = JSON.parse(bounds ?? '')
  } catch {}
  if (typeof parsed !== 'object' || parsed === null) throw new StoreError('STORE_OPTION_INVALID', 'the options of a collection are no JSON object')
  const { idle, ...others } = parsed as { idle?: unknown }
  boundsOf({ ...others, ...idle === undefined ? {} : { expireKeys: typeof idle === 'number' ? idle / 1000 : NaN } })
}

function failureOf ({ code, detail }: StoreError): SentReply {
  return { code, ...detail === undefined ? {} : { detail } }
}

/** Lets everything that has arrived at this process be dealt with. */
async function turns (): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise(resolve => { setImmediate(resolve) })
}
