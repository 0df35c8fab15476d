// The collections of a keyspace.
import { Collection } from './collection.js'
import type { Context } from './context.js'
import { keyed } from './keyed.js'
import { Table, type Page } from './table.js'

/** Size of a cache of recently used collections, indexed by a cheap function of the name. Most calls skip the hash. */
const CACHED = 64

export class CollectionTable {
  readonly #table = new Table<Collection>(keyed)
  /** The most recently used collection. */
  #last: Collection | undefined
  readonly #cache: Array<Collection | undefined> = Array(CACHED).fill(undefined)

  constructor (readonly context: Context) {}

  get size (): number {
    return this.#table.size
  }

  find (name: string): Collection | undefined {
    const last = this.#last
    if (last !== undefined && last.key === name) return last
    const slot = slotOf(name)
    const cached = this.#cache[slot]
    if (cached !== undefined && cached.key === name) {
      this.#last = cached
      return cached
    }
    const found = this.#table.get(name)
    if (found !== undefined) this.#cache[slot] = found
    return found
  }

  get (name: string): Collection {
    return this.find(name) ?? this.#add(name)
  }

  page (position: number, limit: number): Page<Collection> {
    return this.#table.page(position, limit)
  }

  /** All collections, in pages: the loop's body may change the table. */
  * all (): Generator<Collection> {
    for (let position: number | undefined = 0; position !== undefined;) {
      const page: Page<Collection> = this.page(position, 1000)
      yield * page.values
      position = page.next
    }
  }

  delete (collection: Collection): void {
    this.#table.delete(collection.key)
    this.context.entries.deleteOwner(collection.owner)
    this.#cache[slotOf(collection.key)] = undefined
    if (this.#last === collection) this.#last = undefined
  }

  #add (name: string): Collection {
    const collection = new Collection(name, this)
    this.#table.add(collection)
    return collection
  }
}

function slotOf (name: string): number {
  const { length } = name
  if (length === 0) return 0
  const sum = length + name.charCodeAt(0) + 7 * name.charCodeAt(length >> 1) + 31 * name.charCodeAt(length - 1)
  return sum & (CACHED - 1)
}
