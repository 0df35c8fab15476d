// Revokes the copies of all keys with a prefix, in slices, and waits until none can be read any more.
import type { Budget, Task } from './agenda.js'
import type { Collection } from './collection.js'
import type { Context } from './context.js'
import type { Copy } from './copies.js'
import { keyed } from './keyed.js'
import { Table } from './table.js'

export class BulkRevocation implements Task {
  slot = -1
  readonly isUrgent = true
  readonly #context: Context
  /** A walk over the first copy of each key. */
  readonly #copies: Iterator<Copy>
  /** Keys that the walk has to reach. Those that get copies after its start follow them. */
  #unseen: number
  /** The first copy of each key whose copies have not been acknowledged. */
  readonly #left = new Table<Copy>(keyed)
  /** When the last lease on their copies expires. */
  #end = 0

  /** `isClear`: see Revocations.revokeAll. */
  constructor (
    context: Context, readonly collection: Collection, readonly prefix: string, readonly isClear: boolean,
    readonly ondone: () => void
  ) {
    this.#context = context
    const copies = context.copies.of(collection)
    this.#copies = (copies ?? new Map<string, Copy>()).values()
    this.#unseen = copies?.size ?? 0
  }

  /** Whether the key is being cleared. */
  covers (collection: Collection, key: string): boolean {
    return this.isClear && this.collection === collection && key.startsWith(this.prefix)
  }

  run (budget: Budget): number | undefined {
    const { copies, clock: { now } } = this.#context
    for (let copy; (copy = this.#next()) !== undefined;) {
      const wait = copy.key.startsWith(this.prefix) ? copies.recall(this.collection, copy.key) : 0
      if (wait > 0 && this.#left.get(copy.key) === undefined) this.#left.add(copy)
      this.#end = Math.max(this.#end, now + wait)
      if (budget.isSpent()) return now
    }
    if (this.#left.size > 0 && now < this.#end) return this.#end
    this.ondone()
    return undefined
  }

  /** All copies of a key have been acknowledged. */
  freed (key: string): void {
    if (this.#left.size === 0) return
    this.#left.delete(key)
    if (this.#left.size > 0 || this.#unseen > 0) return
    this.#context.agenda.cancel(this)
    this.ondone()
  }

  #next (): Copy | undefined {
    if (this.#unseen === 0) return undefined
    this.#unseen--
    const next = this.#copies.next()
    if (next.done !== true) return next.value
    this.#unseen = 0
    return undefined
  }
}
