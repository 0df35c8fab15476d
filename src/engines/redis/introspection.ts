// What is asked about collections as a whole, over all nodes.
import { MAX_LOCKS } from '../../core/engine.js'
import type { Connection } from './connection.js'

const COUNTERS = ['keys', 'bytes', 'locks', 'waiters', 'reads', 'writes', 'expired', 'evicted', 'idle', 'maxKeys', 'maxBytes'] as const
const SUMMED = COUNTERS.slice(0, 8)

/** All collections in one page, or one, as engine.ts wants them told. */
export async function collections (connection: Connection, prefix: string, only: string | undefined): Promise<string> {
  const collections = await ofEach(connection, prefix, '}', only, async (name, base) => {
    const counts = await connection.run<string[]>('describe', base, [])
    if (counts.length === 0) return []
    const stats = COUNTERS.map((counter, i) => [counter, Number(counts[i])] as const)
    return [{ name, ...Object.fromEntries(stats), evict: counts[COUNTERS.length] === '1' }]
  })
  return answer({ collections })
}

/** The sums over all collections. What a process would count of itself is unknown here. */
export async function stats (connection: Connection, prefix: string, maxValueBytes: number): Promise<string> {
  const { collections: found } = JSON.parse((await collections(connection, prefix, undefined)).slice(5)) as { collections: Array<Record<string, number>> }
  const sums = Object.fromEntries(SUMMED.map(counter => [counter, found.reduce((sum, counts) => sum + counts[counter]!, 0)]))
  return answer({ collections: found.length, ...sums, maxValueBytes })
}

/** All locks, or as many as `limit`. */
export async function locks (connection: Connection, prefix: string, limit = MAX_LOCKS): Promise<string> {
  const found = await ofEach(connection, prefix, '}:until', undefined, async (collection, base) => {
    const held = await connection.run<string[][]>('held', base, [String(limit)])
    return held.map(fields => lockOf(collection, fields))
  })
  return answer(found.slice(0, limit))
}

/** The lock of a key, with the first of those who wait; no text if it is not locked. */
export async function lock (connection: Connection, base: string, collection: string, key: string): Promise<string> {
  const [held, ...queue] = await connection.run<string[][]>('queue', base, [key])
  if (held === undefined) return 'R    '
  return answer({ ...lockOf(collection, held), queue: queue.map(([owner, op, since]) => ({ owner, op, since: Number(since) })) })
}

function lockOf (collection: string, [key, owner, fence, since, expiresAt, waiters]: string[]): object {
  return {
    collection,
    key,
    owner,
    fence: Number(fence),
    since: Number(since),
    expiresAt: expiresAt === '' ? undefined : Number(expiresAt),
    waiters: Number(waiters)
  }
}

/** Looks at each collection that has the key that ends so, or at one. */
async function ofEach<T> (
  connection: Connection, prefix: string, ending: string, only: string | undefined, look: (name: string, base: string) => Promise<T[]>
): Promise<T[]> {
  const start = `${prefix}:{c:`
  if (only !== undefined) return await look(only, `${start}${only}}`)
  const keys = await connection.keys(`${start.replace(/[\\*?[\]]/g, '\\$&')}*${ending}`)
  const names = Array.from(keys, key => key.slice(start.length, -ending.length))
  const found = await Promise.all(names.map(name => look(name, `${start}${name}}`)))
  return found.flat()
}

function answer (found: unknown): string {
  return `R    ${JSON.stringify(found)}`
}
