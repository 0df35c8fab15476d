// What a process has in hand: locks it holds, calls that wait, collections it uses. One timer sees to all of them.
import type { Connection } from './connection.js'
import { codeOf } from './codec.js'

/** Beats in the life of a lock that is not renewed. */
const BEATS = 10
const REST = 10 //    ms at least between two looks at a collection
const OLDEST = 200 // calls that wait of which one look makes sure

interface Place {
  reads: number
  /** Keys have times, or their uses are kept, as far as is known. */
  isTimed: boolean
  /** Token by key of the locks that live by signs of life. */
  held: Map<string, string>
  /** PendingCalls that wait: their number, key, and whether the server did not know of it when last asked. */
  waiting: Map<number, { key: string, who: string, isMissing: boolean }>
  /** What went with a node, to be given up as soon as there is one again: it may have kept it, or a replica of it. */
  gone: Gone
  due: number
  isAsked: boolean
}

/** As leave.lua takes it. */
interface Gone {
  held: Array<[key: string, token: string]>
  waiting: string[]
}

export interface TendingHandler {
  lost (token: string): void
  /** The answer to a call that waited will not arrive. */
  unanswered (number: number, error: Error): void
}

export class Heartbeat {
  readonly #connection: Connection
  readonly #life: number
  readonly #baseOf: (collection: string) => string
  readonly #handler: TendingHandler
  readonly #places = new Map<string, Place>()
  #timer: NodeJS.Timeout | undefined
  #planned = Infinity
  #isReferenced = true

  constructor (connection: Connection, life: number, baseOf: (collection: string) => string, handler: TendingHandler) {
    this.#connection = connection
    this.#life = life
    this.#baseOf = baseOf
    this.#handler = handler
    this.#wake(Date.now() + this.#beat)
  }

  /** Takes the counts of reads along when the collection is next looked at. */
  read (collection: string): void {
    this.#place(collection).reads++
  }

  /** A read has found that there is more to a key than its value. */
  time (collection: string): void {
    this.#place(collection).isTimed = true
  }

  isTimed (collection: string): boolean {
    return this.#places.get(collection)?.isTimed === true
  }

  hold (collection: string, key: string, token: string): void {
    this.#place(collection).held.set(token, key)
  }

  release (collection: string, token: string): void {
    this.#places.get(collection)?.held.delete(token)
  }

  lost (token: string): void {
    for (const { held } of this.#places.values()) held.delete(token)
  }

  /** A call waits for a lock that runs out in so many milliseconds. */
  wait (collection: string, key: string, number: number, who: string, expiresIn: number): void {
    const place = this.#place(collection)
    place.waiting.set(number, { key, who, isMissing: false })
    this.look(collection, expiresIn)
  }

  answered (collection: string, number: number): void {
    this.#places.get(collection)?.waiting.delete(number)
  }

  /** Has a collection looked at in so many milliseconds, or before. */
  look (collection: string, after: number): void {
    const place = this.#place(collection)
    const at = Date.now() + Math.max(REST, after + 2)
    if (at >= place.due) return
    place.due = at
    this.#wake(at)
  }

  /** A node of a cluster is gone: has all looked at that is in hand. */
  check (): void {
    for (const [collection, place] of this.#places) {
      if (place.held.size + place.waiting.size > 0) this.#look(collection, place)
    }
  }

  /** Whether the process is to go on until the next beat. */
  setReferenced (isReferenced: boolean): void {
    this.#isReferenced = isReferenced
    if (isReferenced) this.#timer?.ref()
    else this.#timer?.unref()
  }

  /** Counts that the server does not have yet, of all collections. */
  async flush (): Promise<void> {
    await Promise.all(Array.from(this.#places, ([collection, place]) => this.#tend(collection, place)))
  }

  /** Gives up all that is held and waited for. */
  async leave (): Promise<void> {
    this.stop()
    await Promise.all(Array.from(this.#places, async ([collection, { held, waiting }]) => {
      if (held.size + waiting.size === 0) return
      const pairs = Array.from(held, ([token, key]) => [key, token])
      const who = Array.from(waiting.values(), ({ who }) => who)
      await this.#connection.run('leave', this.#baseOf(collection), [JSON.stringify({ held: pairs, waiting: who })])
    }))
  }

  stop (): void {
    clearTimeout(this.#timer)
    this.#planned = -Infinity
  }

  get #beat (): number {
    return this.#life / BEATS
  }

  #place (collection: string): Place {
    let place = this.#places.get(collection)
    if (place === undefined) {
      place = { reads: 0, isTimed: false, held: new Map(), waiting: new Map(), gone: { held: [], waiting: [] }, due: Date.now() + this.#beat, isAsked: false }
      this.#places.set(collection, place)
    }
    return place
  }

  #wake (at: number): void {
    if (at >= this.#planned) return
    this.#planned = at
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      // What the server has said meanwhile is to be heard first, where this process was stopped or busy.
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
    for (const [collection, place] of this.#places) {
      isInUse ||= place.held.size + place.waiting.size > 0
      if (place.due <= now) this.#look(collection, place)
    }
    if (isInUse) this.#connection.probe()
    let next = now + this.#beat
    for (const { due } of this.#places.values()) next = Math.min(next, due)
    this.#wake(next)
  }

  #look (collection: string, place: Place): void {
    place.due = Infinity
    if (place.isAsked) return
    place.isAsked = true
    this.#tend(collection, place).catch((error: Error) => {
      if (codeOf(error) === 'STORE_DISCONNECTED') this.#lose(place, error)
      this.look(collection, this.#beat) // if the connection is over, there is no next look
    }).finally(() => { place.isAsked = false })
  }

  async #tend (collection: string, place: Place): Promise<void> {
    const { reads, gone } = place
    if (gone.held.length + gone.waiting.length > 0) {
      await this.#connection.run('leave', this.#baseOf(collection), [JSON.stringify(gone)])
      place.gone = { held: [], waiting: [] }
    }
    place.reads = 0
    const waiting = [...place.waiting].slice(0, OLDEST)
    const asked = {
      life: this.#life,
      reads,
      held: Array.from(place.held, ([token, key]) => [key, token]),
      keys: [...new Set(waiting.map(([, { key }]) => key))],
      waiting: waiting.map(([, { who }]) => who)
    }
    const [next, isTimed, ...found] = await this.#connection.run<string[]>('tend', this.#baseOf(collection), [JSON.stringify(asked)])
    place.isTimed = isTimed === '1'
    this.#found(place, found)
    this.#plan(collection, place, Number(next))
  }

  #found (place: Place, found: string[]): void {
    for (const entry of found) {
      const rest = entry.slice(2)
      if (entry.startsWith('L')) {
        if (place.held.delete(rest)) this.#handler.lost(rest)
        continue
      }
      const number = Number(rest.slice(rest.lastIndexOf(' ') + 1))
      const waiting = place.waiting.get(number)
      if (waiting?.isMissing === true) this.#handler.unanswered(number, new Error('an answer of the server did not arrive'))
      else if (waiting !== undefined) waiting.isMissing = true
    }
  }

  /** The node that has a collection is gone, and with it what was held and waited for there. */
  #lose ({ held, waiting, gone }: Place, error: Error): void {
    for (const [token, key] of held) {
      gone.held.push([key, token])
      this.#handler.lost(token)
    }
    held.clear()
    for (const [number, { who }] of waiting) {
      gone.waiting.push(who)
      this.#handler.unanswered(number, error)
    }
  }

  #plan (collection: string, place: Place, next: number): void {
    if (place.held.size + place.waiting.size + place.reads > 0) {
      this.look(collection, Math.min(next < 0 ? Infinity : next, this.#beat))
    } else if (next >= 0) {
      this.look(collection, next)
    } else {
      this.#places.delete(collection)
    }
  }
}
