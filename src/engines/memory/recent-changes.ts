// The recent changes of a collection: one record per key, in the order of the last change. Its size is bounded by the
// number of changed keys instead of changes, and all watches of the collection can read the same log, each from its
// own revision.
import type { ChangeType } from '../../core/feed-replies.js'
import { append, moveToEnd, remove } from '../../core/linked-list.js'

const MAX_RECORDS = 65_536
/** Maximum total size of the keys. */
const MAX_KEY_BYTES = 8 * 2 ** 20

export class ChangeRecord {
  prev: ChangeRecord | undefined
  next: ChangeRecord | undefined
  constructor (readonly key: string, public type: ChangeType, public revision: number) {}
}

export class RecentChanges {
  readonly #records = new Map<string, ChangeRecord>()
  /** First node of a linked list. */
  #first: ChangeRecord | undefined
  #keyBytes = 0

  /** `floor`: the log is complete after this revision. */
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
