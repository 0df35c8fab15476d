// The numbers that stand for collection names on a connection. When all are taken, the oldest is reused.
import { NAME, SLOTS, writeControl, type Target } from './protocol.js'

export class CollectionSlots {
  readonly #slots = new Map<string, number>()
  readonly #names: string[] = []
  #next = 0

  /** The slot of a collection. Tells the store first if it is new. */
  of (collection: string, connection: Target): number {
    return this.#slots.get(collection) ?? this.#assign(collection, connection)
  }

  #assign (collection: string, connection: Target): number {
    const slot = this.#next++ % SLOTS
    if (this.#names[slot] !== undefined) this.#slots.delete(this.#names[slot])
    this.#names[slot] = collection
    this.#slots.set(collection, slot)
    writeControl(connection, NAME, slot, 0, collection)
    return slot
  }
}
