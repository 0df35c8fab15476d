// The first records of a snapshot in the log: clears and deleted keys. Those of changed entries follow, as an entry may
// have the key of one that was deleted.
import { UNBOUNDED, type Bounds } from './bounds.js'
import type { LogWriter } from './change-log.js'
import type { Keyspace } from './keyspace.js'
import type { Slices } from './slices.js'

interface Clearing {
  readonly collection: string
  readonly prefix: string
  readonly revision: number
}

export class LogHead {
  #clearings: Clearing[] = []
  #keys = 0
  /** By collection. */
  readonly #deleted = new Map<string, Set<string>>()
  /** The names of collections whose options have changed. */
  readonly configured = new Set<string>()

  /** Number of records. */
  get size (): number {
    return this.#clearings.length + this.#keys
  }

  clear (collection: string, prefix: string, revision: number): void {
    this.#clearings.push({ collection, prefix, revision })
    if (prefix !== '') return
    this.#keys -= this.#deleted.get(collection)?.size ?? 0
    this.#deleted.delete(collection)
  }

  delete (collection: string, key: string): void {
    let keys = this.#deleted.get(collection)
    if (keys === undefined) this.#deleted.set(collection, keys = new Set())
    const before = keys.size
    keys.add(key)
    this.#keys += keys.size - before
  }

  /** Forgets everything but the options. */
  empty (): void {
    this.#clearings = []
    this.#deleted.clear()
    this.#keys = 0
  }

  /** The options at this moment. */
  boundsOf ({ collections }: Keyspace): Array<[collection: string, bounds: Bounds]> {
    return Array.from(this.configured, name => [name, collections.find(name)?.bounds ?? UNBOUNDED])
  }

  async write (writer: LogWriter, epoch: number, slices: Slices): Promise<void> {
    for (const { collection, prefix, revision } of this.#clearings) {
      writer.clear(collection, prefix, epoch + revision)
      if (slices.isOver()) await slices.next()
    }
    for (const [collection, keys] of this.#deleted) {
      for (const key of keys) {
        writer.del(collection, key)
        if (slices.isOver()) await slices.next()
      }
    }
  }
}
