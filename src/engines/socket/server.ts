// The side that has the keyspace: listens where the processes that ask can connect, and keeps a Peer for each
// connection.
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { setImmediate, setTimeout as delay } from 'node:timers/promises'
import type { Keyspace } from '../memory/keyspace.js'
import type { Address } from './address.js'
import { Listener } from './listener.js'
import { Peer } from './peer.js'
import { PROTOCOL_VERSION } from './protocol.js'
import { adopt } from './read-buffer.js'

/** What a connection may ask of the server; tests may set others. */
export const LIMITS = {
  /** Milliseconds until a connection has to have said hello: more than a busy server needs to read it. */
  helloTimeoutMs: 10_000,
  /**
   * Connections that have not said hello. One more, and the oldest of them ends, so that a flood keeps no client out.
   */
  maxUnauthenticated: 128,
  /**
   * Milliseconds for which a client may read nothing while more than 4 MiB wait for it. Nothing is read from it until
   * then; then it is dropped.
   */
  slowTimeoutMs: 30_000,
  /**
   * Bytes that may wait for a client when a lock ends for which many of its reads have waited; further ones get
   * STORE_OVERLOADED.
   */
  maxUnreadBytes: 64 * 2 ** 20
}

export class SocketServer {
  readonly #keyspace: Keyspace
  readonly #token: string
  readonly #peers = new Set<Peer>()
  readonly #unauthenticated = new Set<Peer>()
  readonly #limits: typeof LIMITS
  /** By the user that may connect. */
  readonly #listeners = new Map<number, Listener>()

  /** `token`: what a connection has to show; by default a random one, which only `address` tells. */
  constructor (keyspace: Keyspace, limits: Partial<typeof LIMITS> = {}, token = randomBytes(32).toString('hex')) {
    this.#keyspace = keyspace
    this.#token = token
    this.#limits = { ...LIMITS, ...limits }
  }

  /** Connections that there are now. */
  get peers (): number {
    return this.#peers.size
  }

  /**
   * Where a process of user `uid`, by default our own, connects. Opens what is not open yet, or not any more.
   * STORE_UNREACHABLE.
   */
  async address (uid?: number): Promise<Address> {
    const own = process.geteuid?.() ?? 0
    if (uid === undefined || uid === 0 || process.platform === 'win32') uid = own // root can connect everywhere
    let listener = this.#listeners.get(uid)
    if (listener === undefined) {
      listener = new Listener(uid, socket => { this.accept(socket) })
      this.#listeners.set(uid, listener)
    }
    return { version: PROTOCOL_VERSION, path: await listener.path(), token: this.#token }
  }

  /** Sets the bytes that a value may have, for all clients. */
  setMaxValueBytes (bytes: number): void {
    this.#keyspace.values.maxBytes = bytes
    for (const peer of this.#peers) peer.sendMaxValue()
  }

  /**
   * Answers what has arrived, then closes. Takes at most `timeout` milliseconds. No connection must be accepted from
   * now on.
   */
  async stop (timeout: number): Promise<void> {
    const end = performance.now() + timeout
    await setImmediate() // one turn of the event loop reads what the system has received
    await setImmediate()
    for (const peer of this.#peers) peer.end()
    while (this.#peers.size > 0 && performance.now() < end) await delay(5)
    this.close()
  }

  close (): void {
    for (const peer of this.#peers) peer.destroy()
    for (const listener of this.#listeners.values()) listener.close()
    this.#listeners.clear()
  }

  /** Takes a connection of a server with `pauseOnConnect`. */
  accept (accepted: Socket): void {
    const socket = adopt(accepted, bytes => { peer.receive(bytes) })
    const peer: Peer = new Peer(socket, this.#keyspace, {
      token: this.#token,
      ...this.#limits,
      authenticated: () => { this.#unauthenticated.delete(peer) },
      closed: () => {
        this.#unauthenticated.delete(peer)
        this.#peers.delete(peer)
      }
    })
    this.#peers.add(peer)
    this.#unauthenticated.add(peer)
    socket.unref()
    if (this.#unauthenticated.size <= this.#limits.maxUnauthenticated) return
    const [oldest] = this.#unauthenticated
    this.#unauthenticated.delete(oldest!)
    oldest!.destroy()
  }
}
