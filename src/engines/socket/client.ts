// The engine of a process that reaches the store over a socket.
import { performance } from 'node:perf_hooks'
import { PendingCalls } from '../../core/pending-calls.js'
import { Reply, Request, endsLock, type Engine } from '../../core/engine.js'
import { StoreError, detailOf } from '../../core/errors.js'
import { Timer } from '../../core/timer.js'
import { CollectionSlots } from './collection-slots.js'
import type { Connection } from './connection.js'
import { Dialer, type DialSettings } from './dialer.js'
import { LIVENESS_ID, Liveness } from './liveness.js'
import { NearCache } from './near-cache.js'
import {
  CANCEL, GONE, LOST, MAX_FRAME, MAX_HITS, MAX_VALUE, REVOKE, codeOf, idOf, readNotice, readReply, writeControl,
  writeRequest
} from './protocol.js'
import { UnsentRequests } from './unsent-requests.js'

/** Calls are rejected while more bytes than this are waiting to be sent. */
const MAX_BACKLOG = 256 * 2 ** 20
/** Calls are rejected above this number of pending or unsent calls, which takes about as much memory. */
const MAX_PENDING = 2 ** 19
/** Texts from this length on are released as soon as they are in a frame. */
const LONG_TEXT = 4096
/** After calls have overlapped, this number of lone calls is gathered too: others may follow. */
const MAX_LONE_GATHERED = 64

export interface ClientSettings extends DialSettings {
  /** Milliseconds to find the store and connect, of silence while calls are pending, and for `close` to flush. */
  connectTimeout: number
}

export class ClientEngine implements Engine {
  onerror: Engine['onerror']
  onclose: Engine['onclose']
  readonly isShared = true
  /** The largest value that fits into a frame, until the server sends its limit. */
  maxValueBytes = MAX_FRAME / 2
  readonly #connectTimeout: number
  readonly #calls: PendingCalls
  readonly #liveness: Liveness
  readonly #near: NearCache
  readonly #dialer: Dialer
  #connection: Connection | undefined
  #connecting: Promise<void> | undefined
  readonly #unsent = new UnsentRequests()
  /** How many more lone calls are gathered. */
  #loneToGather = 0
  /** Whether a posted request may be lost: no later call has been answered yet. */
  #isUnconfirmed = false
  #isPostLast = false
  #isReferenced = false
  #isClosed = false
  #closing: Promise<void> | undefined
  #slots = new CollectionSlots()

  constructor (options: ClientSettings) {
    this.#connectTimeout = options.connectTimeout
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
    this.#dialer = new Dialer(options, {
      opened: connection => {
        connection.unref()
        this.#connection = connection
        for (const [id, request] of this.#unsent.take()) this.#write(connection, request, id)
      },
      batch: () => { this.#liveness.heard() },
      frame: (buffer, at, end) => { this.#frame(buffer, at, end) },
      closed: (connection, error) => {
        if (this.#connection === connection) this.#lose('STORE_DISCONNECTED', error && detailOf(error))
      }
    })
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
  close (): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close (): Promise<void> {
    this.#isClosed = true
    this.onclose?.()
    const connectTimeout = this.#connectTimeout
    const end = performance.now() + connectTimeout
    const limit = new Timer()
    limit.start(connectTimeout, () => { this.#dialer.abort() })
    await this.#connecting
    const connection = this.#connection
    if (connection !== undefined) this.#reportHits(connection)
    this.#connection = undefined
    this.#liveness.stop()
    limit.start(Math.max(0, end - performance.now()), () => { connection?.destroy() })
    const isDelivered = connection === undefined ? !this.#isUnconfirmed : await connection.end() || !this.#isUnconfirmed
    limit.stop()
    this.#dialer.abort()
    this.#calls.fail('STORE_CLOSED')
    if (isDelivered) return
    throw connection === undefined
      ? new StoreError('STORE_UNREACHABLE', 'unconfirmed writes before this close are lost')
      : new StoreError('STORE_DISCONNECTED', `the store did not read everything within ${connectTimeout / 1000} s; unconfirmed writes before this close may be lost`)
  }

  #reportHits (connection: Connection): void {
    const ping = new Request('ping', '', '')
    ping.number = this.#near.takeHits()
    if (ping.number > 0) this.#write(connection, ping, 0)
  }

  #send (request: Request, id: number): void {
    if (this.#isClosed) throw new StoreError('STORE_CLOSED')
    const connection = this.#connection
    // Releases are always sent: rejecting one would leave the key locked.
    if (!endsLock(request) && this.#isFull(connection)) {
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
    // The write waits for the rest of the event loop iteration: replies cannot be read earlier anyway, and both sides
    // save a write or a read per call. If calls are made one at a time, it only waits for the end of the tick.
    const isLone = this.#calls.active <= 1
    this.#loneToGather = isLone ? Math.max(0, this.#loneToGather - 1) : MAX_LONE_GATHERED
    connection.gathers = !isLone || (this.#loneToGather > 0 && id !== 0)
    const slot = this.#slots.of(request.collection, connection)
    if (this.#near.isUsed && id !== LIVENESS_ID) this.#near.sent(request, id)
    writeRequest(connection, request, slot, id)
    // Otherwise garbage collections would copy the texts of all pending calls.
    if (request.text !== undefined && request.text.length >= LONG_TEXT) request.text = undefined
    if (id === 0) this.#liveness.posted()
    else if (!this.#isReferenced && id !== LIVENESS_ID) {
      this.#isReferenced = true
      connection.ref()
      this.#liveness.start()
    }
  }

  #cancel (id: number): void {
    const connection = this.#connection
    if (connection !== undefined) {
      writeControl(connection, CANCEL, 0, id, '')
      // Not in the next setImmediate: what the caller does next through other processes should find the call cancelled.
      process.nextTick(() => { connection.flush() })
      return
    }
    if (this.#unsent.delete(id)) this.#calls.settle(id, new Reply('STORE_ABORTED'))
  }

  async #connect (): Promise<void> {
    try {
      await this.#dialer.dial()
      this.#connecting = undefined
    } catch (error) {
      this.#connecting = undefined // before callers are notified: they may call the store again immediately
      this.#lose('STORE_UNREACHABLE', detailOf(error as Error))
    }
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

  #lose (code: 'STORE_UNREACHABLE' | 'STORE_DISCONNECTED', why: string | undefined): void {
    this.#connection = undefined
    this.#liveness.stop()
    this.#isReferenced = false
    this.#isUnconfirmed &&= this.#isClosed // `close` reports it; otherwise the 'error' event does
    this.#unsent.take()
    this.#near.clear()
    this.#slots = new CollectionSlots()
    this.#calls.fail(code, why)
    this.onerror?.(new StoreError(code, why))
  }
}
