// Requests overtake each other where each has a connection of its own. This sees to it that the calls of one process reach a key
// in the order they were made: each sets off when those before it have arrived, be it that they were answered or that they
// are known to wait for a locked key.
import type { Request } from '../../core/engine.js'

/** PendingCalls that are on their way at a time; those known to wait are not counted. */
const ABREAST = 64

interface Lane {
  /** When all that was sent so far has arrived. */
  last: Promise<unknown>
  /** When what was sent through locks has. */
  held: Promise<unknown> | undefined
}

interface Lanes {
  keys: Map<string, Lane>
  /** When the last call about the whole collection has arrived. */
  whole: Promise<unknown> | undefined
}

export interface Passage {
  /** Resolves when the call may set off. */
  turn: Promise<unknown>
  /** To be told when it has arrived; more than once does no harm. */
  arrive: () => void
}

export class Sequencer {
  readonly #collections = new Map<string, Lanes>()
  #abreast = 0
  readonly #queue: Array<() => void> = []

  enter (request: Request): Passage {
    let arrive!: () => void
    const arrival = new Promise<void>(resolve => { arrive = resolve })
    switch (request.op) {
      // About no key alone, or what people look for trouble with: it is to work whatever hangs.
      case 'locks':
      case 'lock':
      case 'break':
      case 'stats':
      case 'ping':
        return { turn: Promise.resolve(), arrive }
      case 'scan':
      case 'size':
      case 'clear':
      case 'configure':
      case 'collections':
        return { turn: this.#enterWhole(request, arrival), arrive }
      default:
        return { turn: this.#enterKey(request, arrival), arrive }
    }
  }

  #enterKey ({ op, collection, key, token }: Request, arrival: Promise<void>): Promise<unknown> {
    const lanes = this.#lanes(collection)
    let lane = lanes.keys.get(key)
    if (lane === undefined) lanes.keys.set(key, lane = { last: lanes.whole ?? Promise.resolve(), held: undefined })
    // What comes through a lock waits for nobody but the same: others may be waiting for that lock.
    const isHeld = token !== undefined && op !== 'acquire'
    const before = isHeld ? lane.held ?? Promise.resolve() : lane.last
    const last = lane.last = isHeld ? Promise.all([lane.last, arrival]) : arrival
    if (isHeld) lane.held = arrival
    last.then(() => {
      if (lane.last !== last) return
      lanes.keys.delete(key)
      this.#tidy(collection, lanes)
    }, () => {})
    return isHeld ? before : before.then(() => this.#abreastOf(arrival))
  }

  #enterWhole ({ op, collection }: Request, arrival: Promise<void>): Promise<unknown> {
    const lanes = this.#lanes(collection)
    const before = Promise.all([lanes.whole, ...Array.from(lanes.keys.values(), lane => lane.last)])
    if (op === 'clear' || op === 'configure') {
      const whole = lanes.whole = arrival
      lanes.keys.clear() // who comes to a key now comes behind this, which is behind all of them
      whole.then(() => {
        if (lanes.whole !== whole) return
        lanes.whole = undefined
        this.#tidy(collection, lanes)
      }, () => {})
    }
    return before
  }

  #lanes (collection: string): Lanes {
    let lanes = this.#collections.get(collection)
    if (lanes === undefined) this.#collections.set(collection, lanes = { keys: new Map(), whole: undefined })
    return lanes
  }

  #tidy (collection: string, lanes: Lanes): void {
    if (lanes.keys.size === 0 && lanes.whole === undefined && this.#collections.get(collection) === lanes) this.#collections.delete(collection)
  }

  async #abreastOf (arrival: Promise<void>): Promise<void> {
    if (this.#abreast < ABREAST) this.#abreast++
    else await new Promise<void>(resolve => { this.#queue.push(resolve) })
    arrival.then(() => {
      const next = this.#queue.shift()
      if (next === undefined) this.#abreast--
      else next()
    }, () => {})
  }
}
