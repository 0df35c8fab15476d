// The subscription of this process to a channel, shared by its subscribers: a single call waits in the store, and its
// replies are delivered to all subscribers.
import { randomUUID } from 'node:crypto'
import { Aborter } from '../core/abort-signals.js'
import { Request, type Engine, type Reply } from '../core/engine.js'
import type { StoreError } from '../core/errors.js'
import { readParts, type MessageReply } from '../core/feed-replies.js'
import { Backoff, isTransient } from './backoff.js'

interface Messages extends MessageReply {
  texts: string[]
}

export interface HubMember {
  /** Called with each message and its number. */
  receive (number: number, text: string): void
  /** Called before the message with this number if `missed` messages were lost. */
  miss (number: number, missed: number): void
  startAt (number: number): void
  fail (error: unknown): void
}

export class Hub {
  readonly #engine: Engine
  readonly #name: string
  readonly #ended: () => void
  readonly #members = new Set<HubMember>()
  #run: Aborter | undefined
  #token = ''

  /** `ended` is called when the last member has left. */
  constructor (engine: Engine, name: string, ended: () => void) {
    this.#engine = engine
    this.#name = name
    this.#ended = ended
  }

  /**
   * Resolves when the store has registered the member. It may receive earlier messages, up to the number in `startAt`.
   */
  async join (member: HubMember): Promise<void> {
    this.#members.add(member)
    if (this.#run === undefined) {
      const ended = this.#run = new Aborter()
      this.#token = randomUUID()
      let started!: () => void
      const isStarted = new Promise<void>(resolve => { started = resolve })
      const run = this.#follow(ended, started).catch((error: unknown) => {
        if (ended.aborted) return
        for (const member of this.#end()) member.fail(error)
        throw error
      })
      run.catch(() => {})
      await Promise.race([isStarted, run])
      return
    }
    const { first } = await this.#ask(undefined, this.#run, new Backoff())
    member.startAt(first)
  }

  leave (member: HubMember): void {
    if (!this.#members.delete(member)) return
    if (this.#members.size === 0) this.#end()
    else this.#engine.post(this.#request(undefined, false)) // updates the number that `publish` reports
  }

  #end (): HubMember[] {
    const members = [...this.#members]
    this.#members.clear()
    this.#run?.abort()
    this.#run = undefined
    const request = this.#request(undefined, false)
    request.release = true
    this.#engine.post(request)
    this.#ended()
    return members
  }

  async #follow (ended: Aborter, started: () => void): Promise<void> {
    const backoff = new Backoff()
    const position = await this.#ask(undefined, ended, backoff)
    started()
    const deliver = (messages: Messages): void => {
      if (ended.aborted) return
      const { cursor, first, missed, texts } = messages
      position.cursor = cursor
      for (const member of this.#members) {
        if (missed !== undefined) member.miss(first, missed ?? Infinity)
        for (const [i, text] of texts.entries()) member.receive(first + i, text)
      }
    }
    while (!ended.aborted) deliver(await this.#ask(position, ended, backoff, deliver))
  }

  /**
   * With `onmore`: waits for messages, and passes those of all replies but the last to it. Repeats after temporary
   * errors, unless the store was never reached.
   */
  async #ask (
    position: { cursor: string } | undefined, ended: Aborter, backoff: Backoff, onmore?: (messages: Messages) => void
  ): Promise<Messages> {
    for (;;) {
      try {
        const request = this.#request(position?.cursor, onmore !== undefined)
        request.wait = { timeout: undefined, signal: ended, scope: undefined }
        if (onmore !== undefined) {
          request.stream = true
          request.wait.onmore = reply => {
            backoff.reset()
            onmore(messagesOf(reply))
          }
        }
        const messages = messagesOf(await this.#engine.call(request))
        backoff.reset()
        return messages
      } catch (error) {
        const isUnknown = position === undefined && (error as StoreError).code === 'STORE_UNREACHABLE'
        if (isUnknown || !isTransient(error) || ended.aborted) throw error
        await backoff.pause(ended)
        if (ended.aborted) throw error
      }
    }
  }

  #request (cursor: string | undefined, waits: boolean): Request {
    const request = new Request('subscribe', '', this.#name)
    request.token = this.#token
    request.number = this.#members.size
    request.cursor = cursor
    request.nowait = !waits
    return request
  }
}

function messagesOf (reply: Reply): Messages {
  const { head, texts } = readParts<MessageReply>(reply.text)
  return Object.assign(head, { texts })
}

const hubs = new WeakMap<Engine, Map<string, Hub>>()

/** The hub shared by all subscribers of a channel in this process. */
export function hubOf (engine: Engine, name: string): Hub {
  let ofEngine = hubs.get(engine)
  if (ofEngine === undefined) hubs.set(engine, ofEngine = new Map())
  let hub = ofEngine.get(name)
  if (hub === undefined) {
    hub = new Hub(engine, name, () => { if (ofEngine.get(name) === hub) ofEngine.delete(name) })
    ofEngine.set(name, hub)
  }
  return hub
}

/** The number of channels that this process subscribes to. */
export function countHubs (engine: Engine): number {
  return hubs.get(engine)?.size ?? 0
}
