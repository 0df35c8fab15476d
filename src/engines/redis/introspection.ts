// Requests about whole collections, in parts: over all nodes of a cluster, and so that no script runs for long.
import { DUMP_SEPARATOR, MAX_LOCKS, type Request } from '../../core/engine.js'
import { SUMMED, countersOf, listAll, pageOf } from './collection-index.js'
import type { Connection } from './connection.js'
import type { Heartbeat } from './heartbeat.js'
import type { KeyNames } from './keys.js'
import { scriptCall } from './script-call.js'

/** Maximum number of locks that one script call describes. */
const LOCKS_AT_A_TIME = 100
/** Maximum number of keys and of collections per page, and of bytes of values in a page of a dump but its last step. */
const MAX_KEYS = 1000
const MAX_COLLECTIONS = 250
const MAX_DUMPED_BYTES = 2 ** 18

const OPS = [
  'scan', 'dump', 'size', 'collections', 'locks', 'lock', 'stats', 'ping'
] as const satisfies Array<Request['op']>

/** Whether `introspect` handles a request. */
export function isIntrospection (op: Request['op']): boolean {
  return (OPS as readonly string[]).includes(op)
}

/** The reply to a request, in the format of the scripts. */
export async function introspect (
  connection: Connection, heartbeat: Heartbeat, names: KeyNames, request: Request, maxValueBytes: number
): Promise<string> {
  const { op, collection, key, number } = request
  const base = names.base(collection)
  if (op === 'collections' || op === 'stats') await heartbeat.flush()
  switch (op) {
    case 'ping': return await connection.ping()
    case 'scan':
    case 'dump': return await scan(connection, base, request)
    case 'size': return await size(connection, base)
    case 'lock': return await lock(connection, base, collection, key)
    case 'locks': return await locks(connection, names, number)
    case 'stats': return await stats(connection, names, maxValueBytes)
    default: return await collections(connection, names, request)
  }
}

/** A page of keys, in steps; with their values for a dump. */
async function scan (
  connection: Connection, base: string, { op, key: prefix, cursor, number }: Request
): Promise<string> {
  let last: string | null | undefined = cursor === undefined ? '' : decode(cursor)
  if (last === undefined) return 'ESTORE_OPTION_INVALID'
  const isDump = op === 'dump' ? DUMP_SEPARATOR : ''
  const page: string[] = []
  let values = ''
  for (let left = limitOf(number, MAX_KEYS); last !== null && left > 0 && values.length < MAX_DUMPED_BYTES;) {
    const [keys, next, examined, ...texts]: [string, string | null, number, ...string[]] = await connection.run(
      base, scriptCall('scan', { after: last, limit: String(left), prefix, isDump })
    )
    if (keys !== '') page.push(keys)
    for (const text of texts) values += DUMP_SEPARATOR + text
    last = next
    left -= examined
  }
  return `R    {"keys":[${page.join()}]${last === null ? '' : `,"cursor":"${encode(last)}"`}}${values}`
}

function limitOf (number = 100, most: number): number {
  return Math.min(most, Math.max(1, Math.floor(number)))
}

/**
 * A cursor is the last name of a page, in base64url. Its prefix distinguishes it from the cursors of other engines.
 */
const CURSOR = /^n([\w-]+)$/

function encode (name: string): string {
  return `n${Buffer.from(`:${name}`).toString('base64url')}`
}

/** Undefined if it is not such a cursor. */
function decode (cursor: string): string | undefined {
  const name = Buffer.from(CURSOR.exec(cursor)?.[1] ?? '', 'base64url').toString()
  return name.startsWith(':') ? name.slice(1) : undefined
}

async function size (connection: Connection, base: string): Promise<string> {
  for (;;) {
    const count = await connection.run<number>(base, scriptCall('size', {}))
    if (count >= 0) return `R  ${count}  `
  }
}

async function collections (
  connection: Connection, names: KeyNames, { collection, key, cursor, number }: Request
): Promise<string> {
  if (key === '1') {
    const counts = await connection.run<string[]>(names.base(collection), scriptCall('describe', {}))
    return answer({ collections: counts.length === 0 ? [] : [countersOf(collection, counts)] })
  }
  const page = await pageOf(connection, names, cursor, limitOf(number, MAX_COLLECTIONS))
  return page === undefined ? 'ESTORE_OPTION_INVALID' : answer(page)
}

/** The sums over all collections. Statistics of a process do not exist here. */
async function stats (connection: Connection, names: KeyNames, maxValueBytes: number): Promise<string> {
  const found = await listAll(connection, names, false)
  const sums = Object.fromEntries(
    SUMMED.map(counter => [counter, found.reduce((sum, counts) => sum + (counts[counter] as number), 0)])
  )
  return answer({ collections: found.length, ...sums, maxValueBytes })
}

/** All locks, at most `limit`. */
async function locks (connection: Connection, names: KeyNames, limit = MAX_LOCKS): Promise<string> {
  const found: object[] = []
  for (const { name } of await listAll(connection, names, true)) {
    let from: string | null = ''
    while (from !== null && found.length < limit) {
      const [next, ...held]: [string | null, ...string[][]] = await connection.run(
        names.base(name), scriptCall('held', { after: from, limit: String(LOCKS_AT_A_TIME) })
      )
      found.push(...held.map(fields => lockOf(name, fields)))
      from = next
    }
  }
  return answer(found.slice(0, limit))
}

/** The lock of a key, with the first waiters; no text if it is not locked. */
async function lock (connection: Connection, base: string, collection: string, key: string): Promise<string> {
  const [held, ...queue] = await connection.run<string[][]>(base, scriptCall('queue', { key }))
  if (held === undefined) return 'R    '
  return answer(
    {
      ...lockOf(collection, held),
      queue: queue.map(([owner, op, since]) => ({ owner: ownerOf(owner!), op, since: Number(since) }))
    }
  )
}

/** The owner of a waiting call without a label: the pid, with which the id in the channel of its process begins. */
function ownerOf (name: string): string {
  const pid = /:([\da-f]{8})(?:-[\da-f]{4}){3}-[\da-f]{12}[01]$/.exec(name)?.[1]
  return pid === undefined ? name : `pid ${Number.parseInt(pid, 16)}`
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
