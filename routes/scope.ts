// What a token that covers some collections is told of the store as a whole: what these have.
import type { FastifyRequest } from 'fastify'
import { MAX_LOCKS } from '../src/core/engine.js'
import type { CollectionStats, LockInfo, StoreStats } from '../src/core/stats.js'
import type { CollectionPage, CollectionPageOptions } from '../src/api/options.js'
import type { Store } from '../src/api/store.js'
import { identityOf } from './auth.js'

/** A page of them. Those of a scoped token come in the order of their names, and the cursor is the last name. */
export async function collectionsFor (
  request: FastifyRequest, store: Store, { cursor, limit = 100 }: CollectionPageOptions
): Promise<CollectionPage> {
  const { collections } = identityOf(request)
  if (collections === undefined) return await store.page({ cursor, limit })
  const last = cursor === undefined ? '' : Buffer.from(cursor, 'base64url').toString()
  const left = [...collections].sort().filter(name => cursor === undefined || name > last)
  const names = left.slice(0, limit)
  const next = names.length < left.length ? Buffer.from(names.at(-1)!).toString('base64url') : undefined
  return { collections: await statsOf(store, names), cursor: next }
}

async function statsOf (store: Store, names: Iterable<string>): Promise<CollectionStats[]> {
  const found = await Promise.all(Array.from(names, name => store.collection(name).stats()))
  return found.filter(stats => stats !== undefined)
}

/** Of all locks, as many as the store tells of at a time are looked through. */
export async function locksFor (request: FastifyRequest, store: Store, limit: number | undefined): Promise<LockInfo[]> {
  const { collections } = identityOf(request)
  if (collections === undefined) return await store.locks({ limit })
  return (await store.locks()).filter(({ collection }) => collections.has(collection)).slice(0, limit ?? MAX_LOCKS)
}

const COUNTS = ['keys', 'bytes', 'locks', 'waiters', 'reads', 'writes', 'expired', 'evicted'] as const

/** Without what is known of the process that has the store, where the token does not cover all of it. */
export async function statsFor (request: FastifyRequest, store: Store): Promise<StoreStats> {
  const { collections } = identityOf(request)
  if (collections === undefined) return await store.stats()
  const found = await statsOf(store, collections)
  const sums = Object.fromEntries(COUNTS.map(count => [count, found.reduce((sum, stats) => sum + stats[count], 0)])) as Record<typeof COUNTS[number], number>
  return { collections: found.length, ...sums, maxValueBytes: store.maxValueBytes }
}
