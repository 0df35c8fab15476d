// The engine of a store that is served over HTTP by an admin API. The pipeline batches calls into requests (exchanges),
// the lease keeper renews locks, and the transport checks that it is an admin API that answers.
import { randomUUID } from 'node:crypto'
import { PendingCalls } from '../../core/pending-calls.js'
import { Reply, Request, endsLock, isPoll, mayWait, type Engine } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import { shared } from '../../core/shared.js'
import { Timer } from '../../core/timer.js'
import { Exchange, type Call, type Listener } from './exchange.js'
import { LeaseKeeper } from './lease-keeper.js'
import { addressOf, targetOf, type Address, type HttpStoreOptions } from './options.js'
import { Pipeline, isAlone, isUnconfirmedWrite, type QueuedCall } from './pipeline.js'
import { MAX_CALLS, writeCall } from './protocol.js'
import { Transport } from './transport.js'

/** Larger than any store allows. Used until the limit of the store is known. */
const MAX_VALUE_BYTES = 32 * 2 ** 20
/** Maximum number of queued calls, and of UTF-16 code units of their values. */
const MAX_QUEUED = 2 ** 19
const MAX_QUEUED_LENGTH = 256 * 2 ** 20
/** Maximum number of requests kept open by waiting calls; each has a connection. */
const MAX_EXCHANGES = 1000
const TIMEOUT_MARGIN_MS = 1000

class SentCall implements QueuedCall {
  json = ''
  isCancelled = false
  exchange: Exchange | undefined
  sent = 0
  constructor (readonly request: Request, readonly id: number, readonly settle: Call['settle']) {}

  get isUnconfirmed (): boolean {
    return this.id === 0
  }
}

export class HttpEngine implements Engine {
  onerror: Engine['onerror']
  onclose: Engine['onclose']
  readonly isShared = true
  maxValueBytes = MAX_VALUE_BYTES
  readonly #transport: Transport
  readonly #calls: PendingCalls
  readonly #pipeline: Pipeline
  readonly #keeper: LeaseKeeper
  /** Calls without a reply, by id. */
  readonly #sent = new Map<number, SentCall>()
  readonly #exchanges = new Set<Exchange>()
  /** Whether the server has answered since the last failure. */
  #isConnected = false
  /** Why unconfirmed calls may be lost; until calls have reached the store again. */
  #lost: StoreError | undefined
  #closing: Promise<void> | undefined

  constructor (address: Address) {
    this.#transport = new Transport(targetOf(address))
    this.#pipeline = new Pipeline(calls => this.#send(calls as SentCall[]))
    this.#calls = new PendingCalls({
      send: (request, id) => { this.#queue(request, id) },
      cancel: id => { this.#cancel(id) },
      timeoutMargin: TIMEOUT_MARGIN_MS
    })
    this.#keeper = new LeaseKeeper(requests => this.#askNow(requests), token => { this.#calls.lost(token) })
  }

  call (request: Request): Promise<Reply> {
    return this.#calls.call(request)
  }

  post (request: Request): void {
    this.#calls.post(request)
  }

  /**
   * Takes at most `connectTimeout`. Rejects with STORE_DISCONNECTED or STORE_UNREACHABLE if unconfirmed calls may not
   * have been delivered.
   */
  close (): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close (): Promise<void> {
    this.onclose?.()
    const timer = new Timer()
    const timeout = new Promise<void>(resolve => { timer.start(this.#transport.connectTimeout, resolve) })
    const delivered = this.#pipeline.drained().then(() => this.#keeper.close())
    await Promise.race([delivered, timeout])
    timer.stop()
    if (this.#pipeline.hasUnconfirmedWrites) {
      const code = this.#isConnected ? 'STORE_DISCONNECTED' : 'STORE_UNREACHABLE'
      this.#lost ??= new StoreError(code, this.#transport.silence())
      this.onerror?.(this.#lost)
    }
    const lost = this.#lost
    this.onerror = undefined // for calls that fail because of this close
    this.#pipeline.clear()
    this.#sent.clear()
    this.#calls.fail('STORE_CLOSED')
    for (const exchange of this.#exchanges) exchange.abort(new StoreError('STORE_CLOSED'))
    await this.#transport.close()
    if (lost === undefined) return
    const isLost = lost.code === 'STORE_UNREACHABLE'
    throw new StoreError(isLost ? lost.code : 'STORE_DISCONNECTED',
      `${lost.detail}; unconfirmed writes before this close ${isLost ? 'are' : 'may be'} lost`, { cause: lost }
    )
  }

  #loses (calls: readonly Call[], error: StoreError): void {
    if (calls.some(isUnconfirmedWrite)) this.#lost ??= error
  }

  #queue (request: Request, id: number): void {
    if (this.#closing !== undefined) throw new StoreError('STORE_CLOSED')
    if (!endsLock(request)) this.#checkLoad(request)
    // With a token chosen here, an acquire can be taken back before its reply has arrived.
    if (request.op === 'acquire') request.token ??= randomUUID()
    const call = new SentCall(request, id, (reply, detail, isLate) => { this.#settle(call, reply, detail, isLate) })
    if (id !== 0) this.#sent.set(id, call)
    this.#pipeline.add(call)
  }

  #checkLoad (request: Request): void {
    const { size, length } = this.#pipeline
    const isFull = size >= MAX_QUEUED || this.#calls.pending > MAX_QUEUED || length > MAX_QUEUED_LENGTH
    if (isFull || (this.#exchanges.size >= MAX_EXCHANGES && (mayWait(request) || isPoll(request)))) {
      throw new StoreError('STORE_OVERLOADED')
    }
  }

  /** Resolves when the calls have reached the store, or have failed. */
  async #send (calls: SentCall[]): Promise<void> {
    const isStats = calls[0]!.request.op === 'stats'
    try {
      const text = isStats || !this.#isConnected ? await this.#learn() : undefined
      if (isStats) {
        calls[0]!.settle(Object.assign(new Reply(), { text }), undefined, false)
        return
      }
    } catch (error) {
      this.#fail(error as StoreError, calls)
      return
    }
    this.#stopRenewing(calls)
    const fitting = calls.filter(call => !call.isCancelled && !this.#refuse(call))
    if (fitting.length === 0) return
    let hasLost = false
    const isReached = await this.#exchange(fitting, {
      failed: (error, unanswered) => { this.#giveUp(error, unanswered) },
      lost: (error, posted) => {
        hasLost = true
        this.#loses(posted, error)
        this.onerror?.(error)
      }
    }).accepted
    // What is lost while the store closes is reported by `close` even if later calls are delivered.
    if (isReached && !hasLost && this.#closing === undefined) this.#lost = undefined
  }

  /** Without a connection, queued calls would only fail in the same way, each batch after `connectTimeout`. */
  #fail (error: StoreError, calls: SentCall[]): void {
    const { code, detail } = error
    const isLost = !this.#isConnected || code === 'STORE_UNREACHABLE'
    const failed = isLost ? [...calls, ...this.#pipeline.clear() as SentCall[]] : calls
    this.#loses(failed, error)
    this.#report(error)
    this.#stopRenewing(failed)
    for (const call of failed) call.settle(new Reply(code), detail, true)
  }

  /** Locks are renewed until the calls that release them are sent, which can take longer than a lease. */
  #stopRenewing (calls: readonly Call[]): void {
    for (const { request } of calls) if (endsLock(request)) this.#keeper.delete(request.token!)
  }

  /** Fetches the limits of the store. If this fails the calls have not been sent, so they certainly took no effect. */
  async #learn (): Promise<string> {
    const text = await this.#transport.stats()
    this.maxValueBytes = (JSON.parse(text) as { maxValueBytes: number }).maxValueBytes
    this.#isConnected = true
    return text
  }

  #report (error: StoreError): void {
    this.#isConnected = false
    if (error.code !== 'STORE_ABORTED') this.onerror?.(error)
  }

  #refuse ({ request: { text }, settle }: Call): boolean {
    if (text === undefined || text.length * 3 <= this.maxValueBytes || Buffer.byteLength(text) <= this.maxValueBytes) {
      return false
    }
    settle(
      new Reply('STORE_VALUE_TOO_LARGE'), `${Buffer.byteLength(text)} bytes, the limit is ${this.maxValueBytes}`, true
    )
    return true
  }

  #exchange (calls: SentCall[], listener: Listener): Exchange {
    const exchange = new Exchange(this.#transport, calls, listener)
    const sent = performance.now()
    for (const call of calls) Object.assign(call, { exchange, sent, json: '' })
    this.#exchanges.add(exchange)
    exchange.ended.finally(() => { this.#exchanges.delete(exchange) }).catch(() => {})
    return exchange
  }

  #settle (call: SentCall, reply: Reply, detail: string | undefined, isLate: boolean): void {
    const { request, id } = call
    const { code, token, fence, expiresIn } = reply
    if (call.isCancelled || this.#sent.get(id) !== call) return
    this.#sent.delete(id)
    const elapsed = performance.now() - call.sent
    const isLease = (request.op === 'acquire' || request.op === 'renew') && expiresIn !== undefined
    const isRenewed = request.lease === undefined && (
      request.op === 'acquire' || (request.op === 'renew' && this.#keeper.isRenewed(request.token!))
    )
    if (isRenewed) reply.expiresIn = undefined // its lease is renewed as long as this process lives
    else if (isLease && !isLate) reply.expiresIn = Math.max(0, expiresIn - elapsed)
    this.#calls.settle(id, reply, detail)
    if (code !== undefined) return
    if (reply.grant !== undefined) {
      this.#keeper.add(request, { token: token!, fence: fence!, expiresIn }, isLate ? undefined : elapsed)
    } else if (request.op === 'renew') this.#keeper.renewed(request.token!, expiresIn, elapsed, request.lease)
    else if (request.op === 'break') this.#keeper.check(request.collection, request.key)
  }

  /**
   * It is unknown whether these calls took effect. Locks that may have been granted, or not been released, are released
   * by their token, which is harmless if they have been already; otherwise they would last until their lease ends.
   */
  #giveUp (error: StoreError, calls: readonly Call[]): void {
    this.#loses(calls, error)
    this.#report(error)
    if (this.#closing !== undefined || error.code === 'STORE_UNREACHABLE') return // the calls took no effect
    const releases = calls.map(({ request }) => request)
      .filter(request => request.op === 'acquire' || endsLock(request))
      .map(releaseOf)
    if (releases.length > 0) this.#askNow(releases).catch(() => {})
  }

  #cancel (id: number): void {
    const call = this.#sent.get(id)
    if (call === undefined) return
    const settle = (): void => {
      call.isCancelled = true
      this.#stopRenewing([call])
      this.#sent.delete(id)
      this.#calls.settle(id, new Reply('STORE_ABORTED'))
    }
    if (call.exchange === undefined) settle()
    else if (call.request.op === 'acquire') this.post(releaseOf(call.request))
    else if (isAlone(call)) {
      settle()
      call.exchange.abort(new StoreError('STORE_ABORTED'))
    } // else it has a timeout, which the server enforces
  }

  /** Sends requests immediately, bypassing the pipeline. Never rejects. */
  async #askNow (requests: Request[]): Promise<Reply[]> {
    const replies: Reply[] = []
    const calls = requests.map((request, i) => {
      const call = new SentCall(request, -1, reply => { replies[i] = reply })
      call.json = writeCall(request, false)
      return call
    })
    for (let i = 0; i < calls.length; i += MAX_CALLS) {
      await this.#exchange(calls.slice(i, i + MAX_CALLS), { failed () {}, lost () {} }).ended
    }
    return replies
  }
}

/** Cancels the wait of an acquire, or releases its lock. */
function releaseOf ({ collection, key, token }: Request): Request {
  return Object.assign(new Request('release', collection, key), { token })
}

/** Shared by copies of this package. */
const engines = shared('http.1', () => new Map<HttpEngine, Address>())

/** Returns the same engine for the same options, until it is closed. STORE_OPTION_INVALID. */
export function httpEngine (place: Pick<Address, 'url' | 'token' | 'connectTimeout'>, http?: HttpStoreOptions): Engine {
  const address = addressOf(place, http)
  for (const [engine, known] of engines) {
    if (isSame(known, address)) return engine
  }
  const engine = new HttpEngine(address)
  engines.set(engine, address)
  engine.onclose = () => { engines.delete(engine) }
  return engine
}

/** Compares options that are objects by identity. */
function isSame (a: Address, b: Address): boolean {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every(
    name => a[name as keyof Address] === b[name as keyof Address]
  )
}
