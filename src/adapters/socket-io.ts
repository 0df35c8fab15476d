// Socket.IO: rooms, acknowledgements and server-side events across all processes. For each namespace, a server
// subscribes to two channels: one for all servers, and one for the responses to its own requests.
import {
  ClusterAdapterWithHeartbeat, type ClusterAdapterOptions, type ClusterMessage, type ClusterResponse
} from 'socket.io-adapter'
import { pickStore, type PickOptions, type Store } from '../api/store.js'
import { Backoff, isTransient } from '../api/backoff.js'
import type { Channel } from '../api/channel.js'
import type { StoreError } from '../core/errors.js'
import { packBinary, unpackBinary } from './socket-io-binary.js'

export interface SocketAdapterOptions extends PickOptions {
  /** The prefix of the channels. Default 'socket.io:'. */
  prefix?: string | undefined
  /** Milliseconds (as everywhere in Socket.IO) between heartbeats of a server. Default 5000. */
  heartbeatInterval?: number | undefined
  /** Milliseconds without a heartbeat after which other servers no longer wait for a server. Default 10000. */
  heartbeatTimeout?: number | undefined
}

/** For `new Server({ adapter: socketAdapter() })`. STORE_OPTION_INVALID. */
export function socketAdapter (options: SocketAdapterOptions = {}): (namespace: any) => StoreAdapter {
  const { prefix = 'socket.io:', heartbeatInterval = 5000, heartbeatTimeout = 10_000, ...where } = options
  const store = pickStore(where)
  return function (namespace) { // not an arrow function: Socket.IO calls it with `new`
    return new StoreAdapter(namespace, store, prefix, { heartbeatInterval, heartbeatTimeout })
  }
}

export class StoreAdapter extends ClusterAdapterWithHeartbeat {
  readonly #store: Store
  /** The channel of this namespace, for all servers. */
  readonly #name: string
  readonly #ended = new AbortController()
  #hasWarned = false

  /** Created by `socketAdapter`. */
  constructor (namespace: any, store: Store, prefix: string, options: ClusterAdapterOptions) {
    super(namespace, options)
    this.#store = store
    this.#name = prefix + (namespace as { name: string }).name
  }

  /** Announces this server once it is subscribed. */
  override init (): void {
    const { signal } = this.#ended
    const started = [
      new Promise<void>(resolve => {
        this.#follow<ClusterMessage>(this.#name, resolve, message => { this.onMessage(message) })
      }),
      new Promise<void>(resolve => {
        this.#follow<ClusterResponse>(this.#nameOf(this.uid), resolve, response => { this.onResponse(response) })
      })
    ]
    Promise.all(started).then(() => { if (!signal.aborted) super.init() }, () => {})
  }

  override close (): void {
    super.close()
    this.#ended.abort()
  }

  protected override async doPublish (message: ClusterMessage): Promise<string> {
    await this.#send(this.#name, message)
    return '' // there is no log to resume from
  }

  protected override async doPublishResponse (uid: string, response: ClusterResponse): Promise<void> {
    await this.#send(this.#nameOf(uid), response)
  }

  #nameOf (uid: string): string {
    return `${this.#name} ${uid}`
  }

  async #send (name: string, message: object): Promise<void> {
    try {
      await this.#store.channel(name).publish(packBinary(message))
    } catch (error) {
      this.#warn(error as StoreError) // Socket.IO itself drops the error
      throw error
    }
  }

  /** Calls `started` when it has subscribed. */
  #follow<T> (name: string, started: () => void, receive: (message: T) => void): void {
    this.#read(this.#store.channel(name), started, receive).catch((error: StoreError) => { this.#warn(error) })
  }

  async #read<T> (channel: Channel<object>, started: () => void, receive: (message: T) => void): Promise<void> {
    const { signal } = this.#ended
    const backoff = new Backoff()
    while (!signal.aborted) {
      const subscription = channel.subscribe({ signal })
      try {
        await subscription.ready
        started()
        for await (const { message } of subscription) {
          const received = message === undefined ? undefined : unpackBinary(message) as T | undefined
          // An exception of the app's handlers does not end the subscription: it is an uncaught exception.
          if (received !== undefined) queueMicrotask(() => { receive(received) })
        }
      } catch (error) {
        if (!isTransient(error)) throw error
        this.#warn(error as StoreError)
        await backoff.pause(signal)
      }
    }
  }

  /** Warns once, so that an outage does not flood the log. */
  #warn (error: StoreError): void {
    if (this.#hasWarned || this.#ended.signal.aborted || error.code === 'STORE_CLOSED') return
    this.#hasWarned = true
    process.emitWarning(error)
  }
}
