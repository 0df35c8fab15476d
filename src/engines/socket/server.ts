// Serves the keyspace: listens for other processes and keeps a Peer per connection.
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

/** Limits of a connection. Tests override them. */
export const LIMITS = {
  /** Milliseconds to receive the hello. Longer than even a busy server needs to read it. */
  helloTimeoutMs: 10_000,
  /**
   * Maximum number of connections without a hello. Above it the oldest is closed, so a flood cannot lock clients out.
   */
  maxUnauthenticated: 128,
  /**
   * Milliseconds a client with more than 4 MiB of unread replies may read nothing before it is disconnected. Until
   * then, nothing is read from it.
   */
  slowTimeoutMs: 30_000,
  /**
   * Maximum unread bytes of a client when the end of a lock answers many waiting reads at once; further reads fail
   * with STORE_OVERLOADED.
   */
  maxUnreadBytes: 64 * 2 ** 20
}

export class SocketServer {
  readonly #keyspace: Keyspace
  readonly #token: string
  readonly #peers = new Set<Peer>()
  readonly #unauthenticated = new Set<Peer>()
  readonly #limits: typeof LIMITS
  /** By the uid that may connect. */
  readonly #listeners = new Map<number, Listener>()

  /** `token`: the token that clients must send; by default a random one, which only `address` reveals. */
  constructor (keyspace: Keyspace, limits: Partial<typeof LIMITS> = {}, token = randomBytes(32).toString('hex')) {
    this.#keyspace = keyspace
    this.#token = token
    this.#limits = { ...LIMITS, ...limits }
  }

  /** The number of open connections. */
  get peers (): number {
    return this.#peers.size
  }

  /**
   * The address for processes of user `uid`, by default the user of this process. Opens the listener, also if it was
   * removed. STORE_UNREACHABLE.
   */
  async address (uid?: number): Promise<Address> {
    const own = process.geteuid?.() ?? 0
    if (uid === undefined || uid === 0 || process.platform === 'win32') uid = own // root can connect to any socket
    let listener = this.#listeners.get(uid)
    if (listener === undefined) {
      listener = new Listener(uid, socket => { this.accept(socket) })
      this.#listeners.set(uid, listener)
    }
    return { version: PROTOCOL_VERSION, path: await listener.path(), token: this.#token }
  }

  /** Sets the maximum value size, and sends it to all clients. */
  setMaxValueBytes (bytes: number): void {
    this.#keyspace.values.maxBytes = bytes
    for (const peer of this.#peers) peer.sendMaxValue()
  }

  /**
   * Answers the requests received so far, then closes. Takes at most `timeout` milliseconds. The caller must not
   * accept connections anymore.
   */
  async stop (timeout: number): Promise<void> {
    const end = performance.now() + timeout
    await setImmediate() // one event loop iteration reads what the kernel has received
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

  /** Adopts a connection accepted by a server with `pauseOnConnect`. */
  accept (accepted: Socket): void {
    const socket = adopt(accepted, () => peer)
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
