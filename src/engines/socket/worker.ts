// The engine of a worker: its calls as frames to the primary.
import { PendingCalls } from '../../core/pending-calls.js'
import { Reply, type Engine, type Request } from '../../core/engine.js'
import { StoreError, detailOf } from '../../core/errors.js'
import { askAddress, type Address } from './discovery.js'
import { Connection } from './connection.js'
import {
  CANCEL, LOST, MAX_FRAME, NAME, SLOTS, codeOf, idOf, readLost, readReply, writeControl, writeHello, writeRequest
} from './protocol.js'
import { connectTo } from './socket.js'

/** Bytes on their way to the primary above which calls are refused. */
const MAX_BACKLOG = 256 * 2 ** 20
/** PendingCalls without an answer above which calls are refused: they take about as much memory. */
const MAX_PENDING = 2 ** 19

export class WorkerEngine implements Engine {
  onerror: Engine['onerror']
  onclose: Engine['onclose']
  readonly isShared = true
  /** Until the primary has told its own limit: as large as a frame can carry. */
  maxValueBytes = MAX_FRAME / 2
  readonly #connectTimeout: number
  readonly #calls: PendingCalls
  #connection: Connection | undefined
  #connecting: Promise<void> | undefined
  #queue: Array<{ request: Request, id: number }> = []
  #queuedBytes = 0
  #isReferenced = false
  #isClosed = false
  // The numbers by which the primary knows collections; the oldest is used again when all are taken.
  #slots = new Map<string, number>()
  #names: string[] = []
  #nextSlot = 0

  constructor (connectTimeout: number) {
    this.#connectTimeout = connectTimeout
    this.#calls = new PendingCalls({
      send: (request, id) => { this.#send(request, id) },
      cancel: id => { this.#cancel(id) }
    })
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
    await this.#connecting?.catch(() => {})
    const connection = this.#connection
    this.#connection = undefined
    await connection?.end()
    this.#calls.fail('STORE_CLOSED')
  }

  #send (request: Request, id: number): void {
    if (this.#isClosed) throw new StoreError('STORE_CLOSED')
    const connection = this.#connection
    // The end of a lock is let through: refused, it would leave the key locked.
    if (!request.release && request.op !== 'release' &&
      ((connection?.backlog ?? this.#queuedBytes) > MAX_BACKLOG || this.#calls.pending > MAX_PENDING)) throw new StoreError('STORE_OVERLOADED')
    if (connection === undefined) {
      this.#queue.push({ request, id })
      this.#queuedBytes += request.text?.length ?? 0
      this.#connecting ??= this.#connect()
      return
    }
    this.#write(connection, request, id)
  }

  #write (connection: Connection, request: Request, id: number): void {
    // A call that is alone goes off at once. With others under way it may wait for more of its turn: its answer cannot be read
    // before the next one, and the primary is spared a read and a write for each call.
    connection.gathers = this.#calls.pending > 1
    writeRequest(connection, request, this.#slots.get(request.collection) ?? this.#name(connection, request.collection), id)
    if (id !== 0 && !this.#isReferenced) {
      this.#isReferenced = true
      connection.ref()
    }
  }

  #cancel (id: number): void {
    if (this.#connection !== undefined) {
      writeControl(this.#connection, CANCEL, 0, id, '')
      return
    }
    const place = this.#queue.findIndex(queued => queued.id === id)
    if (place === -1) return
    this.#queue.splice(place, 1)
    this.#calls.settle(id, new Reply('STORE_ABORTED'))
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
      const address = await askAddress(this.#connectTimeout)
      this.maxValueBytes = address.maxValueBytes
      await this.#open(address)
      this.#connecting = undefined
    } catch (error) {
      this.#connecting = undefined // before anybody is told, who may call the store again at once
      this.#lose('STORE_UNREACHABLE', detailOf(error as Error))
    }
  }

  #open ({ path, token }: Address): Promise<void> {
    return new Promise((resolve, reject) => {
      let connection: Connection
      const socket = connectTo(path, bytes => { connection.receive(bytes) })
      socket.once('error', reject)
      socket.once('connect', () => {
        connection = new Connection(socket, {
          frame: (buffer, at, end) => { this.#frame(buffer, at, end) },
          closed: error => { this.#closed(connection, error) }
        })
        writeHello(connection, token, `pid ${process.pid}`)
        connection.unref()
        this.#connection = connection
        this.#flushQueue(connection)
        resolve()
      })
    })
  }

  #flushQueue (connection: Connection): void {
    const queue = this.#queue
    this.#queue = []
    this.#queuedBytes = 0
    for (const { request, id } of queue) this.#write(connection, request, id)
  }

  #frame (buffer: Buffer, at: number, end: number): void {
    if (codeOf(buffer, at) === LOST) {
      this.#calls.lost(readLost(buffer, at, end))
      return
    }
    this.#calls.settle(idOf(buffer, at), readReply(buffer, at, end))
    if (this.#calls.pending === 0) {
      this.#isReferenced = false
      this.#connection?.unref()
    }
  }

  #closed (connection: Connection, error: Error | undefined): void {
    if (this.#connection === connection) this.#lose('STORE_DISCONNECTED', error && detailOf(error))
  }

  #lose (code: 'STORE_UNREACHABLE' | 'STORE_DISCONNECTED', why: string | undefined): void {
    this.#connection = undefined
    this.#isReferenced = false
    this.#queue = []
    this.#queuedBytes = 0
    this.#slots.clear()
    this.#names = []
    this.#calls.fail(code, why)
    this.onerror?.(new StoreError(code, why))
  }
}
