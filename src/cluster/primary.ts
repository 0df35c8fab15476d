// The primary's side: a server on a local socket, and a Peer for each worker that is connected.
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import type { Reply } from '../engine.js'
import { StoreError } from '../errors.js'
import type { Keyspace } from '../memory/keyspace.js'
import { Caller } from '../memory/lock.js'
import { serve } from '../memory/serve.js'
import type { Address } from './address.js'
import { Connection, type Handler } from './connection.js'
import { Folder } from './folder.js'
import {
  CANCEL, ERROR, LOST, MAX_FRAME, NAME, PROTOCOL_VERSION, codeOf, idOf, keyOf, readHello, readRequest, slotOf, writeNotice, writeReply
} from './protocol.js'

const HELLO_TIMEOUT = 2000
const HELLO_FRAME = 128
const PATIENCE = 30_000

export class Primary {
  readonly #keyspace: Keyspace
  readonly #token = randomBytes(32).toString('hex')
  readonly #peers = new Set<Peer>()
  #server: Server | undefined
  #folder: Folder | undefined
  #address: Promise<Address> | undefined

  constructor (keyspace: Keyspace) {
    this.#keyspace = keyspace
  }

  /** Workers that are connected now. */
  get peers (): number {
    return this.#peers.size
  }

  /** Where workers connect. The first call opens the server. */
  address (): Promise<Address> {
    this.#address ??= this.#listen()
    return this.#address
  }

  close (): void {
    for (const peer of this.#peers) peer.destroy()
    this.#server?.close()
    this.#folder?.remove()
  }

  async #listen (): Promise<Address> {
    const server = createServer(socket => { this.#accept(socket) })
    this.#server = server
    let path = `\\\\.\\pipe\\strong-store-${process.pid}-${randomBytes(8).toString('hex')}`
    if (process.platform !== 'win32') {
      this.#folder = new Folder()
      path = this.#folder.path
    }
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(path, resolve)
    })
    server.unref()
    return { version: PROTOCOL_VERSION, path, token: this.#token, maxValueBytes: this.#keyspace.maxValueBytes }
  }

  #accept (socket: Socket): void {
    const peer: Peer = new Peer(socket, this.#keyspace, this.#token, () => { this.#peers.delete(peer) })
    this.#peers.add(peer)
    socket.unref()
  }
}

/** A worker as the keyspace sees it. */
class Peer extends Caller implements Handler {
  label = 'worker'
  readonly #keyspace: Keyspace
  readonly #token: string
  readonly #connection: Connection
  readonly #gone: () => void
  readonly #names: Array<string | undefined> = []
  #helloTimer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor (socket: Socket, keyspace: Keyspace, token: string, gone: () => void) {
    super()
    this.#keyspace = keyspace
    this.#token = token
    this.#gone = gone
    this.#connection = new Connection(socket, this)
    this.#connection.maxFrame = HELLO_FRAME
    this.#connection.patience = PATIENCE
    this.#helloTimer = setTimeout(() => { this.destroy() }, HELLO_TIMEOUT).unref()
  }

  batch (): void {
    this.#keyspace.clock.tick()
  }

  frame (buffer: Buffer, at: number, end: number): void {
    if (this.#helloTimer !== undefined) {
      this.#hello(readHello(buffer, at, end))
      return
    }
    const code = codeOf(buffer, at)
    if (code === CANCEL) this.#keyspace.cancel(this, idOf(buffer, at))
    else if (code === NAME) this.#names[slotOf(buffer, at)] = keyOf(buffer, at, end)
    else {
      const collection = this.#names[slotOf(buffer, at)]
      if (collection === undefined) throw new StoreError('STORE_PROTOCOL', 'a collection without a name')
      serve(this.#keyspace, readRequest(buffer, at, end, collection), this, idOf(buffer, at))
    }
  }

  closed (): void {
    clearTimeout(this.#helloTimer)
    this.#isClosed = true
    this.#keyspace.clock.tick()
    this.#keyspace.leave(this)
    this.#gone()
  }

  answer (id: number, reply: Reply): void {
    if (id === 0 || this.#isClosed) return
    if (reply.code === undefined) writeReply(this.#connection, reply, id)
    else writeNotice(this.#connection, ERROR, reply.code, id)
  }

  lost (token: string): void {
    if (!this.#isClosed) writeNotice(this.#connection, LOST, token, 0)
  }

  destroy (): void {
    this.#connection.destroy()
  }

  #hello (hello: ReturnType<typeof readHello>): void {
    const given = Buffer.from(hello?.token ?? '', 'latin1')
    const wanted = Buffer.from(this.#token, 'latin1')
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) throw new StoreError('STORE_PROTOCOL', 'a stranger')
    clearTimeout(this.#helloTimer)
    this.#helloTimer = undefined
    this.#connection.maxFrame = MAX_FRAME
    this.label = hello!.label
  }
}
