// The entries of a collection by last use: a doubly linked list, represented by the id of its first entry, or 0. The
// `prev` of the first entry is the last one; the `next` of the last one is 0.
import { NEXT, PREV } from './entry.js'
import type { EntryPool } from './entry-pool.js'

/** Returns the first id. */
export function append (pool: EntryPool, first: number, id: number): number {
  if (first === 0) {
    pool.setWord(id, PREV, id)
    return id
  }
  const last = pool.word(first, PREV)
  pool.setWord(id, PREV, last)
  pool.setWord(last, NEXT, id)
  pool.setWord(first, PREV, id)
  return first
}

/** Returns the new first id. */
export function remove (pool: EntryPool, first: number, id: number): number {
  const prev = pool.word(id, PREV)
  const next = pool.word(id, NEXT)
  pool.setWord(id, PREV, 0)
  pool.setWord(id, NEXT, 0)
  if (next !== 0) pool.setWord(next, PREV, prev)
  if (id === first) return next
  pool.setWord(prev, NEXT, next)
  if (next === 0) pool.setWord(first, PREV, prev)
  return first
}

/** An entry in the list got another id. Returns the new first id. */
export function replace (pool: EntryPool, first: number, before: number, id: number): number {
  const next = pool.word(id, NEXT)
  if (first === before) first = id
  else pool.setWord(pool.word(id, PREV), NEXT, id)
  pool.setWord(next === 0 ? first : next, PREV, id)
  return first
}
