// How a write makes room where a collection is full.
import { Budget } from './agenda.js'
import { isOver, type Bounds } from './bounds.js'

interface Evictable {
  readonly bounds: Bounds
  readonly size: number
  readonly bytes: number
  /** Removes the least recently used; false where nothing may go. */
  evictNext (): boolean
}

/**
 * Evicts until so much more fits. A large value may take the place of very many small ones: when a slice is over, the
 * rest is left to the sweep as soon as it is this write alone that is over the bounds, or, where they were lowered,
 * the write adds nothing. True if so.
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
