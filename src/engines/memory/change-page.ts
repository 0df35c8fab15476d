// The changes in one reply to a watch, of a bounded size.
import type { ChangeType, WatchReply } from '../../core/feed-replies.js'
import type { OwnBytes } from '../../core/value.js'
import type { Entry } from './entry.js'

/** Maximum size of the keys and values in a reply, unless it has only one key. */
const MAX_REPLY_BYTES = 256 * 1024
/** Overhead of a change, besides its key and value. */
const CHANGE_BYTES = 40

export class ChangePage {
  readonly changes: WatchReply['changes'] = []
  readonly texts: OwnBytes[] = []
  /** The revision of the last change. */
  last = 0
  #bytes = 0
  constructor (readonly epoch: number, readonly values: boolean) {}

  /** Returns false if the page is full. */
  add (type: ChangeType, key: string, revision: number, entry: Entry | undefined): boolean {
    const bytes = CHANGE_BYTES + key.length + (this.values ? entry?.size ?? 0 : 0)
    if (this.#bytes > 0 && this.#bytes + bytes > MAX_REPLY_BYTES) return false
    this.#bytes += bytes
    this.addAnyway(type, key, revision, entry)
    return true
  }

  addAnyway (type: ChangeType, key: string, revision: number, entry: Entry | undefined): void {
    this.changes.push([type, key, this.epoch + revision])
    if (this.values && entry !== undefined) this.texts.push(entry.text)
    this.last = revision
  }
}

/** How many of the entries fit into a reply, at least one. */
export function bytesFit (entries: readonly Entry[], values: boolean): number {
  let bytes = 0
  const end = entries.findIndex(({ key, size }) => {
    bytes += CHANGE_BYTES + key.length + (values ? size : 0)
    return bytes > MAX_REPLY_BYTES
  })
  return end === -1 ? entries.length : Math.max(1, end)
}
