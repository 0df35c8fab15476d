// The heartbeat of this process. One timer renews its liveness in every collection in which it holds locks, waits, or
// has read keys.
import { isPoll, type Request } from '../../core/engine.js'
import { CollectionState, pageOf, type Left } from './collection-state.js'
import type { Connection } from './connection.js'
import { codeOf, isRead } from './codec.js'
import type { KeyNames } from './keys.js'
import { scriptCall } from './script-call.js'
import { Sweeper } from './sweeper.js'

/** Number of heartbeats per `life`, after which a process without heartbeats counts as dead. */
const BEATS = 10
/** Interval between heartbeats of a collection in which calls only wait for changes, in normal intervals. */
const POLL_BEATS = 3
/** The shortest interval between two heartbeats of a collection, in milliseconds. */
const MIN_INTERVAL_MS = 10

export interface HeartbeatHandler {
  lost (token: string): void
  /** The reply to a waiting call will not arrive. */
  unanswered (number: number, error: Error): void
}

export class Heartbeat {
  readonly #connection: Connection
  readonly #life: number
  readonly #names: KeyNames
  readonly #sweeper: Sweeper
  readonly #handler: HeartbeatHandler
  readonly #states = new Map<string, CollectionState>()
  #timer: NodeJS.Timeout | undefined
  /** When the timer fires; -Infinity after `stop`. */
  #planned = Infinity
  #isReferenced = true
  /** Number of marks requested: see `marked`. */
  #marks = 0

  /** `life`: milliseconds without a heartbeat after which the server considers this process dead. */
  constructor (connection: Connection, life: number, names: KeyNames, handler: HeartbeatHandler) {
    this.#connection = connection
    this.#life = life
    this.#names = names
    this.#sweeper = new Sweeper(connection, life, names.indexes)
    this.#handler = handler
    this.#wake(Date.now() + this.#interval)
  }

  /**
   * A call has succeeded. A read is reported by the next heartbeat of the collection; a lock or a subscription needs
   * heartbeats from now on. `token`: of the lock that an acquire has got.
   */
  succeeded ({ op, collection, key, detached, lease, release }: Request, token: string | undefined): void {
    if (isRead(op)) this.#state(collection).reads++
    if (op === 'subscribe' && !release) this.keepAlive(collection)
    if (op !== 'acquire') return
    if (!detached) this.#state(collection).held.set(token!, key)
    if (lease !== undefined) this.look(collection, lease)
  }

  /** A plain read was not sufficient. */
  time (collection: string): void {
    this.#state(collection).isTimed = true
  }

  isTimed (collection: string): boolean {
    return this.#states.get(collection)?.isTimed === true
  }

  release (collection: string, token: string): void {
    this.#states.get(collection)?.held.delete(token)
  }

  lost (token: string): void {
    for (const { held } of this.#states.values()) held.delete(token)
  }

  /** A call waits. `expiresIn`: milliseconds until the collection has to be visited, for example when a lease ends. */
  wait (request: Request, number: number, who: string, expiresIn: number): void {
    const { collection } = request
    const key = isPoll(request) ? undefined : request.key
    this.#state(collection).waiting.set(number, { key, who, missing: undefined })
    this.look(collection, expiresIn)
  }

  answered (collection: string, number: number): void {
    this.#states.get(collection)?.waiting.delete(number)
  }

  /**
   * Sends heartbeats until the server reports that nothing of this process is left there: for an unconfirmed call that
   * waits, or for a subscription, even while no call waits for its messages.
   */
  keepAlive (collection: string): void {
    this.#state(collection).keepAlives++
  }

  /**
   * The result of a call is unknown. Ends its wait on the server, and the lock that it may have got or failed to
   * release: this process lives on, and would keep it.
   */
  disown ({ collection, key }: Request, who: string, token: string | undefined): void {
    const { lost } = this.#state(collection)
    lost.waiting.push(who)
    if (token !== undefined) lost.held.push([key, token])
    this.look(collection, 0)
  }

  /**
   * A mark was pushed. The server pushes it after the replies to all calls of the collection that it has just reported
   * as unknown, so replies that have not arrived by now never will. In a cluster, replies of other nodes may.
   */
  marked (mark: string): void {
    const space = mark.indexOf(' ')
    const state = this.#states.get(JSON.parse(mark.slice(space + 1)) as string)
    if (state === undefined) return
    state.lastMark = Number(mark.slice(0, space))
    this.#giveUp(state)
  }

  /**
   * Strips the flag that work is left from the reply of a script. If it is set, visits the collection again
   * immediately.
   */
  unwrap (collection: string, answer: string): string {
    if (answer.charCodeAt(0) !== 43) return answer
    this.look(collection, 0)
    return answer.slice(1)
  }

  /** Sends the heartbeat of a collection within `after` milliseconds. */
  look (collection: string, after: number): void {
    const state = this.#state(collection)
    const at = Date.now() + (after === 0 ? 0 : Math.max(MIN_INTERVAL_MS, after + 2))
    if (at >= state.due) return
    state.due = at
    this.#wake(at)
  }

  /** Checks all locks and waits, after a node of a cluster was lost. */
  check (): void {
    for (const [collection, state] of this.#states) {
      if (state.isInUse) this.#look(collection, state)
    }
  }

  /** Whether the timer keeps the process alive. */
  setReferenced (isReferenced: boolean): void {
    this.#isReferenced = isReferenced
    if (isReferenced) this.#timer?.ref()
    else this.#timer?.unref()
  }

  /** Reports the reads of all collections. */
  async flush (): Promise<void> {
    const counted = [...this.#states].filter(([, { reads }]) => reads > 0)
    await Promise.all(counted.map(([collection, state]) => this.#tend(collection, state)))
  }

  /** Releases all locks and ends all waits. */
  async leave (): Promise<void> {
    this.stop()
    await Promise.all(
      Array.from(this.#states, async ([collection, state]) => { await this.#leave(collection, state.all()) })
    )
  }

  stop (): void {
    clearTimeout(this.#timer)
    this.#sweeper.stop()
    this.#planned = -Infinity
  }

  get #interval (): number {
    return this.#life / BEATS
  }

  /** Longer for collections in which calls only wait for changes, because there may be very many of these. */
  #intervalOf (state: CollectionState): number {
    return state.hasOnlyPolls ? this.#interval * POLL_BEATS : this.#interval
  }

  #state (collection: string): CollectionState {
    let state = this.#states.get(collection)
    if (state === undefined) this.#states.set(collection, state = new CollectionState(Date.now() + this.#interval))
    return state
  }

  #wake (at: number): void {
    if (at >= this.#planned) return
    this.#planned = at
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      // If this process was paused, first read what the server has sent in the meantime.
      setImmediate(() => { this.#run() })
    }, at - Date.now())
    if (!this.#isReferenced) this.#timer.unref()
  }

  #run (): void {
    if (this.#planned === -Infinity) return
    this.#planned = Infinity
    const now = Date.now()
    if (this.#connection.isEnded) return
    let isInUse = false
    for (const [collection, state] of this.#states) {
      isInUse ||= state.isInUse
      if (state.due <= now) this.#look(collection, state)
    }
    if (isInUse) this.#connection.probe()
    let next = now + this.#interval
    for (const { due } of this.#states.values()) next = Math.min(next, due)
    this.#wake(next)
  }

  #look (collection: string, state: CollectionState): void {
    state.due = Infinity
    if (state.isAsked) return
    state.isAsked = true
    this.#tend(collection, state).catch((error: Error) => {
      this.#connection.doubt(error)
      if (codeOf(error) === 'STORE_DISCONNECTED') this.#lose(state, error)
      this.look(collection, this.#interval) // if the connection has ended, `#run` does nothing
    }).finally(() => { state.isAsked = false })
  }

  async #tend (collection: string, state: CollectionState): Promise<void> {
    await this.#leave(collection, state.lost)
    const { reads, keepAlives } = state
    state.reads = 0
    const mark = ++this.#marks
    // The name is JSON because the one of a channel is no valid UTF-16, which the script could not decode.
    const named = `${mark} ${JSON.stringify(collection)}`
    const asked = { channel: this.#connection.channel, life: this.#life, reads, mark: named, ...state.page() }
    const [next, isTimed, isInUse, ...found] = await this.#connection.run<string[]>(
      this.#names.base(collection), scriptCall('tend', { asked: JSON.stringify(asked) }))
    state.isTimed = isTimed === '1'
    if (isInUse !== '1' && state.keepAlives === keepAlives) state.keepAlives = 0
    for (const entry of found) {
      const rest = entry.slice(2)
      if (entry.startsWith('G')) state.miss(rest, mark)
      else if (state.held.delete(rest)) this.#handler.lost(rest)
    }
    this.#giveUp(state)
    this.#plan(collection, state, Number(next), reads > 0)
  }

  /** Releases the listed locks and ends the listed waits, page by page, and removes them from the lists. */
  async #leave (collection: string, left: Left): Promise<void> {
    while (left.held.length + left.waiting.length > 0) {
      const base = this.#names.base(collection)
      const [held, waiting] = await this.#connection.run<[number, number]>(
        base, scriptCall('leave', { asked: JSON.stringify(pageOf(left)) }))
      left.held.splice(0, held)
      left.waiting.splice(0, waiting)
    }
  }

  #giveUp (state: CollectionState): void {
    for (const number of state.unanswered(this.#life)) {
      state.waiting.delete(number)
      this.#handler.unanswered(number, new Error('a reply of the server did not arrive'))
    }
  }

  /** The node of a collection was lost, and with it the locks and waits there. */
  #lose (state: CollectionState, error: Error): void {
    const { tokens, numbers } = state.lose()
    for (const token of tokens) this.#handler.lost(token)
    for (const number of numbers) this.#handler.unanswered(number, error)
  }

  /** `isRead`: keys were read since the last heartbeat, so knowing whether they are timed is useful. */
  #plan (collection: string, state: CollectionState, next: number, isRead: boolean): void {
    if (state.isInUse || state.reads > 0 || state.keepAlives > 0 || (state.isTimed && isRead)) {
      this.look(collection, Math.min(next < 0 ? Infinity : next, this.#intervalOf(state)))
    } else if (next === 0 || state.hasLost) {
      this.look(collection, 0)
    } else {
      this.#states.delete(collection)
    }
  }
}
