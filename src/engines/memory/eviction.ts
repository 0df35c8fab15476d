// Evicts keys to make room for a write in a full collection. Keys with copies are evicted only once those are revoked.
import { Budget } from './agenda.js'
import { isOver, type Bounds } from './bounds.js'
import type { Copied, Copies } from './copies.js'
import type { Entry } from './entry.js'

/** Maximum number of entries passed over in the search for one without copies. Their copies are revoked. */
const MAX_REVOKED = 20
/** The same for a write that cannot wait for revocations. Beyond MAX_REVOKED, copies are not revoked. */
const MAX_PASSED = 1000

interface Evictable {
  readonly bounds: Bounds
  readonly size: number
  readonly bytes: number
  /** Evicts the least recently used entry that can be evicted; false if there is none. */
  evictNext (cannotWait: boolean): boolean
}

interface Used {
  use (entry: Entry): void
}

/**
 * Evicts until the write fits. A large value may replace very many small ones, so after one slice the rest may be left
 * to the sweep: as soon as only this write exceeds the bounds, or, if the bounds were lowered, if it adds nothing.
 * Returns whether work was left.
 */
export function evictFor (entries: Evictable, keys: number, bytes: number, cannotWait: boolean): boolean {
  const { bounds } = entries
  const before = { keys: entries.size, bytes: entries.bytes }
  const budget = new Budget()
  while (isOver(bounds, entries.size + keys, entries.bytes + bytes) && entries.evictNext(cannotWait)) {
    if (!budget.isSpent()) continue
    if (!isOver(bounds, entries.size, entries.bytes)) return true
    if (entries.size + keys <= before.keys && entries.bytes + bytes <= before.bytes) return true
  }
  return false
}

/**
 * The least recently used entry without copies. Revokes the copies of the first entries passed over: if they are still
 * in use, their next reads reach the store. If an entry is found, those passed over count as used now, so that the next
 * search does not start with them.
 */
export function firstWithoutCopy (
  entries: Iterable<Entry>, collection: Copied & Used, { copies }: { readonly copies: Copies }, cannotWait: boolean
): Entry | undefined {
  const passed: Entry[] = []
  for (const entry of entries) {
    if (entry.isCopied) entry.isCopied = isCopied(copies, collection, entry.key, passed.length < MAX_REVOKED)
    if (!entry.isCopied) {
      for (const used of passed) collection.use(used)
      return entry
    }
    if (passed.push(entry) === (cannotWait ? MAX_PASSED : MAX_REVOKED)) break
  }
  for (const used of passed.slice(MAX_REVOKED)) collection.use(used)
  return undefined
}

function isCopied (copies: Copies, collection: Copied, key: string, isRevoked: boolean): boolean {
  return isRevoked ? copies.recall(collection, key) > 0 : copies.of(collection)?.has(key) === true
}
