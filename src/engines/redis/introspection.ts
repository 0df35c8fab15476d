// What is asked about collections as a whole, in parts: over all nodes of a cluster, and so that no script takes long.
import { MAX_LOCKS, type Request } from '../../core/engine.js'
import type { Connection } from './connection.js'
import type { KeyNames } from './keys.js'

const COUNTERS = ['keys', 'bytes', 'locks', 'waiters', 'reads', 'writes', 'expired', 'evicted', 'idle', 'maxKeys', 'maxBytes'] as const
const SUMMED = COUNTERS.slice(0, 8)

/** Collections, and locks, that one script tells of. */
const COLLECTIONS_AT_A_TIME = 50
const LOCKS_AT_A_TIME = 100
const INDEXES_AT_A_TIME = 16

const OPS = ['scan', 'size', 'collections', 'locks', 'lock', 'stats'] as const satisfies Array<Request['op']>

/** Whether `introspect` answers a request. */
export function isIntrospection (op: Request['op']): boolean {
  return (OPS as readonly string[]).includes(op)
}

/** The answer to a request, as scripts give it. Counts must have been flushed before. */
export async function introspect (connection: Connection, names: KeyNames, request: Request, maxValueBytes: number): Promise<string> {
  const { op, collection, key, number } = request
  const base = names.base(collection)
  switch (op) {
    case 'scan': return await scan(connection, base, request)
    case 'size': return await size(connection, base)
    case 'lock': return await lock(connection, base, collection, key)
    case 'locks': return await locks(connection, names, number)
    case 'stats': return await stats(connection, names, maxValueBytes)
    default: return answer({ collections: key === '' ? await list(connection, names, false) : await describe(connection, base, collection) })
  }
}

async function scan (connection: Connection, base: string, { key: prefix, cursor, number = 100 }: Request): Promise<string> {
  const from = cursor === undefined ? '' : decode(cursor)
  if (from === undefined) return 'ESTORE_OPTION_INVALID'
  const [keys, last] = await connection.run<[string, string | null]>('scan', base, [from, String(number), prefix])
  return `R    {"keys":${keys}${last === null ? '' : `,"cursor":"${encode(last)}"`}}`
}

/** A cursor is the last name of a page, in base64url. What is in front of the name tells it from the cursors of other engines. */
const CURSOR = /^n([\w-]+)$/

function encode (name: string): string {
  return `n${Buffer.from(`:${name}`).toString('base64url')}`
}

/** Undefined where it is not one of these. */
function decode (cursor: string): string | undefined {
  const name = Buffer.from(CURSOR.exec(cursor)?.[1] ?? '', 'base64url').toString()
  return name.startsWith(':') ? name.slice(1) : undefined
}

async function size (connection: Connection, base: string): Promise<string> {
  for (;;) {
    const count = await connection.run<number>('size', base, [])
    if (count >= 0) return `R  ${count}  `
  }
}

type Counts = Record<string, unknown> & { name: string }

function countsOf (name: string, counts: string[]): Counts {
  const stats = COUNTERS.map((counter, i) => [counter, Number(counts[i])] as const)
  return { name, ...Object.fromEntries(stats), evict: counts[COUNTERS.length] === '1' }
}

async function describe (connection: Connection, base: string, name: string): Promise<Counts[]> {
  const counts = await connection.run<string[]>('describe', base, [])
  return counts.length === 0 ? [] : [countsOf(name, counts)]
}

/** All collections, or those with locked keys, in no order. */
async function list (connection: Connection, names: KeyNames, isLocked: boolean): Promise<Counts[]> {
  const found = new Map<string, Counts>() // as a page can have what another has had
  const ofIndex = async (index: string): Promise<void> => {
    let cursor = '0'
    do {
      const [next, ...rows] = await connection.run<[string, ...Array<[base: string, counts: string[]]>]>('list', index, [
        cursor, String(COLLECTIONS_AT_A_TIME), isLocked ? '1' : ''
      ])
      for (const [base, counts] of rows) {
        const name = names.collection(base)
        found.set(name, countsOf(name, counts))
      }
      cursor = next
    } while (cursor !== '0')
  }
  for (let i = 0; i < names.indexes.length; i += INDEXES_AT_A_TIME) {
    await Promise.all(names.indexes.slice(i, i + INDEXES_AT_A_TIME).map(ofIndex))
  }
  return [...found.values()]
}

/** The sums over all collections. What a process would count of itself is unknown here. */
async function stats (connection: Connection, names: KeyNames, maxValueBytes: number): Promise<string> {
  const found = await list(connection, names, false)
  const sums = Object.fromEntries(SUMMED.map(counter => [counter, found.reduce((sum, counts) => sum + (counts[counter] as number), 0)]))
  return answer({ collections: found.length, ...sums, maxValueBytes })
}

/** All locks, or as many as `limit`. */
async function locks (connection: Connection, names: KeyNames, limit = MAX_LOCKS): Promise<string> {
  const found: object[] = []
  for (const { name } of await list(connection, names, true)) {
    let from = '0'
    while (from !== '-1' && found.length < limit) {
      const [next, ...held] = await connection.run<[string, ...string[][]]>('held', names.base(name), [from, String(LOCKS_AT_A_TIME)])
      found.push(...held.map(fields => lockOf(name, fields)))
      from = next
    }
  }
  return answer(found.slice(0, limit))
}

/** The lock of a key, with the first of those who wait; no text if it is not locked. */
async function lock (connection: Connection, base: string, collection: string, key: string): Promise<string> {
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

function answer (found: unknown): string {
  return `R    ${JSON.stringify(found)}`
}
