// The engine of a process that reaches the store over a socket.
import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { PendingCalls } from '../../core/pending-calls.js'
import { Reply, Request, type Engine } from '../../core/engine.js'
import { StoreError, detailOf } from '../../core/errors.js'
import { Timer } from '../../core/timer.js'
import type { Address, Discovery } from './address.js'
import { Connection } from './connection.js'
import { checkGreeting } from './greeting.js'
import { LIVENESS_ID, Liveness } from './liveness.js'
import { NearCache } from './near-cache.js'
import {
  CANCEL, GONE, LOST, MAX_FRAME, MAX_HITS, MAX_VALUE, NAME, REVOKE, SLOTS, codeOf, idOf, readNotice, readReply,
  writeControl, writeHello, writeRequest
} from './protocol.js'
import { connectTo } from './read-buffer.js'
import { UnsentRequests } from './unsent-requests.js'

/** Calls are rejected while more bytes than this are waiting to be sent. */
const MAX_BACKLOG = 256 * 2 ** 20
/**
 * Calls are rejected above this number of pending calls, or of calls that wait for a connection. It takes about as
 * much memory as MAX_BACKLOG.
 */
const MAX_PENDING = 2 ** 19
const RETRY_MS = 50
const MAX_RETRY_MS = 500

export interface ClientSettings {
  discovery: Discovery
  /** Milliseconds to find the store and connect, of silence while calls are pending, and for `close` to flush. */
  connectTimeout: number
  /** Owner label of this client's locks, at most 150 characters. */
  label: string
}

export class ClientEngine implements Engine {
  onerror: Engine['onerror']
  onclose: Engine['onclose']
  readonly isShared = true
  /** The largest value that fits into a frame, until the server sends its limit. */
  maxValueBytes = MAX_FRAME / 2
  readonly #options: ClientSettings
  readonly #calls: PendingCalls
  readonly #liveness: Liveness
  readonly #near: NearCache
  /** Aborts discovery. */
  readonly #abort = new AbortController()
  #connection: Connection | undefined
  #connecting: Promise<void> | undefined
  readonly #unsent = new UnsentRequests()
  /** Whether a posted request may be lost: no later call has been answered yet. */
  #isUnconfirmed = false
  #isPostLast = false
  #isReferenced = false
  #isClosed = false
  // Slots that stand for collection names on this connection. When all are taken, the oldest is reused.
  #slots = new Map<string, number>()
  #names: string[] = []
  #nextSlot = 0

  constructor (options: ClientSettings) {
    this.#options = options
    this.#calls = new PendingCalls({
      send: (request, id) => { this.#send(request, id) },
      cancel: id => { this.#cancel(id) }
    })
    this.#liveness = new Liveness(options.connectTimeout, this.#calls, {
      ask: () => { this.#write(this.#connection!, new Request('ping', '', ''), LIVENESS_ID) },
      silent: error => { this.#connection!.destroy(error) }
    })
    this.#near = new NearCache({
      call: request => this.#calls.call(request),
      acknowledge: (id, hits) => {
        if (this.#connection !== undefined) writeControl(this.#connection, GONE, Math.min(hits, MAX_HITS), id, '')
      }
    }, () => performance.now())
    options.discovery.prepare?.(options.connectTimeout, this.#abort.signal)
  }

  call (request: Request): Promise<Reply> {
    const reply = this.#near.bytes === 0 || this.#isClosed ? undefined : this.#near.read(request)
    if (reply === undefined) return this.#calls.call(request)
    if (!this.#near.isBusy) return Promise.resolve(reply)
    return new Promise(resolve => setImmediate(() => {
      this.#near.turned()
      resolve(reply)
    }))
  }

  setNearBytes (bytes: number): void {
    this.#near.maxBytes = bytes
  }

  post (request: Request): void {
    this.#calls.post(request)
  }

  /**
   * Takes at most `connectTimeout`. Rejects with STORE_DISCONNECTED or STORE_UNREACHABLE if posted requests may not
   * have been delivered.
   */
  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.onclose?.()
    const { connectTimeout } = this.#options
    const end = performance.now() + connectTimeout
    const limit = new Timer()
    limit.start(connectTimeout, () => { this.#abort.abort() })
    await this.#connecting
    const connection = this.#connection
    this.#connection = undefined
    this.#liveness.stop()
    limit.start(Math.max(0, end - performance.now()), () => { connection?.destroy() })
    const isDelivered = connection === undefined ? !this.#isUnconfirmed : await connection.end() || !this.#isUnconfirmed
    limit.stop()
    this.#abort.abort()
    this.#calls.fail('STORE_CLOSED')
    if (isDelivered) return
    throw connection === undefined
      ? new StoreError('STORE_UNREACHABLE', 'unconfirmed writes before this close are lost')
      : new StoreError('STORE_DISCONNECTED', `the store did not read everything within ${connectTimeout / 1000} s; unconfirmed writes before this close may be lost`)
  }

  #send (request: Request, id: number): void {
    if (this.#isClosed) throw new StoreError('STORE_CLOSED')
    const connection = this.#connection
    // Releases are always sent: rejecting one would leave the key locked.
    if (!request.release && request.op !== 'release' && this.#isFull(connection)) {
      throw new StoreError('STORE_OVERLOADED')
    }
    this.#isPostLast = id === 0
    this.#isUnconfirmed ||= this.#isPostLast
    if (connection === undefined) {
      this.#unsent.add(request, id)
      this.#connecting ??= this.#connect()
      return
    }
    this.#write(connection, request, id)
  }

  #isFull (connection: Connection | undefined): boolean {
    return (connection?.backlog ?? this.#unsent.bytes) > MAX_BACKLOG ||
      this.#calls.pending > MAX_PENDING || this.#unsent.size > MAX_PENDING
  }

  #write (connection: Connection, request: Request, id: number): void {
    // A lone call is written at the end of the tick. With other calls pending, the write waits for the rest of the
    // event loop iteration: replies cannot be read earlier anyway, and the server saves a read and a write per call.
    connection.gathers = this.#calls.active > 1
    const slot = this.#slots.get(request.collection) ?? this.#name(connection, request.collection)
    if (this.#near.isUsed && id !== LIVENESS_ID) this.#near.sent(request, id)
    writeRequest(connection, request, slot, id)
    if (id === 0) this.#liveness.posted()
    else if (!this.#isReferenced && id !== LIVENESS_ID) {
      this.#isReferenced = true
      connection.ref()
      this.#liveness.start()
    }
  }

  #cancel (id: number): void {
    if (this.#connection !== undefined) {
      writeControl(this.#connection, CANCEL, 0, id, '')
      return
    }
    if (this.#unsent.delete(id)) this.#calls.settle(id, new Reply('STORE_ABORTED'))
  }

  #name (connection: Connection, collection: string): number {
    const slot = this.#nextSlot++ % SLOTS
    if (this.#names[slot] !== undefined) this.#slots.delete(this.#names[slot])
    this.#names[slot] = collection
    this.#slots.set(collection, slot)
    writeControl(connection, NAME, slot, 0, collection)
    return slot
  }

  async #connect (): Promise<void> {
    try {
      await this.#reach()
      this.#connecting = undefined
    } catch (error) {
      this.#connecting = undefined // before callers are notified: they may call the store again immediately
      this.#lose('STORE_UNREACHABLE', detailOf(error as Error))
    }
  }

  async #reach (): Promise<void> {
    const { discovery, connectTimeout } = this.#options
    const { signal } = this.#abort
    const end = performance.now() + connectTimeout
    let pause = RETRY_MS
    for (let isFirst = true; ; isFirst = false) {
      const address = await discovery.find(connectTimeout, signal)
      try {
        await this.#open(address, discovery.isFixed === true, end - performance.now())
        return
      } catch (error) {
        // The server may have moved to another socket since discovery. EAGAIN: the server's listen backlog is full.
        const { isFinal, detail } = discovery.judge?.(error as Error) ??
          { isFinal: !isFirst && (error as NodeJS.ErrnoException).code !== 'EAGAIN', detail: detailOf(error as Error) }
        if (isFinal || signal.aborted || performance.now() + pause > end) {
          throw new StoreError('STORE_UNREACHABLE', detail, { cause: error })
        }
        await delay(pause, undefined, { signal }).catch(() => {})
        pause = Math.min(pause * 2, MAX_RETRY_MS)
      }
    }
  }

  #open ({ path, token }: Address, awaitsGreeting: boolean, timeout: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let connection: Connection
      let isOpen = false
      const socket = connectTo(path, () => connection)
      const limit = new Timer()
      const open = (): void => {
        limit.stop()
        isOpen = true
        connection.unref()
        this.#connection = connection
        for (const [id, request] of this.#unsent.take()) this.#write(connection, request, id)
        resolve()
      }
      const fail = (error: NodeJS.ErrnoException | undefined): void => {
        limit.stop()
        if (error?.code === 'EACCES') {
          error.message += `: the socket belongs to another user, this process runs as uid ${process.geteuid?.()}`
        }
        reject(error ?? new Error('the server closed the connection without a reply'))
      }
      const seconds = this.#options.connectTimeout / 1000
      limit.start(Math.max(timeout, 1), () => { socket.destroy(new Error(`no reply within ${seconds} s`)) })
      socket.once('error', fail)
      socket.once('connect', () => {
        connection = new Connection(socket, {
          batch: () => { this.#liveness.heard() },
          frame: (buffer, at, end) => {
            if (!isOpen) {
              checkGreeting(buffer, at, end)
              open()
            }
            this.#frame(buffer, at, end)
          },
          closed: error => {
            if (isOpen) this.#closed(connection, error)
            else fail(error)
          }
        })
        writeHello(connection, token, this.#options.label)
        if (!awaitsGreeting) open()
      })
    })
  }

  #frame (buffer: Buffer, at: number, end: number): void {
    switch (codeOf(buffer, at)) {
      case LOST:
        this.#calls.lost(readNotice(buffer, at, end))
        return
      case MAX_VALUE:
        this.maxValueBytes = Number(readNotice(buffer, at, end))
        return
      case REVOKE:
        this.#near.revoke(idOf(buffer, at))
        return
    }
    const id = idOf(buffer, at)
    const reply = readReply(buffer, at, end)
    if (this.#near.isUsed || reply.near !== undefined) this.#near.answered(id, this.#calls.requestOf(id), reply)
    this.#calls.settle(id, reply)
    if (this.#calls.pending > 0) return
    if (!this.#isPostLast) this.#isUnconfirmed = false
    this.#isReferenced = false
    this.#connection?.unref()
  }

  #closed (connection: Connection, error: Error | undefined): void {
    if (this.#connection === connection) this.#lose('STORE_DISCONNECTED', error && detailOf(error))
  }

  #lose (code: 'STORE_UNREACHABLE' | 'STORE_DISCONNECTED', why: string | undefined): void {
    this.#connection = undefined
    this.#liveness.stop()
    this.#isReferenced = false
    this.#isUnconfirmed &&= this.#isClosed // `close` reports it; otherwise the 'error' event does
    this.#unsent.take()
    this.#near.clear()
    this.#slots.clear()
    this.#names = []
    this.#calls.fail(code, why)
    this.onerror?.(new StoreError(code, why))
  }
}
