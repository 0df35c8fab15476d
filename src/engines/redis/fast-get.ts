// Gets that do without a script: one plain command tells the value of a key, and whether there is more to it, as it is locked or
// has a time. Then the script is asked, and later than the get was; so what this process says of that key meanwhile comes behind.
import { Reply, type Request } from '../../core/engine.js'

/** What the plain command finds: of the key its record and its lock, and whether uses are kept. See scripts/collection.ts. */
export type Found = [record: string | null, lock: string | null, tracked: string | null]

/** Sends a call off: as the plain command, or to its script. */
type Go = (isPlain: boolean) => void

/** Plain gets that are not answered yet, of one key or of a whole collection. */
class Lane {
  gets = 0
  /** One of them has to be asked for again: so have those behind it. */
  isLate = false
  readonly behind: Go[] = []

  /** What came behind goes on, in its order. */
  flush (): void {
    for (const go of this.behind) go(false)
  }
}

export class FastGet {
  readonly #keys = new Map<string, Lane>()
  readonly #collections = new Map<string, Lane>()

  /** Lets a call go, once it overtakes no get. One that went as the plain command has to `leave`. */
  enter (request: Request, mayBePlain: boolean, go: Go): void {
    const { op, collection } = request
    const id = idOf(request)
    const all = this.#collections.get(collection)
    const lane = this.#keys.get(id)
    const isPlain = mayBePlain && op === 'get' && request.token === undefined
    if (all !== undefined && (op === 'clear' || all.behind.length > 0)) {
      all.behind.push(go)
    } else if (lane !== undefined && (!isPlain || lane.isLate || lane.behind.length > 0)) {
      lane.behind.push(go)
    } else if (isPlain) {
      count(this.#collections, collection, all)
      count(this.#keys, id, lane)
      go(true)
    } else {
      go(false)
    }
  }

  /** Whether a get that went as the plain command is answered by what that found; `again` asks its script. */
  leave (request: Request, isAnswer: boolean, again: () => void): boolean {
    const { collection } = request
    const id = idOf(request)
    const lane = this.#keys.get(id)!
    const all = this.#collections.get(collection)!
    lane.isLate ||= !isAnswer
    const { isLate } = lane
    if (isLate) again()
    if (--lane.gets === 0) {
      this.#keys.delete(id)
      lane.flush()
    }
    if (--all.gets === 0) {
      this.#collections.delete(collection)
      all.flush()
    }
    return !isLate
  }
}

/** What a get is answered, if that is to be told from this alone. */
export function answerIn (found: Found): Reply | undefined {
  const [record, , tracked] = found
  if (isLocked(found)) return undefined
  const reply = new Reply()
  if (record === null) return reply
  const at = record.indexOf(' ')
  if (tracked !== null || !record.startsWith(' 0 ', at)) return undefined
  reply.text = record.slice(at + 3)
  return reply
}

export function isLocked ([, lock]: Found): boolean {
  return lock !== null
}

function idOf ({ collection, key }: Request): string {
  return `${collection.length} ${collection}${key}`
}

function count (lanes: Map<string, Lane>, id: string, lane: Lane = new Lane()): void {
  if (lane.gets++ === 0) lanes.set(id, lane)
}
