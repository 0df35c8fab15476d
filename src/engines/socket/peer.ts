// The server's side of a connection: reads the hello, then passes calls to the keyspace.
import { timingSafeEqual } from 'node:crypto'
import type { Socket } from 'node:net'
import { Reply } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import type { Bytes } from '../../core/value.js'
import { dispatch } from '../memory/dispatch.js'
import type { Keyspace } from '../memory/keyspace.js'
import { Caller } from '../memory/lock.js'
import { Connection, type Handler } from './connection.js'
import { isOtherVersion, writeVersion } from './greeting.js'
import {
  CANCEL, ERROR, GONE, LOST, MAX_FRAME, MAX_VALUE, NAME, REVOKE, codeOf, idOf, keyOf, readHello, readRequest, slotOf,
  writeNotice, writeReply
} from './protocol.js'

const MAX_HELLO_FRAME = 256

export interface PeerSettings {
  token: string
  /** Milliseconds to receive the hello. */
  helloTimeoutMs: number
  /** Milliseconds a client with more than 4 MiB of unread replies may read nothing. */
  slowTimeoutMs: number
  /** With more unread bytes than this, reads fail with STORE_OVERLOADED. */
  maxUnreadBytes: number
  /** Called when the hello has the right token. */
  authenticated (): void
  /** Called once, when the connection has ended. */
  closed (): void
}

export class Peer extends Caller implements Handler {
  label = 'worker'
  readonly #keyspace: Keyspace
  readonly #options: PeerSettings
  readonly #connection: Connection
  /** Collection names by slot. */
  readonly #names: Array<string | undefined> = []
  /** Running until the hello has arrived. */
  #helloTimer: NodeJS.Timeout | undefined
  #isClosed = false
  /** Pending replies are still sent; new frames are ignored. */
  #isEnding = false

  constructor (socket: Socket, keyspace: Keyspace, options: PeerSettings) {
    super()
    this.#keyspace = keyspace
    this.#options = options
    this.#connection = new Connection(socket, this)
    this.#connection.limitFrames(MAX_HELLO_FRAME)
    this.#connection.slowTimeoutMs = options.slowTimeoutMs
    this.#helloTimer = setTimeout(() => { this.destroy() }, options.helloTimeoutMs).unref()
  }

  override get backlog (): number {
    return this.#connection.backlog
  }

  get target (): Buffer | undefined {
    return this.#connection.target
  }

  receive (bytes: Buffer): void {
    this.#connection.receive(bytes)
  }

  batch (): void {
    this.#keyspace.clock.tick()
  }

  frame (buffer: Buffer, at: number, end: number, isOwned: boolean): boolean {
    if (this.#isEnding) return false
    if (this.#helloTimer !== undefined) {
      if (isOtherVersion(buffer, at, end)) {
        writeVersion(this.#connection)
        this.end()
        return false
      }
      this.#hello(readHello(buffer, at, end))
      return false
    }
    const code = codeOf(buffer, at)
    if (code === CANCEL) this.#keyspace.cancel(this, idOf(buffer, at))
    else if (code === GONE) this.#keyspace.context.copies.acknowledge(this, idOf(buffer, at), slotOf(buffer, at))
    else if (code === NAME) this.#names[slotOf(buffer, at)] = keyOf(buffer, at, end)
    else {
      const collection = this.#names[slotOf(buffer, at)]
      if (collection === undefined) throw new StoreError('STORE_PROTOCOL', 'a slot without a collection')
      const request = readRequest(buffer, at, end, collection, isOwned)
      dispatch(this.#keyspace, request, this, idOf(buffer, at))
      return isOwned && typeof request.text === 'object'
    }
    return false
  }

  closed (): void {
    clearTimeout(this.#helloTimer)
    this.#isClosed = true
    this.#keyspace.clock.tick()
    this.#keyspace.leave(this)
    this.#keyspace.callers.delete(this)
    this.#options.closed()
  }

  answer (id: number, reply: Reply<Bytes>): void {
    if (id === 0 || this.#isClosed) return
    // Grants are always sent: their number is bounded by the number of keys.
    const isBounded = reply.text !== undefined && reply.token === undefined
    if (isBounded && this.#connection.isSlow && this.#connection.backlog > this.#options.maxUnreadBytes) {
      reply = new Reply('STORE_OVERLOADED')
    }
    this.#connection.gathers = this.streams > 0
    if (reply.code === undefined) writeReply(this.#connection, reply, id)
    else writeNotice(this.#connection, ERROR, reply.code, id)
  }

  override flush (): void {
    if (!this.#isClosed) this.#connection.flush()
  }

  override get keepsCopies (): boolean {
    return true
  }

  override revoke (id: number): void {
    if (!this.#isClosed) writeNotice(this.#connection, REVOKE, '', id)
  }

  lost (token: string): void {
    if (!this.#isClosed) writeNotice(this.#connection, LOST, token, 0)
  }

  /** Sends the current maximum value size. */
  sendMaxValue (): void {
    if (this.#helloTimer !== undefined || this.#isClosed) return
    writeNotice(this.#connection, MAX_VALUE, String(this.#keyspace.values.maxBytes), 0)
  }

  /** Flushes the output, then ends the connection. */
  end (): void {
    this.#isEnding = true
    this.#connection.end().catch(() => {})
  }

  destroy (): void {
    this.#connection.destroy()
  }

  #hello (hello: ReturnType<typeof readHello>): void {
    const given = Buffer.from(hello?.token ?? '', 'latin1')
    const wanted = Buffer.from(this.#options.token, 'latin1')
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) {
      throw new StoreError('STORE_PROTOCOL', 'not authenticated')
    }
    clearTimeout(this.#helloTimer)
    this.#helloTimer = undefined
    this.#keyspace.callers.add(this)
    this.#connection.limitFrames(MAX_FRAME)
    this.label = hello!.label
    this.#options.authenticated()
    this.sendMaxValue()
  }
}
