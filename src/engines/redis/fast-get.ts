// Gets without a script: one plain command (HMGET) finds the value of a key, and whether the key is locked or expires.
// If so, the get is repeated through the script, and takes effect later than it was made. To keep the order, later
// calls of this process on that key are held back until the get has been sent again.
import { Reply, type Request } from '../../core/engine.js'

/**
 * The result of the plain command: the record and the lock of the key, whether the collection tracks uses, and the text
 * of a long value, if requested. See scripts/collection.ts.
 */
export type Found = [record: string | null, lock: string | null, tracked: string | null, text?: string | null]

/** Sends a call, as the plain command or to its script. */
type Go = (isPlain: boolean) => void

/** Pending plain gets of one key, or of a whole collection. */
class Unanswered {
  gets = 0
  /** One of them has to be repeated, and therefore all later ones. */
  isRepeated = false
  readonly heldBack: Go[] = []

  /** Sends the calls that were held back, in order. */
  flush (): void {
    for (const go of this.heldBack) go(false)
  }
}

export class FastGet {
  readonly #keys = new Map<string, Unanswered>()
  readonly #collections = new Map<string, Unanswered>()

  /** Sends a call as soon as it overtakes no get. A call sent as the plain command has to `leave`. */
  enter (request: Request, mayBePlain: boolean, go: Go): void {
    const { op, collection } = request
    const id = idOf(request)
    const all = this.#collections.get(collection)
    const same = this.#keys.get(id)
    const isPlain = mayBePlain && op === 'get' && request.token === undefined
    if (all !== undefined && (op === 'clear' || all.heldBack.length > 0)) {
      all.heldBack.push(go)
    } else if (same !== undefined && (!isPlain || same.isRepeated || same.heldBack.length > 0)) {
      same.heldBack.push(go)
    } else if (isPlain) {
      count(this.#collections, collection, all)
      count(this.#keys, id, same)
      go(true)
    } else {
      go(false)
    }
  }

  /** Whether the result of the plain command answers the get; if not, `repeat` sends it to its script. */
  leave (request: Request, isAnswer: boolean, repeat: () => void): boolean {
    const { collection } = request
    const id = idOf(request)
    const same = this.#keys.get(id)!
    const all = this.#collections.get(collection)!
    same.isRepeated ||= !isAnswer
    const { isRepeated } = same
    if (isRepeated) repeat()
    if (--same.gets === 0) {
      this.#keys.delete(id)
      same.flush()
    }
    if (--all.gets === 0) {
      this.#collections.delete(collection)
      all.flush()
    }
    return !isRepeated
  }
}

/** The reply to a get, if the result is sufficient. */
export function answerIn (found: Found): Reply | undefined {
  const [record, , tracked, text] = found
  if (isLocked(found)) return undefined
  const reply = new Reply()
  if (record === null) return reply
  const at = record.indexOf(' ')
  if (tracked !== null) return undefined
  if (record.startsWith(' 0 ', at)) reply.text = record.slice(at + 3)
  else if (record.startsWith(' =0 ', at) && typeof text === 'string') reply.text = text
  else return undefined
  return reply
}

/** The size of a long value that has to be read separately; 0 if something else is missing, or nothing. */
export function bytesToRead (found: Found): number {
  const [record, , tracked, text] = found
  if (record === null || tracked !== null || text !== undefined || isLocked(found)) return 0
  const at = record.indexOf(' ')
  return record.startsWith(' =0 ', at) ? Number(record.slice(at + 4)) : 0
}

export function isLocked ([, lock]: Found): boolean {
  return lock !== null
}

function idOf ({ collection, key }: Request): string {
  return `${collection.length} ${collection}${key}`
}

function count (counted: Map<string, Unanswered>, id: string, unanswered: Unanswered = new Unanswered()): void {
  if (unanswered.gets++ === 0) counted.set(id, unanswered)
}
