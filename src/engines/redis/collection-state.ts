// The locks and waiting calls of this process in one collection, and when its next heartbeat there is due.

/** Maximum number of locks, and of waiting calls, checked by one heartbeat. The next heartbeat checks the next ones. */
const PAGE = 100

/** A call that waits in a queue on the server. */
interface Waiting {
  /** Undefined if the call waits for changes or messages. */
  key: string | undefined
  /** Its name on the server. */
  who: string
  /**
   * The first mark requested after the server no longer knew the call, and when it was requested (ms since the epoch).
   */
  missing: { mark: number, since: number } | undefined
}

/** The format of the script `leave`. */
export interface Left {
  held: Array<[key: string, token: string]>
  waiting: string[]
}

export class CollectionState {
  /** Reads since the last heartbeat. */
  reads = 0
  /** Some keys have a ttl, or uses are tracked, as far as this process knows: a plain read is not enough. */
  isTimed = false
  /** Reasons for heartbeats besides `held` and `waiting`, counted; 0 once the server reports that none is left. */
  keepAlives = 0
  /** Milliseconds since the epoch. */
  due: number
  isAsked = false
  /** The last mark that has arrived. */
  lastMark = 0
  /** The keys, by token, of the locks that depend on this process's heartbeats. */
  readonly held = new Map<string, string>()
  /** By the call's number. */
  readonly waiting = new Map<number, Waiting>()
  /** Lost by this process, but perhaps not by the server: to be ended there. */
  readonly lost: Left = { held: [], waiting: [] }

  constructor (due: number) {
    this.due = due
  }

  /** Whether the process holds a lock here, or waits for one. */
  get isInUse (): boolean {
    return this.held.size + this.waiting.size > 0
  }

  get hasLost (): boolean {
    return this.lost.held.length + this.lost.waiting.length > 0
  }

  /** Whether it holds no locks, and its calls only wait for changes or messages. */
  get hasOnlyPolls (): boolean {
    if (this.held.size > 0) return false
    for (const { key } of this.waiting.values()) if (key !== undefined) return false
    return this.waiting.size > 0
  }

  /** What the next heartbeat checks. */
  page (): { held: Array<[key: string, token: string]>, keys: string[], waiting: string[] } {
    const waiting = rotate(this.waiting)
    return {
      held: rotate(this.held).map(([token, key]) => [key, token]),
      keys: [...new Set(waiting.flatMap(([, { key }]) => key ?? []))],
      waiting: waiting.map(([, { who }]) => who)
    }
  }

  /** All locks and waiting calls. */
  all (): Left {
    return {
      held: Array.from(this.held, ([token, key]) => [key, token]),
      waiting: Array.from(this.waiting.values(), ({ who }) => who)
    }
  }

  /** The server no longer knows a waiting call: its reply will arrive before the mark, or is lost. */
  miss (who: string, mark: number): void {
    const waiting = this.waiting.get(Number(who.slice(who.lastIndexOf(' ') + 1)))
    if (waiting !== undefined) waiting.missing ??= { mark, since: Date.now() }
  }

  /**
   * The numbers of calls whose reply is lost: the mark has arrived without it, or not within `maxWait` milliseconds.
   */
  unanswered (maxWait: number): number[] {
    const limit = Date.now() - maxWait
    const found: number[] = []
    for (const [number, { missing }] of this.waiting) {
      if (missing !== undefined && (missing.mark <= this.lastMark || missing.since < limit)) found.push(number)
    }
    return found
  }

  /** Marks all locks and waiting calls as lost. */
  lose (): { tokens: string[], numbers: number[] } {
    const lost = { tokens: [...this.held.keys()], numbers: [...this.waiting.keys()] }
    this.lost.held.push(...this.all().held)
    this.held.clear()
    this.waiting.clear()
    return lost
  }
}

/** The part of a list that one script call processes. */
export function pageOf ({ held, waiting }: Left): Left {
  return { held: held.slice(0, PAGE), waiting: waiting.slice(0, PAGE) }
}

/** The first page of entries of a map, which are moved to its end. */
function rotate<K, V> (map: Map<K, V>): Array<[K, V]> {
  const page: Array<[K, V]> = []
  for (const entry of map) {
    if (page.push(entry) === PAGE) break
  }
  if (page.length === map.size) return page
  for (const [key, value] of page) {
    map.delete(key)
    map.set(key, value)
  }
  return page
}
