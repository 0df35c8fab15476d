// Channels: messages to the current subscribers in all processes.
import { offAbort, onAbort, type Aborter } from '../core/abort-signals.js'
import { Request, type Abortable, type Engine } from '../core/engine.js'
import { checkCollection } from '../core/validation.js'
import { json } from '../core/value.js'
import type { Scope } from './collection-calls.js'
import { EventStream, Wake } from './event-stream.js'
import { hubOf, type Hub, type HubMember } from './hub.js'
import { NONE, checkOptions, checkSignal } from './requests.js'

export interface PublishOptions {
  /** False: resolve immediately with 0, without confirmation and ignoring errors. Default true. */
  confirm?: boolean | undefined
}

export interface SubscribeOptions {
  /** Ends the subscription. Default: none, it ends when the loop is left. */
  signal?: AbortSignal | undefined
}

/**
 * A message, or the number of messages missed at this point because the subscriber read too slowly or the connection
 * was lost. Infinity if the number is unknown.
 */
export type ChannelEvent<T> = { message: T, missed?: undefined } | { missed: number, message?: undefined }

/** Maximum number of unread messages of a subscriber, and of characters in their JSON text. The oldest are dropped. */
const MAX_UNREAD = 1024
const MAX_UNREAD_LENGTH = 2 ** 20

export class Channel<T = unknown> {
  readonly name: string
  readonly #engine: Engine
  readonly #scope: Scope | undefined

  /** Made by a Store. */
  constructor (engine: Engine, name: string, scope?: Scope) {
    checkCollection(name)
    this.name = name
    this.#engine = engine
    this.#scope = scope
  }

  /**
   * Sends a message to all current subscribers and resolves with their number, without waiting for them to read it.
   * Messages of one process arrive in order. A message is anything JSON can represent. STORE_VALUE_INVALID,
   * STORE_VALUE_TOO_LARGE, STORE_OVERLOADED, STORE_DISCONNECTED, STORE_UNREACHABLE, STORE_CLOSED.
   */
  async publish (message: T, options: PublishOptions = NONE): Promise<number> {
    checkOptions(options, ['confirm'])
    const request = new Request('publish', '', this.name)
    request.text = json.encode(message, this.#engine.maxValueBytes)
    if (options.confirm !== false) return (await this.#engine.call(request)).number!
    this.#engine.post(request)
    return 0
  }

  /**
   * Subscribes immediately; messages that arrive before the first `next` are kept. Ends when the loop is left, when its
   * signal aborts, or with an error. Resubscribes automatically after a lost connection.
   */
  subscribe (options: SubscribeOptions = NONE): Subscription<T> {
    checkOptions(options, ['signal'])
    if (options.signal !== undefined) checkSignal(options.signal)
    return new Subscription<T>(hubOf(this.#engine, this.name), options.signal, this.#scope)
  }
}

/** The messages of a channel since its creation. */
export class Subscription<T = unknown> extends EventStream<ChannelEvent<T>> {
  /** Resolves when the subscription is registered: all messages published later arrive. */
  readonly ready: Promise<void>

  /** Made by a Channel. */
  constructor (hub: Hub, signal: AbortSignal | undefined, scope: Scope | undefined) {
    let subscriber: Subscriber<T>
    super(ended => {
      subscriber = new Subscriber<T>(hub, ended, signal, scope)
      return subscriber.events()
    })
    this.ready = subscriber!.ready
    this.ready.catch(() => {}) // `next` rejects as well
  }
}

class Subscriber<T> implements HubMember, Abortable {
  readonly ready: Promise<void>
  readonly #hub: Hub
  readonly #signal: AbortSignal | undefined
  readonly #scope: Scope | undefined
  readonly #wake = new Wake()
  #unread: Array<{ number: number, text: string } | { number: number, missed: number }> = []
  #length = 0
  #missed = 0
  #start = 0
  #error: Error | undefined
  #isEnded = false
  readonly #end = (): void => { this.abort() }

  constructor (hub: Hub, ended: Aborter, signal: AbortSignal | undefined, scope: Scope | undefined) {
    this.#hub = hub
    this.#signal = signal
    this.#scope = scope
    ended.add(this.#end)
    if (signal?.aborted === true || scope?.aborted === true) {
      this.#isEnded = true
      this.ready = Promise.resolve()
      return
    }
    if (signal !== undefined) onAbort(signal, this.#end)
    scope?.add(this)
    this.ready = hub.join(this)
  }

  async * events (): AsyncGenerator<ChannelEvent<T>, undefined, undefined> {
    try {
      await this.ready
      for (;;) {
        for (let event; (event = this.#shift()) !== undefined;) yield event
        if (this.#isEnded) return
        if (this.#error !== undefined) throw this.#error
        await this.#wake.wait()
      }
    } catch (error) {
      if (!this.#isEnded) throw error
    } finally {
      this.abort()
    }
  }

  abort (): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#unread = []
    this.#missed = 0
    if (this.#signal !== undefined) offAbort(this.#signal, this.#end)
    this.#scope?.delete(this)
    this.#hub.leave(this)
    this.#wake.wake()
  }

  receive (number: number, text: string): void {
    if (number < this.#start) return
    this.#unread.push({ number, text })
    this.#length += text.length
    while (this.#unread.length > MAX_UNREAD || (this.#length > MAX_UNREAD_LENGTH && this.#unread.length > 1)) {
      this.#missed += this.#drop()
    }
    this.#wake.wake()
  }

  miss (number: number, missed: number): void {
    this.#unread.push({ number, missed })
    this.#wake.wake()
  }

  /** Ignores earlier messages, which were published before it subscribed. */
  startAt (number: number): void {
    this.#start = number
    while (this.#unread.length > 0 && this.#unread[0]!.number < number) this.#drop()
  }

  fail (error: unknown): void {
    this.#error = error as Error
    this.#wake.wake()
  }

  /** Drops the oldest unread item. Returns how many messages are missed as a result. */
  #drop (): number {
    const first = this.#unread.shift()!
    if ('missed' in first) return first.missed
    this.#length -= first.text.length
    return 1
  }

  #shift (): ChannelEvent<T> | undefined {
    const [first] = this.#unread
    if (this.#missed > 0 || (first !== undefined && 'missed' in first)) {
      const missed = this.#missed + (first !== undefined && 'missed' in first ? this.#drop() : 0)
      this.#missed = 0
      return { missed }
    }
    if (first === undefined || !('text' in first)) return undefined
    this.#drop()
    return { message: json.decode(first.text) as T }
  }
}
