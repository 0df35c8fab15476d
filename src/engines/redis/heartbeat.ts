// What a process has in hand: locks it holds, calls that wait, collections it uses. One timer sees to all of them.
import type { Connection } from './connection.js'
import { codeOf } from './codec.js'
import type { KeyNames } from './keys.js'
import { Sweeper } from './sweeper.js'

/** Beats in the life of a lock that is not renewed. */
const BEATS = 10
const REST = 10 //    ms at least between two looks at a collection
const PART = 100 //   locks, and calls that wait, of which one look makes sure: others each time

interface Place {
  reads: number
  /** Keys have times, or their uses are kept, as far as is known. */
  isTimed: boolean
  /** Token by key of the locks that live by signs of life. */
  held: Map<string, string>
  /** Calls that wait, by number: the key, and since when the server does not know of it, whose answer may be on its way. */
  waiting: Map<number, { key: string, who: string, missingSince: number }>
  /** What went with a node, to be given up as soon as there is one again: it may have kept it, or a replica of it. */
  gone: Gone
  /** Calls wait of which nobody wants an answer. */
  isPosted: boolean
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
  readonly #names: KeyNames
  readonly #sweeper: Sweeper
  readonly #handler: TendingHandler
  readonly #places = new Map<string, Place>()
  #timer: NodeJS.Timeout | undefined
  #planned = Infinity
  #isReferenced = true

  constructor (connection: Connection, life: number, names: KeyNames, handler: TendingHandler) {
    this.#connection = connection
    this.#life = life
    this.#names = names
    this.#sweeper = new Sweeper(connection, names.indexes)
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
    place.waiting.set(number, { key, who, missingSince: Infinity })
    this.look(collection, expiresIn)
  }

  answered (collection: string, number: number): void {
    this.#places.get(collection)?.waiting.delete(number)
  }

  /** As `wait`, of a call whose outcome nobody wants to know. */
  waitPosted (collection: string): void {
    this.#place(collection).isPosted = true
  }

  /** The answer of a script, without the sign that work was left behind, to which this process sees at once. */
  unwrap (collection: string, answer: string): string {
    if (answer.charCodeAt(0) !== 43) return answer
    this.look(collection, 0)
    return answer.slice(1)
  }

  /** Has a collection looked at in so many milliseconds, or before; 0 for at once. */
  look (collection: string, after: number): void {
    const place = this.#place(collection)
    const at = Date.now() + (after === 0 ? 0 : Math.max(REST, after + 2))
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
    const counted = [...this.#places].filter(([, { reads }]) => reads > 0)
    await Promise.all(counted.map(([collection, place]) => this.#tend(collection, place)))
  }

  /** Gives up all that is held and waited for. */
  async leave (): Promise<void> {
    this.stop()
    await Promise.all(Array.from(this.#places, async ([collection, { held, waiting }]) => {
      await this.#leave(collection, {
        held: Array.from(held, ([token, key]) => [key, token]),
        waiting: Array.from(waiting.values(), ({ who }) => who)
      })
    }))
  }

  stop (): void {
    clearTimeout(this.#timer)
    this.#sweeper.stop()
    this.#planned = -Infinity
  }

  get #beat (): number {
    return this.#life / BEATS
  }

  #place (collection: string): Place {
    let place = this.#places.get(collection)
    if (place === undefined) {
      place = { reads: 0, isTimed: false, held: new Map(), waiting: new Map(), gone: { held: [], waiting: [] }, isPosted: false, due: Date.now() + this.#beat, isAsked: false }
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
      this.#connection.doubt(error)
      if (codeOf(error) === 'STORE_DISCONNECTED') this.#lose(place, error)
      this.look(collection, this.#beat) // if the connection is over, there is no next look
    }).finally(() => { place.isAsked = false })
  }

  async #tend (collection: string, place: Place): Promise<void> {
    await this.#leave(collection, place.gone)
    const { reads } = place
    place.reads = 0
    const waiting = rotate(place.waiting)
    const asked = {
      channel: this.#connection.channel,
      life: this.#life,
      reads,
      held: rotate(place.held).map(([token, key]) => [key, token]),
      keys: [...new Set(waiting.map(([, { key }]) => key))],
      waiting: waiting.map(([, { who }]) => who)
    }
    const [next, isTimed, isInUse, ...found] = await this.#connection.run<string[]>('tend', this.#names.base(collection), [JSON.stringify(asked)])
    place.isTimed = isTimed === '1'
    place.isPosted &&= isInUse === '1'
    this.#found(place, found)
    this.#plan(collection, place, Number(next), reads > 0)
  }

  /** Gives up what is listed, part by part; what is done leaves the lists. */
  async #leave (collection: string, { held, waiting }: Gone): Promise<void> {
    while (held.length + waiting.length > 0) {
      const part: Gone = { held: held.slice(0, PART), waiting: waiting.slice(0, PART) }
      await this.#connection.run('leave', this.#names.base(collection), [JSON.stringify(part)])
      held.splice(0, PART)
      waiting.splice(0, PART)
    }
  }

  #found (place: Place, found: string[]): void {
    const now = Date.now()
    for (const entry of found) {
      const rest = entry.slice(2)
      if (entry.startsWith('L')) {
        if (place.held.delete(rest)) this.#handler.lost(rest)
        continue
      }
      const number = Number(rest.slice(rest.lastIndexOf(' ') + 1))
      const waiting = place.waiting.get(number)
      if (waiting === undefined) continue
      waiting.missingSince = Math.min(waiting.missingSince, now)
      if (now - waiting.missingSince >= this.#beat) this.#handler.unanswered(number, new Error('an answer of the server did not arrive'))
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

  /** `isRead`: keys were read since the last look, so that what is known of them is of use. */
  #plan (collection: string, place: Place, next: number, isRead: boolean): void {
    if (place.held.size + place.waiting.size + place.reads > 0 || place.isPosted || (place.isTimed && isRead)) {
      this.look(collection, Math.min(next < 0 ? Infinity : next, this.#beat))
    } else if (next === 0) {
      this.look(collection, 0)
    } else {
      this.#places.delete(collection)
    }
  }
}

/** The first entries of a map, up to PART, which become its last. */
function rotate<K, V> (map: Map<K, V>): Array<[K, V]> {
  const part: Array<[K, V]> = []
  for (const entry of map) {
    if (part.push(entry) === PART) break
  }
  if (part.length === map.size) return part
  for (const [key, value] of part) {
    map.delete(key)
    map.set(key, value)
  }
  return part
}
