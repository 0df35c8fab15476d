// What a call whose turn it is does to the value of its key.
import { Reply, type Request } from '../../core/engine.js'
import type { StoreErrorCode } from '../../core/errors.js'
import type { Bytes } from '../../core/value.js'
import { sum, windowOf } from './increment.js'
import type { Entry } from './entry.js'
import type { CollectionState } from './collection-state.js'
import type { Counters } from './counters.js'

export class Operations {
  /** What versions count on from. An entry stores the small number of changes since. */
  readonly #epoch: number
  readonly #tally: Counters
  #changes = 0

  constructor (epoch: number, public maxBytes: number, tally: Counters) {
    this.#epoch = epoch
    this.#tally = tally
  }

  versionOf (entry: Entry): number {
    return this.#epoch + entry.version
  }

  read (shelf: CollectionState, request: Request<Bytes>): Reply<Bytes> {
    shelf.reads++
    const reply = new Reply<Bytes>()
    const entry = shelf.entries.find(request.key)
    if (entry === undefined) return reply
    if (request.op !== 'peek') shelf.entries.use(entry)
    if (request.op !== 'head') reply.text = entry.text
    if (request.op !== 'get') {
      reply.version = this.versionOf(entry)
      reply.expiresIn = shelf.entries.expiresIn(entry)
    }
    return reply
  }

  /** `locked`: see Entries.put. */
  write (shelf: CollectionState, request: Request<Bytes>, locked: boolean): Reply<Bytes> {
    const entry = shelf.entries.find(request.key)
    const refusal = this.#refusal(entry, request)
    if (refusal !== undefined) return this.#refuse(request, refusal)
    const reply = new Reply<Bytes>()
    let text = request.text
    let ttl: number | null | undefined = request.ttl ?? (request.token === undefined ? null : undefined)
    if (request.op === 'increment') {
      if (request.down && entry === undefined) return Reply.of(0)
      reply.number = sum(entry?.text, request)
      if (reply.number === undefined) return this.#refuse(request, 'STORE_NOT_A_NUMBER')
      text = String(reply.number)
      ttl = windowOf(entry === undefined, reply.number, request)
    }
    if (text === undefined || text.length > this.maxBytes) return this.#refuse(request, 'STORE_VALUE_TOO_LARGE')
    const written = shelf.entries.put(request.key, entry, text, this.#changes + 1, ttl, locked)
    if (written === undefined) return this.#refuse(request, 'STORE_FULL')
    shelf.writes++
    this.#changes++
    reply.version = this.versionOf(written)
    if (request.op === 'increment') reply.expiresIn = shelf.entries.expiresIn(written)
    else if (entry === undefined) reply.number = 1
    return reply
  }

  delete (shelf: CollectionState, request: Request<Bytes>): Reply<Bytes> {
    const entry = shelf.entries.find(request.key)
    const refusal = this.#refusal(entry, request)
    if (refusal !== undefined) return this.#refuse(request, refusal)
    if (entry === undefined) return Reply.of(0)
    shelf.entries.remove(entry)
    shelf.writes++
    this.#changes++
    return Reply.of(1)
  }

  touch (shelf: CollectionState, request: Request<Bytes>): Reply<Bytes> {
    const entry = shelf.entries.find(request.key)
    if (entry === undefined) return Reply.of(0)
    shelf.entries.use(entry)
    if (request.ttl !== undefined) shelf.entries.setEnd(entry, request.ttl)
    return Reply.of(1)
  }

  #refusal (entry: Entry | undefined, { ifVersion, ifAbsent }: Request<Bytes>): StoreErrorCode | undefined {
    if (ifAbsent && entry !== undefined) return 'STORE_EXISTS'
    if (ifVersion === undefined) return undefined
    return ifVersion === (entry === undefined ? 0 : this.versionOf(entry)) ? undefined : 'STORE_VERSION_MISMATCH'
  }

  #refuse (request: Request<Bytes>, code: StoreErrorCode): Reply<Bytes> {
    this.#tally.refuse(request.op, code)
    return new Reply(code)
  }
}
