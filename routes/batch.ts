// The calls of one request. They are passed to the store in order, in slices of time: a batch of large values must not
// hold the event loop. Replies are sent as NDJSON lines.
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Request, type Abortable, type AbortScope, type Op, type Reply } from '../src/core/engine.js'
import { type StoreError } from '../src/core/errors.js'
import type { Store } from '../src/api/store.js'
import { HEARTBEAT_MS, writeReply, type SentCall, type SentReply } from '../src/engines/http/protocol.js'
import { requestOf, type Rights } from './call-request.js'
import { CLOSING } from './prefer.js'

/** Length of a line in UTF-16 code units, not counting its last reply. */
const LINE_LENGTH = 65_536
/**
 * A batch that holds more than MAX_OWN of replies gets no more values while the other ones of this process hold more
 * than MAX_OTHERS, in UTF-16 code units: clients that do not read must not use up the memory of the server.
 */
const MAX_OWN = 2 ** 20
const MAX_OTHERS = 256 * 2 ** 20
/** Length of the replies of all batches that have not been written. */
let unwritten = 0
/** How long calls are passed to the store before other events are handled. */
const SLICE_MS = 5

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
  #isPlanned = false
  #finish!: () => void

  constructor (store: Store, calls: SentCall[], rights: Rights) {
    this.#store = store
    this.#rights = rights
    this.#left = calls.length
    const finished = new Promise<void>(resolve => { this.#finish = resolve })
    this.accepted = Promise.race([finished, this.#startAll(calls)])
  }

  /** All replies, or a stream if some are still to come. */
  answer (): string | Readable {
    if (this.#isEnded) return ''
    if (this.#left === 0 && this.#length <= LINE_LENGTH) return this.#line()
    // Not within `read`: a client that reads fast would get all lines in one iteration of the event loop.
    this.#stream = new Readable({
      read: () => {
        this.#isWanted = true
        this.#plan()
      }
    })
    this.#push(this.#line())
    this.#heartbeat = setInterval(() => {
      if (this.#isWanted && !this.#isPlanned) this.#push('\n')
    }, HEARTBEAT_MS).unref()
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

  /** Resolves when all calls that do not wait have taken effect or failed. */
  async #startAll (calls: SentCall[]): Promise<void> {
    /** The unconfirmed calls of each collection. */
    const posted = new Map<string, number[]>()
    let start = performance.now()
    for (const [i, call] of calls.entries()) {
      if (performance.now() - start > SLICE_MS) {
        await nextTurn()
        start = performance.now()
      }
      if (!this.#start(i, call)) continue
      const { collection, unconfirmed } = call
      if (!posted.has(collection)) posted.set(collection, [])
      if (unconfirmed === true) posted.get(collection)!.push(i)
    }
    await Promise.all(Array.from(posted, ([collection, posts]) => this.#confirm(collection, posts)))
  }

  /**
   * Calls on a collection are answered in order, so the reply to this one comes after all calls that do not wait,
   * unconfirmed ones included. If it fails, they may be lost.
   */
  async #confirm (collection: string, posts: number[]): Promise<void> {
    try {
      await this.#store.call(new Request('lock', collection, ''))
      for (let i = 0; i < posts.length; i++) this.#done()
    } catch (error) {
      for (const i of posts) this.#answer(i, failureOf(error as StoreError))
    }
  }

  /** Passes a call to the store; false if it is invalid. */
  #start (i: number, call: SentCall): boolean {
    let request: Request
    try {
      request = requestOf(call, this.#rights, this.#store.maxValueBytes)
    } catch (error) {
      const failure = failureOf(error as StoreError)
      // That the token does not allow an unconfirmed call must be reported, errors of the call itself must not.
      if (call.unconfirmed === true && failure.code !== 'STORE_UNREACHABLE') this.#done()
      else this.#answer(i, failure)
      return false
    }
    if (call.unconfirmed === true) {
      this.#store.post(request)
      return true
    }
    request.wait = { timeout: call.timeout, signal: undefined, scope: this.#waits }
    const isEarly = (): boolean => this.#stream === undefined
    this.#store.call(request).then(
      reply => {
        if (request.op !== 'acquire') this.#answer(i, this.#fitted(call.op, reply))
        else if (isEarly()) this.#grant(i, request, reply)
        // so that the disconnect of a client is seen before the lock is granted to it
        else turns().then(() => { this.#grant(i, request, reply) }, () => {})
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
    if (this.#isWanted) this.#plan()
  }

  #done (): void {
    this.#left--
    if (this.#left === 0) this.#finish()
  }

  /** Writes in the next iteration of the event loop. */
  #plan (): void {
    if (this.#isPlanned) return
    this.#isPlanned = true
    setImmediate(() => { this.#write() })
  }

  #write (): void {
    this.#isPlanned = false
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
}

function failureOf ({ code, detail }: StoreError): SentReply {
  return { code, ...detail === undefined ? {} : { detail } }
}

/** Resolves after the events that are pending in this process. */
async function turns (): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await nextTurn()
}
