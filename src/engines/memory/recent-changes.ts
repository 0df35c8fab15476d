// What has changed in a collection lately: one record for each key, in the order of its last change. So it is bounded
// by the keys that changed, not by how often they did, and everyone who follows the collection can read from the same
// log, each from their own revision on.
import type { ChangeType } from '../../core/feed-replies.js'
import { append, moveToEnd, remove } from './linked-list.js'

const MAX_RECORDS = 65_536
/** Bytes of the keys. */
const MAX_KEY_BYTES = 8 * 2 ** 20

export class ChangeRecord {
  prev: ChangeRecord | undefined
  next: ChangeRecord | undefined
  constructor (readonly key: string, public type: ChangeType, public revision: number) {}
}

export class RecentChanges {
  readonly #records = new Map<string, ChangeRecord>()
  /** Of a list. */
  #first: ChangeRecord | undefined
  #keyBytes = 0

  /** `floor`: the log is complete for all revisions after it. */
  constructor (public floor: number) {}

  add (type: ChangeType, key: string, revision: number): void {
    const record = this.#records.get(key)
    if (record === undefined) {
      const added = new ChangeRecord(key, type, revision)
      this.#records.set(key, added)
      this.#first = append(this.#first, added)
      this.#keyBytes += key.length
      while (this.#records.size > MAX_RECORDS || this.#keyBytes > MAX_KEY_BYTES) this.#dropFirst()
      return
    }
    record.type = type
    record.revision = revision
    this.#first = moveToEnd(this.#first!, record)
  }

  /** The first record after a revision. */
  after (revision: number): ChangeRecord | undefined {
    let first: ChangeRecord | undefined
    let record = this.#first?.prev
    while (record !== undefined && record.revision > revision) {
      first = record
      if (record === this.#first) break
      record = record.prev
    }
    return first
  }

  #dropFirst (): void {
    const first = this.#first!
    this.#first = remove(first, first)
    this.#records.delete(first.key)
    this.#keyBytes -= first.key.length
    this.floor = first.revision
  }
}
