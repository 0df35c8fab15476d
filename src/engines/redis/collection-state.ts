// What this process has in one collection: its locks, its waiting calls, and when its next heartbeat there is due.

/** Locks, and waiting calls, that one look checks: the next look takes the next ones. */
const PAGE = 100

/** A call that waits in a queue on the server. */
interface Waiting {
  /** None of a call that waits for changes or messages. */
  key: string | undefined
  /** What the server calls it. */
  who: string
  /**
   * The first mark that was asked for after the server no longer knew of the call, and when that was (ms since the
   * epoch).
   */
  missing: { mark: number, since: number } | undefined
}

/** As the script `leave` takes it. */
export interface Left {
  held: Array<[key: string, token: string]>
  waiting: string[]
}

export class CollectionState {
  /** Reads since the last look. */
  reads = 0
  /** Some keys have a ttl, or uses are tracked, as far as is known: a plain read is not enough. */
  isTimed = false
  /** Calls wait that were not confirmed. */
  isPosted = false
  /** Milliseconds since the epoch. */
  due: number
  isAsked = false
  /** Key by token, of the locks that depend on this process's signs of life. */
  readonly held = new Map<string, string>()
  /** By the call's number. */
  readonly waiting = new Map<number, Waiting>()
  /** What was lost with a node of a cluster: that node, or its replica, may come back with it. */
  readonly lost: Left = { held: [], waiting: [] }

  constructor (due: number) {
    this.due = due
  }

  /** Whether the process holds a lock here, or waits for one. */
  get isInUse (): boolean {
    return this.held.size + this.waiting.size > 0
  }

  /** Whether it holds nothing, and its calls wait for nothing but changes or messages. */
  get hasOnlyPolls (): boolean {
    if (this.held.size > 0) return false
    for (const { key } of this.waiting.values()) if (key !== undefined) return false
    return this.waiting.size > 0
  }

  /** What the next look is about. */
  page (): { held: Array<[key: string, token: string]>, keys: string[], waiting: string[] } {
    const waiting = rotate(this.waiting)
    return {
      held: rotate(this.held).map(([token, key]) => [key, token]),
      keys: [...new Set(waiting.flatMap(([, { key }]) => key ?? []))],
      waiting: waiting.map(([, { who }]) => who)
    }
  }

  /** All that is held and waited for. */
  all (): Left {
    return {
      held: Array.from(this.held, ([token, key]) => [key, token]),
      waiting: Array.from(this.waiting.values(), ({ who }) => who)
    }
  }

  /** The server does not know of a call that waits: its answer is on its way, ahead of the mark, or lost. */
  miss (who: string, mark: number): void {
    const waiting = this.waiting.get(Number(who.slice(who.lastIndexOf(' ') + 1)))
    if (waiting !== undefined) waiting.missing ??= { mark, since: Date.now() }
  }

  /**
   * The numbers of calls whose answer is lost: the mark behind it has arrived, or has not for `maxWait` milliseconds.
   */
  unanswered (lastMark: number, maxWait: number): number[] {
    const limit = Date.now() - maxWait
    const found: number[] = []
    for (const [number, { missing }] of this.waiting) {
      if (missing !== undefined && (missing.mark <= lastMark || missing.since < limit)) found.push(number)
    }
    return found
  }

  /** Moves all that is held and waited for to what is lost. */
  lose (): { tokens: string[], numbers: number[] } {
    const { held, waiting } = this.all()
    const lost = { tokens: [...this.held.keys()], numbers: [...this.waiting.keys()] }
    this.lost.held.push(...held)
    this.lost.waiting.push(...waiting)
    this.held.clear()
    this.waiting.clear()
    return lost
  }
}

/** The part of a list that one script takes. */
export function pageOf ({ held, waiting }: Left): Left {
  return { held: held.slice(0, PAGE), waiting: waiting.slice(0, PAGE) }
}

/** The first entries of a map, a page of them, which become its last. */
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
