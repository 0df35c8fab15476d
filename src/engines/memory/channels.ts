// Channels: messages for current subscribers. A channel exists while it has subscriptions, one per process with
// subscribers. It buffers messages that have not been fetched yet, up to a limit; publishers never wait.
import { Reply, SUBSCRIPTION_MS, type Request } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import { writeParts, type MessageReply } from '../../core/feed-replies.js'
import { own, type Bytes, type OwnBytes } from '../../core/value.js'
import type { Task } from './agenda.js'
import type { Context } from './context.js'
import type { Caller, Waiting } from './lock.js'
import type { Wakeable, Wakeups } from './wakeups.js'

const MAX_MESSAGES = 8192
/** Maximum size of the messages in a channel's buffer, unless it holds only one. */
const MAX_BYTES = 2 ** 20
const MAX_REPLY_BYTES = 256 * 1024
/** Maximum number of messages that are sent to a subscription before it acknowledges them by a call. */
const MAX_SENT = 64
/** A caller with more unread bytes than this has to call again for the next messages. */
const MAX_UNREAD = 64 * 1024
/** Maximum number of subscriptions per channel. */
const MAX_SUBSCRIPTIONS = 65_536

/** Maximum number of subscribers per subscription. */
const MAX_COUNT = 2 ** 20

export class Channels {
  readonly #channels = new Map<string, Channel>()
  #created = 0

  constructor (
    readonly context: Context, readonly wakeups: Wakeups,
    readonly values: { readonly epoch: number, readonly maxBytes: number }
  ) {}

  /** Number of channels with subscriptions. */
  get size (): number {
    return this.#channels.size
  }

  publish ({ key, text }: Request<Bytes>, caller: Caller, id: number): void {
    if (text === undefined || text.length > this.values.maxBytes) caller.answer(id, new Reply('STORE_VALUE_TOO_LARGE'))
    else caller.answer(id, Reply.of(this.#channels.get(key)?.publish(own(text)) ?? 0))
  }

  /** Replies immediately, or when there are messages. */
  subscribe (request: Request<Bytes>, caller: Caller, id: number): void {
    const { key, token, release, number = 1 } = request
    if (token === undefined || !(number >= 0)) {
      caller.answer(id, new Reply('STORE_OPTION_INVALID'))
    } else if (release) {
      this.#channels.get(key)?.end(token)
      caller.answer(id, new Reply<Bytes>())
    } else if (id !== 0 || request.nowait) {
      if (!request.nowait && caller.waiting.has(id)) throw new StoreError('STORE_PROTOCOL', `call ${id} cannot wait`)
      this.#open(key).call(token, Math.min(Math.floor(number), MAX_COUNT), request, caller, id)
    }
  }

  forget ({ name }: Channel): void {
    this.#channels.delete(name)
  }

  #open (name: string): Channel {
    let channel = this.#channels.get(name)
    if (channel === undefined) {
      // The epoch may survive a restart, but then the revision continues as well.
      const id = this.values.epoch + this.context.revision + ++this.#created
      channel = new Channel(name, id, this)
      this.#channels.set(name, channel)
    }
    return channel
  }
}

/** The subscribers of one process. */
interface Subscription {
  count: number
  caller: Caller
  /** Number of the first message that is not acknowledged yet. */
  next: number
  /** Number of the first message that is not sent yet. */
  unsent: number
  lastUse: number
  call: WaitingCall | undefined
}

/** As a task, it ends unused subscriptions. */
class Channel implements Task, Wakeable {
  slot = -1
  readonly isUrgent = false
  readonly #host: Channels
  /** Distinguishes this channel from earlier ones with the same name. */
  readonly #id: number
  readonly #subscriptions = new Map<string, Subscription>()
  #messages: OwnBytes[] = []
  #bytes = 0
  /** Number of the next message. */
  #next = 0

  constructor (readonly name: string, id: number, host: Channels) {
    this.#id = id
    this.#host = host
  }

  /** Returns the number of current subscribers. */
  publish (text: OwnBytes): number {
    let count = 0
    let isAwaited = false
    for (const { caller, count: subscribers, call } of this.#subscriptions.values()) {
      if (!caller.hasLeft) count += subscribers
      isAwaited ||= call !== undefined
    }
    this.#host.wakeups.changed()
    this.#messages.push(text)
    this.#bytes += text.length
    this.#next++
    while (this.#messages.length > MAX_MESSAGES || (this.#bytes > MAX_BYTES && this.#messages.length > 1)) {
      this.#dropFirst()
    }
    if (isAwaited) this.#host.wakeups.wake(this)
    return count
  }

  call (token: string, count: number, { cursor, nowait, stream }: Request<Bytes>, caller: Caller, id: number): void {
    const { context: { clock, agenda } } = this.#host
    let subscription = this.#subscriptions.get(token)
    if (subscription === undefined) {
      if (this.#subscriptions.size >= MAX_SUBSCRIPTIONS) {
        caller.answer(id, new Reply('STORE_QUEUE_FULL'))
        return
      }
      subscription = { count, caller, next: this.#next, unsent: this.#next, lastUse: clock.now, call: undefined }
      this.#subscriptions.set(token, subscription)
      agenda.schedule(this, clock.now + SUBSCRIPTION_MS)
    }
    Object.assign(subscription, { count, caller, lastUse: clock.now })
    const next = cursor === undefined ? undefined : this.#numberOf(cursor)
    if (next === undefined) { // new, or its earlier position is unknown
      const missed = cursor === undefined ? {} : { missed: null }
      this.#answer(caller, id, { cursor: this.#cursorAt(this.#next), first: this.#next, ...missed }, [])
      return
    }
    subscription.next = subscription.unsent = next
    this.#trim()
    if (nowait) {
      this.#answer(caller, id, ...this.#unread(next))
      return
    }
    this.#abort(subscription)
    subscription.call = new WaitingCall(subscription, this.#host.context, caller, id, stream)
    if (next < this.#next) this.#host.wakeups.wake(this)
  }

  end (token: string): void {
    const subscription = this.#subscriptions.get(token)
    if (subscription !== undefined) this.#abort(subscription)
    this.#subscriptions.delete(token)
    this.#trim()
  }

  answer (take: (calls: number) => number): boolean {
    for (const subscription of this.#subscriptions.values()) {
      const { call, next, unsent } = subscription
      if (call === undefined || unsent === this.#next) continue
      if (take(1) === 0) return true
      const { caller, id, isStream } = call
      const [head, texts] = this.#unread(unsent)
      const end = subscription.unsent = head.first + texts.length
      const isLast = !isStream || end < this.#next || end - next >= MAX_SENT || caller.backlog > MAX_UNREAD
      if (isLast) call.withdraw()
      this.#host.wakeups.send(caller, id, replyOf(head, texts, !isLast))
    }
    return false
  }

  run (): number | undefined {
    const { now } = this.#host.context.clock
    let next = Infinity
    for (const [token, { call, lastUse }] of this.#subscriptions) {
      const end = (call === undefined ? lastUse : now) + SUBSCRIPTION_MS
      if (end <= now) this.end(token)
      else next = Math.min(next, end)
    }
    return this.#subscriptions.size === 0 ? undefined : next
  }

  #abort ({ call }: Subscription): void {
    call?.withdraw()
    call?.caller.answer(call.id, new Reply('STORE_ABORTED'))
  }

  #answer (caller: Caller, id: number, head: MessageReply, texts: OwnBytes[]): void {
    caller.answer(id, replyOf(head, texts, false))
  }

  #unread (next: number): [MessageReply, OwnBytes[]] {
    const first = Math.max(next, this.#first)
    const texts: OwnBytes[] = []
    for (let i = first - this.#first, bytes = 0; i < this.#messages.length; i++) {
      const text = this.#messages[i]!
      bytes += text.length + 1
      if (texts.length > 0 && bytes > MAX_REPLY_BYTES) break
      texts.push(text)
    }
    const missed = first > next ? { missed: first - next } : {}
    return [{ cursor: this.#cursorAt(first + texts.length), first, ...missed }, texts]
  }

  get #first (): number {
    return this.#next - this.#messages.length
  }

  #cursorAt (number: number): string {
    return `${this.#id}.${number}`
  }

  /** Undefined if the cursor belongs to another channel or an earlier instance of this one. */
  #numberOf (cursor: string): number | undefined {
    const [id, number] = cursor.split('.').map(Number)
    return id === this.#id && number! >= 0 && number! <= this.#next ? number : undefined
  }

  /** Drops messages that all subscriptions have received. */
  #trim (): void {
    if (this.#subscriptions.size === 0) {
      this.#host.context.agenda.cancel(this)
      this.#host.forget(this)
      return
    }
    if (this.#messages.length === 0) return
    const unread = Math.min(...Array.from(this.#subscriptions.values(), ({ next }) => next))
    while (this.#messages.length > 0 && this.#first < unread) this.#dropFirst()
  }

  #dropFirst (): void {
    this.#bytes -= this.#messages.shift()!.length
  }
}

function replyOf (head: MessageReply, texts: OwnBytes[], more: boolean): Reply<Bytes> {
  const reply = new Reply<Bytes>()
  reply.text = writeParts(head, texts)
  reply.more = more
  return reply
}

class WaitingCall implements Waiting {
  readonly since: number
  constructor (
    readonly subscription: Subscription, readonly context: Context, readonly caller: Caller, readonly id: number,
    readonly isStream: boolean
  ) {
    this.since = context.clock.now
    caller.waiting.set(id, this)
    if (isStream) caller.streams++
  }

  withdraw (): void {
    if (this.caller.waiting.delete(this.id) && this.isStream) this.caller.streams--
    if (this.subscription.call === this) this.subscription.call = undefined
    this.subscription.lastUse = this.context.clock.now
  }
}
