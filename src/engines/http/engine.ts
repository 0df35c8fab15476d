// The engine of a store that is served over HTTP by somebody's admin API.
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Pool } from 'undici'
import { PendingCalls } from '../../core/pending-calls.js'
import { Reply, Request, type Engine } from '../../core/engine.js'
import { StoreError, detailOf, type StoreErrorCode } from '../../core/errors.js'
import { incoming, outgoing, waits, type Answer } from './codec.js'
import { LeaseKeeper } from './lease-keeper.js'
import { Sequencer, type Passage } from './sequencer.js'

export interface HttpOptions {
  /** Of the admin API, its prefix included. */
  url: URL
  token: string | undefined
}

/** What no store allows; until it has told its own limit. */
const MAX_VALUE_BYTES = 32 * 2 ** 20
const NEVER_SENT = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']

/** A call on its way. */
class Trip {
  readonly controller = new AbortController()
  isCancelled = false
  isAnswered = false
  /** What is known of its failure beside the code. */
  why: string | undefined
  constructor (readonly request: Request) {}
}

export class HttpEngine implements Engine {
  onerror: Engine['onerror']
  onclose: Engine['onclose']
  readonly isShared = true
  maxValueBytes = MAX_VALUE_BYTES
  readonly #url: URL
  readonly #prefix: string
  readonly #authorization: Record<string, string>
  readonly #calls: PendingCalls
  readonly #order = new Sequencer()
  readonly #holds: LeaseKeeper
  readonly #trips = new Map<number, Trip>()
  readonly #posted = new Set<Promise<void>>()
  #pool: Promise<Pool> | undefined
  #isClosed = false

  constructor ({ url, token }: HttpOptions) {
    this.#url = url
    this.#prefix = url.pathname.replace(/\/$/, '')
    this.#authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
    this.#calls = new PendingCalls({
      send: (request, id) => { this.#send(request, id) },
      cancel: id => { this.#cancel(id) }
    })
    this.#holds = new LeaseKeeper(request => this.#exchange(new Trip(request)), token => { this.#calls.lost(token) })
  }

  call (request: Request): Promise<Reply> {
    return this.#calls.call(request)
  }

  post (request: Request): void {
    this.#calls.post(request)
  }

  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.onclose?.()
    await Promise.all(this.#posted)
    await this.#holds.close()
    const trips = [...this.#trips.values()]
    this.#trips.clear()
    this.#calls.fail('STORE_CLOSED')
    for (const trip of trips) trip.controller.abort()
    await this.#pool?.then(pool => pool.destroy(), () => {})
  }

  #send (request: Request, id: number): void {
    if (this.#isClosed) throw new StoreError('STORE_CLOSED')
    if (request.op === 'clear' && request.key !== '') throw new StoreError('STORE_OPTION_INVALID', 'this engine cannot clear a prefix yet')
    // With a token of its own choosing it can take an acquire back whose answer it has not seen.
    if (request.op === 'acquire') request.token ??= randomUUID()
    if (request.release || request.op === 'release') this.#holds.delete(request.token!)
    const trip = new Trip(request)
    if (id !== 0) this.#trips.set(id, trip)
    const settled = this.#travel(trip, this.#order.enter(request)).then(reply => {
      trip.isAnswered = true
      if (id === 0 || this.#trips.get(id) !== trip) return
      this.#trips.delete(id)
      this.#calls.settle(id, reply, trip.why)
      if (reply.grant !== undefined) this.#holds.add(request, reply)
    })
    if (id !== 0) return
    this.#posted.add(settled)
    settled.then(() => { this.#posted.delete(settled) }, () => {})
  }

  async #travel (trip: Trip, { turn, arrive }: Passage): Promise<Reply> {
    try {
      await turn
      if (trip.isCancelled) return new Reply('STORE_ABORTED')
      const sent = performance.now()
      const reply = await this.#exchange(trip, arrive)
      return this.#holds.learn(trip.request, reply, sent)
    } catch (error) {
      return new Reply(this.#code(error as Error, trip))
    } finally {
      arrive()
    }
  }

  /** One request and its answer; a request that has waited as long as the server lets it is made anew. */
  async #exchange (trip: Trip, arrive?: () => void): Promise<Reply> {
    const { request } = trip
    const pool = await (this.#pool ??= this.#connect())
    if (request.text !== undefined && request.text.length * 3 > this.maxValueBytes && Buffer.byteLength(request.text) > this.maxValueBytes) {
      return new Reply('STORE_VALUE_TOO_LARGE')
    }
    for (;;) {
      const reply = await this.#ask(pool, trip, arrive)
      if (reply.code !== 'STORE_TIMEOUT' || !waits(request) || trip.isCancelled) return reply
    }
  }

  async #ask (pool: Pool, trip: Trip, arrive?: () => void): Promise<Reply> {
    const { method, path, headers, body } = outgoing(trip.request)
    const { statusCode: status, headers: received, body: stream } = await pool.request({
      method,
      path: this.#prefix + path,
      headers: { ...this.#authorization, ...headers },
      body: body ?? null,
      signal: trip.controller.signal,
      headersTimeout: 0,
      bodyTimeout: 0,
      onInfo: ({ statusCode }) => { if (statusCode === 102) arrive?.() }
    })
    const answer: Answer = { status, headers: received, text: await stream.text() }
    const reply = incoming(trip.request, answer)
    if (reply !== undefined) return reply
    const hint = status === 401 ? ': createStore({ url, token }) needs the token of that admin API' : ''
    throw new StoreError('STORE_UNREACHABLE', `${method} ${this.#url.origin}${this.#prefix}… was answered with ${status} ${/(?<="code":")\w+/.exec(answer.text)?.[0] ?? ''}${hint}`)
  }

  /** The first call asks for what has to be known of the store, which also tells whether there is one. */
  async #connect (): Promise<Pool> {
    try {
      const { Pool } = await import('undici') // it takes its time to load, and most stores do without
      const pool = new Pool(this.#url.origin)
      const stats = await this.#ask(pool, new Trip(new Request('stats', '', '')))
      this.maxValueBytes = (JSON.parse(stats.text!) as { maxValueBytes: number }).maxValueBytes
      return pool
    } catch (error) {
      this.#pool = undefined
      throw error instanceof StoreError ? error : new StoreError('STORE_UNREACHABLE', (error as Error).message, { cause: error })
    }
  }

  #cancel (id: number): void {
    const trip = this.#trips.get(id)
    if (trip === undefined) return
    trip.isCancelled = true
    if (trip.request.op === 'acquire') this.#withdraw(trip).catch(() => {})
    else trip.controller.abort()
  }

  /** Takes an acquire back: its place in the queue, or the lock. It may not have arrived yet, so until it is answered. */
  async #withdraw (trip: Trip): Promise<void> {
    const request = new Request('release', trip.request.collection, trip.request.key)
    request.token = trip.request.token
    for (let pause = 2; !trip.isAnswered; pause *= 2) {
      await this.#exchange(new Trip(request)).catch(() => {})
      if (!trip.isAnswered) await delay(Math.min(pause, 500))
    }
  }

  #code (error: Error & { code?: string }, trip: Trip): StoreErrorCode {
    if (error.name === 'AbortError') return 'STORE_ABORTED'
    const known = error instanceof StoreError ? error : undefined
    const code = known?.code ?? (NEVER_SENT.includes(error.code ?? '') ? 'STORE_UNREACHABLE' : 'STORE_DISCONNECTED')
    trip.why = detailOf(error)
    this.onerror?.(known ?? new StoreError(code, error.message, { cause: error }))
    return code
  }
}

const engines = new Map<string, HttpEngine>()

/** One engine for all who ask with the same URL and token, until it is closed. */
export function httpEngine (options: HttpOptions): Engine {
  const id = JSON.stringify([options.url.href, options.token])
  let engine = engines.get(id)
  if (engine === undefined) {
    engines.set(id, engine = new HttpEngine(options))
    engine.onclose = () => { engines.delete(id) }
  }
  return engine
}
