// The `watch` calls of a keyspace: the watched collections, and replies to calls.
import { Reply, type Request } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import { writeParts, type WatchReply, type WatchRequest } from '../../core/feed-replies.js'
import { asString, type Bytes, type OwnBytes } from '../../core/value.js'
import type { ChangeKind, Observer } from './changes.js'
import type { CollectionTable } from './collection-table.js'
import type { Context } from './context.js'
import type { Entries } from './entries.js'
import type { Owner } from './entry-pool.js'
import type { Caller } from './lock.js'
import type { Wakeups } from './wakeups.js'
import { LIST, WatchedCollection, type Watchable } from './watched-collection.js'

/** The base of versions: see Keyspace. */
interface Versions {
  readonly epoch: number
}

export class Watches implements Observer, Watchable {
  readonly #collections: CollectionTable
  readonly #maxWaiters: number
  readonly #versions: Versions
  readonly #watched = new Map<string, WatchedCollection>()

  constructor (
    readonly context: Context, readonly wakeups: Wakeups, versions: Versions, collections: CollectionTable,
    maxWaiters: number
  ) {
    this.#versions = versions
    this.#collections = collections
    this.#maxWaiters = maxWaiters
  }

  get epoch (): number {
    return this.#versions.epoch
  }

  /** The number of waiting calls. */
  get waiters (): number {
    return [...this.#watched.values()].reduce((sum, { waiters }) => sum + waiters, 0)
  }

  /** The number of collections with a log of changes. */
  get size (): number {
    return this.#watched.size
  }

  /** Replies immediately, or when there are changes. */
  watch (request: Request<Bytes>, caller: Caller, id: number): void {
    if (id === 0) return
    const { cursor, key } = request
    const options = optionsOf(request.text)
    if (options === undefined) {
      caller.answer(id, new Reply('STORE_OPTION_INVALID'))
      return
    }
    const target = { ...options, key }
    const watched = this.#open(request.collection)
    const answer = ({ head, texts }: { head: WatchReply, texts: OwnBytes[] }): void => {
      const reply = new Reply<Bytes>()
      reply.text = writeParts(head, texts)
      caller.answer(id, reply)
    }
    if (cursor === undefined) {
      answer(target.list === true ? watched.list(0, this.context.revision, target) : this.#now(watched))
      return
    }
    if (cursor.startsWith(LIST)) {
      const [position, since] = cursor.slice(LIST.length).split('.').map(Number)
      if (!(position! >= 0 && position! < 2 ** 32 && since! >= 0)) caller.answer(id, new Reply('STORE_OPTION_INVALID'))
      else answer(watched.list(position!, since!, target))
      return
    }
    if (!/^\d{1,16}$/.test(cursor)) {
      caller.answer(id, new Reply('STORE_OPTION_INVALID'))
      return
    }
    const after = watched.revisionOf(cursor)
    if (after === undefined) {
      const { head, texts } = this.#now(watched)
      answer({ head: { ...head, reset: true }, texts })
    } else if (request.nowait) answer(watched.changes(after, target))
    else if (caller.waiting.has(id)) throw new StoreError('STORE_PROTOCOL', `call ${id} cannot wait`)
    else if (watched.waiters >= this.#maxWaiters) caller.answer(id, new Reply('STORE_QUEUE_FULL'))
    else watched.wait(target, after, caller, id, request.stream)
  }

  changing ({ name }: Owner, key: string, kind: ChangeKind): void {
    if (kind !== 'touch') this.#watched.get(name)?.note(kind === 'cleared' ? 'del' : kind, key)
  }

  clearing (): void {} // each key is reported

  needsKeys (collection: string): boolean {
    return this.#watched.has(collection)
  }

  entriesOf (collection: string): Entries | undefined {
    return this.#collections.find(collection)
  }

  forget ({ name }: WatchedCollection): void {
    this.#watched.delete(name)
    if (this.#watched.size === 0) this.context.unobserve(this)
  }

  #open (name: string): WatchedCollection {
    const known = this.#watched.get(name)
    if (known !== undefined) {
      known.used()
      return known
    }
    if (this.#watched.size === 0) this.context.observe(this)
    const watched = new WatchedCollection(name, this)
    this.#watched.set(name, watched)
    return watched
  }

  #now (watched: WatchedCollection): { head: WatchReply, texts: OwnBytes[] } {
    const cursor = watched.cursorAt(this.context.revision)
    return { head: { changes: [], cursor, revision: Number(cursor) }, texts: [] }
  }
}

function optionsOf (text: Bytes = '{}'): WatchRequest | undefined {
  try {
    return JSON.parse(asString(text)) as WatchRequest | null ?? {}
  } catch {
    return undefined
  }
}
