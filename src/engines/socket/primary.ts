// The primary's side: a server on a local socket, and a Peer for each worker that is connected.
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { Reply } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import type { Keyspace } from '../memory/keyspace.js'
import { Caller } from '../memory/lock.js'
import { dispatch } from '../memory/dispatch.js'
import type { Bytes } from '../../core/value.js'
import type { Address } from './discovery.js'
import { Connection, type Handler } from './connection.js'
import { Folder } from './socket-directory.js'
import {
  CANCEL, ERROR, LOST, MAX_FRAME, NAME, PROTOCOL_VERSION, codeOf, idOf, keyOf, readHello, readRequest, slotOf, writeNotice, writeReply
} from './protocol.js'
import { adopt } from './socket.js'

const HELLO_FRAME = 128

/** What a connection may ask of the primary; another may be given for tests. */
export const LIMITS = {
  /** Milliseconds until a connection has to have said hello: more than a busy primary needs to read it. */
  hello: 10_000,
  /** Connections that have not yet. One more, and the oldest of them goes, so that a flood keeps no worker out. */
  strangers: 128,
  /** Milliseconds for which a worker may read nothing while more than 4 MiB wait for it. It is not listened to meanwhile, then dropped. */
  patience: 30_000,
  /** Bytes that may wait for it when a lock ends for which many of its reads have waited; further ones get STORE_OVERLOADED. */
  unread: 64 * 2 ** 20
}

export class Primary {
  readonly #keyspace: Keyspace
  readonly #token = randomBytes(32).toString('hex')
  readonly #peers = new Set<Peer>()
  readonly #strangers = new Set<Peer>()
  readonly #limits: typeof LIMITS
  #server: Server | undefined
  #folder: Folder | undefined
  #address: Promise<Address> | undefined

  constructor (keyspace: Keyspace, limits: Partial<typeof LIMITS> = {}) {
    this.#keyspace = keyspace
    this.#limits = { ...LIMITS, ...limits }
  }

  /** Connections that there are now. */
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
    const server = createServer({ pauseOnConnect: true }, socket => { this.#accept(socket) })
    this.#server = server
    let path = `\\\\.\\pipe\\strong-store-${process.pid}-${randomBytes(8).toString('hex')}`
    if (process.platform !== 'win32') {
      this.#folder = new Folder()
      path = this.#folder.path
    }
    await new Promise<void>((resolve, reject) => {
      server.on('error', reject) // also for later ones, of single connections when file descriptors run out: they are the other side's to notice
      server.listen(path, resolve)
    })
    server.unref()
    return { version: PROTOCOL_VERSION, path, token: this.#token, maxValueBytes: this.#keyspace.values.maxBytes }
  }

  #accept (accepted: Socket): void {
    const socket = adopt(accepted, bytes => { peer.receive(bytes) })
    const peer: Peer = new Peer(socket, this.#keyspace, this.#token, this.#limits, {
      known: () => { this.#strangers.delete(peer) },
      gone: () => {
        this.#strangers.delete(peer)
        this.#peers.delete(peer)
      }
    })
    this.#peers.add(peer)
    this.#strangers.add(peer)
    socket.unref()
    if (this.#strangers.size <= this.#limits.strangers) return
    const [oldest] = this.#strangers
    this.#strangers.delete(oldest!)
    oldest!.destroy()
  }
}

/** Told who comes in, and who leaves. */
interface Door {
  known (): void
  gone (): void
}

/** A worker as the keyspace sees it. */
class Peer extends Caller implements Handler {
  label = 'worker'
  readonly #keyspace: Keyspace
  readonly #token: string
  readonly #connection: Connection
  readonly #unread: number
  readonly #door: Door
  readonly #names: Array<string | undefined> = []
  #helloTimer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor (socket: Socket, keyspace: Keyspace, token: string, limits: typeof LIMITS, door: Door) {
    super()
    this.#keyspace = keyspace
    this.#token = token
    this.#unread = limits.unread
    this.#door = door
    this.#connection = new Connection(socket, this)
    this.#connection.maxFrame = HELLO_FRAME
    this.#connection.patience = limits.patience
    this.#helloTimer = setTimeout(() => { this.destroy() }, limits.hello).unref()
  }

  receive (bytes: Buffer): void {
    this.#connection.receive(bytes)
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
      dispatch(this.#keyspace, readRequest(buffer, at, end, collection), this, idOf(buffer, at))
    }
  }

  closed (): void {
    clearTimeout(this.#helloTimer)
    this.#isClosed = true
    this.#keyspace.clock.tick()
    this.#keyspace.leave(this)
    if (this.#helloTimer === undefined) this.#keyspace.peers--
    this.#door.gone()
  }

  answer (id: number, reply: Reply<Bytes>): void {
    if (id === 0 || this.#isClosed) return
    // The grant of a lock is told in any case: there are no more of them than keys.
    if (this.#connection.isSlow && reply.text !== undefined && reply.token === undefined && this.#connection.backlog > this.#unread) {
      reply = new Reply('STORE_OVERLOADED')
    }
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
    this.#keyspace.peers++
    this.#connection.maxFrame = MAX_FRAME
    this.label = hello!.label
    this.#door.known()
  }
}
