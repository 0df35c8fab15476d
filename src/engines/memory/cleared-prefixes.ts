// Clears whose keys are still being removed from memory. Reads treat keys with the prefix and a version before the
// clear as deleted. One walk over the table, in slices, removes the keys of all clears.
import type { Budget } from './agenda.js'
import type { Entry } from './entry.js'
import { keyed } from './keyed.js'
import { Table, type Page } from './table.js'

interface Pending {
  readonly prefix: string
  readonly revision: number
  /**
   * Position of the walk when this clear was added. It is done when the walk reaches the position again, or the end of
   * the table twice: a table that shrinks skips positions.
   */
  readonly start: number
  hasWrapped: boolean
  readonly ondone: Array<() => void>
}

export class ClearedPrefixes {
  #pending: Pending[] = []
  #position = 0
  /** The keys of the page at this position that the last slice did not process. */
  #rest: Page<string> | undefined
  /** The latest revision at which each prefix was cleared. */
  readonly #revisions = new Map<string, number>()
  #lengths: number[] = []
  /**
   * Keys that were locked, with the revision at which the lock ended: clears before that revision have already been
   * applied to them.
   */
  readonly #spared = new Table<{ readonly key: string, revision: number }>(keyed)

  get isDone (): boolean {
    return this.#pending.length === 0
  }

  add (prefix: string, revision: number, ondone: () => void): void {
    this.#rest = undefined // the part already passed may contain keys with the new prefix
    this.#pending.push({ prefix, revision, start: this.#position, hasWrapped: false, ondone: [ondone] })
    this.#revisions.set(prefix, revision)
    if (!this.#lengths.includes(prefix.length)) this.#lengths.push(prefix.length)
  }

  /** Calls back when all current clears are done. */
  whenDone (ondone: () => void): void {
    this.#pending.at(-1)!.ondone.push(ondone)
  }

  spare (key: string, revision: number): void {
    const spared = this.#spared.get(key)
    if (spared === undefined) this.#spared.add({ key, revision })
    else spared.revision = revision
  }

  /** Whether an unlocked entry has been cleared, at the revision `until` or before. */
  covers ({ key, version }: Entry, until = Infinity): boolean {
    for (const length of this.#lengths) {
      const prefix = key.slice(0, length)
      const latest = this.#revisions.get(prefix) // the map has no prefix that is longer than the key
      if (latest === undefined || version >= latest) continue
      const since = Math.max(version, this.#spared.get(key)?.revision ?? 0)
      if (since >= latest) continue
      if (latest <= until) return true
      const isCovered = ({ prefix: cleared, revision }: Pending): boolean => {
        return cleared === prefix && revision <= until && since < revision
      }
      if (this.#pending.some(isCovered)) return true
    }
    return false
  }

  /**
   * Continues the walk. True if the budget was spent first. `remove` removes a key if it has been cleared; it may have
   * left the table since the last slice.
   */
  run (budget: Budget, table: Table<number>, remove: (key: string) => void): boolean {
    while (!this.isDone) {
      const { values, next } = this.#rest ?? table.keyStep(this.#position)
      let isSpent = false
      for (let key; !isSpent && (key = values.pop()) !== undefined;) {
        remove(key)
        isSpent = budget.isSpent()
      }
      if (values.length > 0) {
        this.#rest = { values, next }
        break
      }
      this.#rest = undefined
      this.#position = next ?? 0
      this.#settle(next === undefined)
      if (budget.isSpent()) break
    }
    return !this.isDone
  }

  #settle (hasWrapped: boolean): void {
    const done: Pending[] = []
    this.#pending = this.#pending.filter(pending => {
      const isSecondEnd = pending.hasWrapped && hasWrapped
      pending.hasWrapped ||= hasWrapped
      if (!isSecondEnd && (!pending.hasWrapped || this.#position < pending.start)) return true
      done.push(pending)
      return false
    })
    for (const { prefix, revision } of done) {
      if (this.#revisions.get(prefix) === revision) this.#revisions.delete(prefix)
    }
    if (done.length > 0) this.#lengths = [...new Set(Array.from(this.#revisions.keys(), prefix => prefix.length))]
    for (const { ondone } of done) for (const tell of ondone) tell()
  }
}
