// Gets without a script: one plain command (HMGET) finds the value of a key, and whether the key is locked or expires.
// If so, the get is repeated through the script, and takes effect later than it was made. To keep the order, a get
// whose result is still unknown is repeated before a later call that could change the result is sent: no call has to
// wait for the result of another.
import { Reply, type Op, type Request } from '../../core/engine.js'
import type { RedisCall } from './call.js'

/**
 * The result of the plain command: the record and the lock of the key, whether the collection tracks uses, and the text
 * of a long value, if requested. See scripts/collection.ts.
 */
export type Found = [record: string | null, lock: string | null, tracked: string | null, text?: string | null]

/** Called with the result of a plain read, or the error. */
export type Reader = (found: Found | undefined, error: Error | undefined) => void

/** Requests that can change any key of their collection. */
const OF_ALL_KEYS: readonly Op[] = ['clear', 'configure']

/** What reads a key by the plain command. */
interface Source {
  read (base: string, key: string, reader: Reader): void
}

/** Gets of one key. */
type Gets = Set<RedisCall>

export interface GetHandler {
  answered (call: RedisCall, reply: Reply): void
  failed (call: RedisCall, error: Error): void
  /** Keys of this collection expire, or their uses are tracked. */
  timed (collection: string): void
  /** Sends a get to its script. */
  repeat (call: RedisCall): void
}

export class FastGet {
  /** The plain gets whose results are unknown, by key, in the order in which they were made. */
  readonly #unknown = new Map<string, Gets>()
  readonly #handler: GetHandler

  constructor (handler: GetHandler) {
    this.#handler = handler
  }

  /** Sends a get as the plain command. */
  read (connection: Source, base: string, call: RedisCall): void {
    const { request, request: { collection, key } } = call
    const id = idOf(request)
    let gets = this.#unknown.get(id)
    if (gets === undefined) this.#unknown.set(id, gets = new Set())
    gets.add(call)
    connection.read(base, key, (found, error) => {
      if (!gets.has(call)) return // it was repeated, or the connection is lost
      const reply = found && answerIn(found)
      if (found !== undefined && reply === undefined) {
        if (!isLocked(found)) this.#handler.timed(collection)
        this.repeatBefore(request) // with the other gets of this key, which may have read an older value
        return
      }
      gets.delete(call)
      if (gets.size === 0) this.#unknown.delete(id)
      if (reply !== undefined) this.#handler.answered(call, reply)
      else this.#handler.failed(call, error!)
    })
  }

  /** Repeats the gets that a request would overtake, in their order. */
  repeatBefore (request: Request): void {
    if (this.#unknown.size === 0) return
    if (!OF_ALL_KEYS.includes(request.op)) return this.#repeat(idOf(request))
    const prefix = prefixOf(request)
    for (const id of this.#unknown.keys()) if (id.startsWith(prefix)) this.#repeat(id)
  }

  /** The connection is lost. */
  clear (): void {
    for (const gets of this.#unknown.values()) gets.clear()
    this.#unknown.clear()
  }

  #repeat (id: string): void {
    const gets = this.#unknown.get(id)
    if (gets === undefined) return
    this.#unknown.delete(id)
    const calls = [...gets]
    gets.clear()
    for (const call of calls) this.#handler.repeat(call)
  }
}

/** The reply to a get, if the result is sufficient. */
function answerIn (found: Found): Reply | undefined {
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

function isLocked ([, lock]: Found): boolean {
  return lock !== null
}

function idOf (request: Request): string {
  return prefixOf(request) + request.key
}

function prefixOf ({ collection }: Request): string {
  return `${collection.length} ${collection}`
}
