// A key that has a value, and the order in which such keys were last used.
import type { Bytes } from '../../core/value.js'
import type { Deadline } from './expiry.js'

export class Entry {
  prev: Entry | undefined
  next: Entry | undefined
  /** Its absolute end, where it was written with a ttl. */
  end: Deadline | undefined

  constructor (
    readonly key: string,
    public text: Bytes,
    /** Changes of the whole keyspace up to this one: a small integer, which takes no memory of its own. */
    public version: number,
    /** Clock reading of the last use, in whole milliseconds for the same reason. */
    public used: number
  ) {}

  get bytes (): number {
    return this.key.length + this.text.length
  }
}

/** Entries from the least to the most recently used. One that is locked is in no such list. */
export class Recency {
  oldest: Entry | undefined
  #newest: Entry | undefined

  append (entry: Entry): void {
    entry.prev = this.#newest
    entry.next = undefined
    if (this.#newest === undefined) this.oldest = entry
    else this.#newest.next = entry
    this.#newest = entry
  }

  remove (entry: Entry): void {
    if (entry.prev === undefined) this.oldest = entry.next
    else entry.prev.next = entry.next
    if (entry.next === undefined) this.#newest = entry.prev
    else entry.next.prev = entry.prev
    entry.prev = entry.next = undefined
  }

  /** Moves an entry that was just used to the end. */
  refresh (entry: Entry): void {
    if (entry === this.#newest) return
    this.remove(entry)
    this.append(entry)
  }
}
