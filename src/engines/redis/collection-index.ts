// Lists the collections of a store in pages. A sorted index on the server, or several in a cluster, have their names.
import type { Connection } from './connection.js'
import type { KeyNames } from './keys.js'
import { scriptCall } from './script-call.js'

const COUNTERS = [
  'keys', 'bytes', 'locks', 'waiters', 'reads', 'writes', 'expired', 'evicted', 'idle', 'maxKeys', 'maxBytes',
  'near'
] as const
/** The fields that are summed over collections. */
export const SUMMED = COUNTERS.slice(0, 8)

/** Maximum number of collections that one script call describes. */
const BATCH_SIZE = 50
/** Number of indexes that are queried in parallel. */
const MAX_CONCURRENT = 16

export type Counters = Record<string, unknown> & { name: string }

export function countersOf (name: string, counts: string[]): Counters {
  const stats = COUNTERS.map((counter, i) => [counter, Number(counts[i])] as const)
  return { name, ...Object.fromEntries(stats), evict: counts[COUNTERS.length] === '1' }
}

/** The start of a page: after a collection in an index. */
interface Position {
  index: number
  base: string
}

export interface Page {
  collections: Counters[]
  /** Undefined on the last page. */
  cursor: string | undefined
}

/** A page of collections; undefined if the cursor is invalid. */
export async function pageOf (
  connection: Connection, names: KeyNames, cursor: string | undefined, limit: number
): Promise<Page | undefined> {
  let position = decode(cursor, names)
  if (position === undefined) return undefined
  const page: Counters[] = []
  while (position !== undefined && page.length < limit) {
    const { collections, next }: Found = await from(connection, names, position, limit - page.length, false)
    page.push(...collections)
    position = next
  }
  return { collections: page, cursor: position && encode(position) }
}

/** All collections, or all that have locked keys. */
export async function listAll (connection: Connection, names: KeyNames, isLocked: boolean): Promise<Counters[]> {
  const all: Counters[] = []
  let position: Position | undefined = { index: 0, base: '' }
  while (position !== undefined) {
    const { collections, next }: Found = await from(connection, names, position, BATCH_SIZE, isLocked)
    for (const collection of collections) all.push(collection)
    position = next
  }
  return all
}

interface Found {
  collections: Counters[]
  next: Position | undefined
}

/** At most `limit` collections. If only locked ones are wanted, a page may have fewer although more follow. */
async function from (
  connection: Connection, names: KeyNames, { index, base }: Position, limit: number, isLocked: boolean
): Promise<Found> {
  const indexes = names.indexes.slice(index, index + MAX_CONCURRENT)
  const page = { limit: String(Math.min(limit, BATCH_SIZE)), isLocked: isLocked ? '1' : '' }
  const batches = await Promise.all(indexes.map((name, i) =>
    connection.run<[last: string | null, ...rows: Array<[base: string, counts: string[]]>]>(
      name, scriptCall('list', { after: i === 0 ? base : '', ...page }))))
  const collections: Counters[] = []
  let before = base
  for (const [i, [last, ...rows]] of batches.entries()) {
    for (const [base, counts] of rows) {
      if (collections.length === limit) return { collections, next: { index: index + i, base: before } }
      collections.push(countersOf(names.collection(base), counts))
      before = base
    }
    if (last !== null) return { collections, next: { index: index + i, base: last } }
    before = ''
  }
  const next = index + indexes.length
  return { collections, next: next < names.indexes.length ? { index: next, base: '' } : undefined }
}

/** The prefix distinguishes these cursors from those of other engines. */
const CURSOR = /^c(\d{1,3})_([\w-]*)$/

function encode ({ index, base }: Position): string {
  return `c${index}_${Buffer.from(base).toString('base64url')}`
}

function decode (cursor: string | undefined, names: KeyNames): Position | undefined {
  if (cursor === undefined) return { index: 0, base: '' }
  const [, index, base] = CURSOR.exec(cursor) ?? []
  if (base === undefined || Number(index) >= names.indexes.length) return undefined
  return { index: Number(index), base: Buffer.from(base, 'base64url').toString() }
}
