// Answers about the whole store for scoped tokens: limited to the collections they cover.
import type { FastifyRequest } from 'fastify'
import { MAX_LOCKS } from '../src/core/engine.js'
import type { CollectionStats, LockInfo, StoreStats } from '../src/core/stats.js'
import type { CollectionPage, CollectionPageOptions } from '../src/api/options.js'
import type { Store } from '../src/api/store.js'
import { identityOf } from './auth.js'

/** A page of collections. For a scoped token they are sorted by name, and the cursor is the last name. */
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

/** For a scoped token, filters one listing of the store, so with more than MAX_LOCKS locks some may be missing. */
export async function locksFor (request: FastifyRequest, store: Store, limit: number | undefined): Promise<LockInfo[]> {
  const { collections } = identityOf(request)
  if (collections === undefined) return await store.locks({ limit })
  return (await store.locks()).filter(({ collection }) => collections.has(collection)).slice(0, limit ?? MAX_LOCKS)
}

const COUNTS = ['keys', 'bytes', 'locks', 'waiters', 'reads', 'writes', 'expired', 'evicted'] as const

/** For a scoped token, without the statistics of the process that has the store. */
export async function statsFor (request: FastifyRequest, store: Store): Promise<StoreStats> {
  const { collections } = identityOf(request)
  if (collections === undefined) return await store.stats()
  const found = await statsOf(store, collections)
  const sums = Object.fromEntries(
    COUNTS.map(count => [count, found.reduce((sum, stats) => sum + stats[count], 0)])
  ) as Record<typeof COUNTS[number], number>
  return { collections: found.length, ...sums, maxValueBytes: store.maxValueBytes }
}
