// Makes room for a write in a full collection, and finds what can be evicted.
import { Budget } from './agenda.js'
import { isOver, type Bounds } from './bounds.js'
import type { Copied, Copies } from './copies.js'
import type { Entry } from './entry.js'

/** Entries that are passed over in search of one without copies. */
const MAX_PASSED = 20

interface Evictable {
  readonly bounds: Bounds
  readonly size: number
  readonly bytes: number
  /** Evicts the least recently used entry. False if there is none to evict. */
  evictNext (): boolean
}

/**
 * Evicts until the write fits. A large value may replace very many small ones, so after one slice the rest may be left
 * to the sweep: as soon as only this write exceeds the bounds, or, if the bounds were lowered, if it adds nothing.
 * True if work was left.
 */
export function evictFor (entries: Evictable, keys: number, bytes: number): boolean {
  const { bounds } = entries
  const before = { keys: entries.size, bytes: entries.bytes }
  const budget = new Budget()
  while (isOver(bounds, entries.size + keys, entries.bytes + bytes) && entries.evictNext()) {
    if (!budget.isSpent()) continue
    if (!isOver(bounds, entries.size, entries.bytes)) return true
    if (entries.size + keys <= before.keys && entries.bytes + bytes <= before.bytes) return true
  }
  return false
}

/**
 * The first entry that nobody can read a copy of. Revokes the copies of those before it: which of them is in use is
 * known when they are read again.
 */
export function firstWithoutCopy (
  entries: Iterable<Entry>, collection: Copied, { copies }: { readonly copies: Copies }
): Entry | undefined {
  let passed = 0
  for (const entry of entries) {
    if (copies.recall(collection, entry.key) === 0) return entry
    if (++passed === MAX_PASSED) return undefined
  }
  return undefined
}
