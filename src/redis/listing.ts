// What is asked about collections as a whole, over all nodes.
import type { Session } from './session.js'

const COUNTERS = ['keys', 'bytes', 'locks', 'waiters', 'reads', 'writes', 'expired', 'evicted', 'idle', 'maxKeys', 'maxBytes'] as const

/** All collections, or one, as engine.ts wants them told. */
export async function collections (session: Session, prefix: string, only: string | undefined): Promise<string> {
  const found = await ofEach(session, prefix, '}', only, async (name, base) => {
    const counts = await session.run<string[]>('describe', base, [])
    if (counts.length === 0) return []
    const stats = COUNTERS.map((counter, i) => [counter, Number(counts[i])] as const)
    return [{ name, ...Object.fromEntries(stats), evict: counts[COUNTERS.length] === '1' }]
  })
  return answer(found)
}

/** All locks, or those of one collection. */
export async function locks (session: Session, prefix: string, only: string | undefined): Promise<string> {
  const found = await ofEach(session, prefix, '}:locks', only, async (collection, base) => {
    const held = await session.run<string[][]>('held', base, [])
    return held.map(([key, owner, fence, since, expiresAt, waiters]) => ({
      collection,
      key,
      owner,
      fence: Number(fence),
      since: Number(since),
      expiresAt: expiresAt === '' ? undefined : Number(expiresAt),
      waiters: Number(waiters)
    }))
  })
  return answer(found)
}

/** Looks at each collection that has the key that ends so, or at one. */
async function ofEach<T> (
  session: Session, prefix: string, ending: string, only: string | undefined, look: (name: string, base: string) => Promise<T[]>
): Promise<T[]> {
  const start = `${prefix}:{c:`
  if (only !== undefined) return await look(only, `${start}${only}}`)
  const keys = await session.keys(`${start.replace(/[\\*?[\]]/g, '\\$&')}*${ending}`)
  const names = Array.from(keys, key => key.slice(start.length, -ending.length))
  const found = await Promise.all(names.map(name => look(name, `${start}${name}}`)))
  return found.flat()
}

function answer (found: unknown): string {
  return `R    ${JSON.stringify(found)}`
}
