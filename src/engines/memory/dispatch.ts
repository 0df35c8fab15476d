// The entry point for requests to the keyspace. Requests on single keys are passed on; requests on collections are
// handled here.
import { DUMP_SEPARATOR, MAX_LOCKS, Reply, type Request } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import { asString, type Bytes } from '../../core/value.js'
import { describeKeyspace, describeLock, describeQueue, describeCollection } from './describe.js'
import { Budget } from './agenda.js'
import { MAX_NEAR_MS, type Bounds } from './bounds.js'
import type { Keyspace } from './keyspace.js'
import { REVOKER, type Caller } from './lock.js'

/** Replies through `caller.answer(id, …)`: before it returns, unless the call has to wait for a locked key. */
export function dispatch (keyspace: Keyspace, request: Request<Bytes>, caller: Caller, id: number): void {
  switch (request.op) {
    case 'scan': return caller.answer(id, scan(keyspace, request))
    case 'dump': return caller.answer(id, dump(keyspace, request))
    case 'size': return size(keyspace, request, caller, id)
    case 'clear': return keyspace.clear(request, caller, id)
    case 'configure': return configure(keyspace, request, caller, id)
    case 'collections': return caller.answer(id, collections(keyspace, request))
    case 'locks': return caller.answer(id, locks(keyspace, request))
    case 'lock': return caller.answer(id, lock(keyspace, request))
    case 'ping': return ping(keyspace, request, caller, id)
    case 'watch': return keyspace.watches.watch(request, caller, id)
    case 'publish': return keyspace.channels.publish(request, caller, id)
    case 'subscribe': return keyspace.channels.subscribe(request, caller, id)
    case 'stats': return caller.answer(id, json(describeKeyspace(keyspace)))
    default: keyspace.submit(request, caller, id)
  }
}

/**
 * Maximum number of keys per page of a scan, and of collections per page of a listing: a fraction of a millisecond.
 */
const MAX_KEYS = 1000
/** Of names and values in one page of a dump, beside the last of them. */
const MAX_DUMPED_BYTES = 2 ** 18
const MAX_COLLECTIONS = 250

function scan (keyspace: Keyspace, request: Request<Bytes>): Reply<Bytes> {
  const collection = keyspace.collection(request.collection)
  const position = positionOf(request)
  if (position === undefined) return new Reply('STORE_OPTION_INVALID')
  const page = collection.page(position, limitOf(request, MAX_KEYS))
  const keys = page.values
    .filter(entry => entry.key.startsWith(request.key))
    .map(entry => {
      return [entry.key, keyspace.values.versionOf(entry), collection.expiresIn(entry) ?? null, entry.size]
    })
  return json({ keys, cursor: page.next?.toString() })
}

function dump (keyspace: Keyspace, request: Request<Bytes>): Reply<Bytes> {
  const collection = keyspace.collection(request.collection)
  const position = positionOf(request)
  if (position === undefined) return new Reply('STORE_OPTION_INVALID')
  let bytes = 0
  const page = collection.page(position, limitOf(request, MAX_KEYS), entry => (bytes += entry.bytes) > MAX_DUMPED_BYTES)
  const keys = page.values.map(entry => {
    return [entry.key, keyspace.values.versionOf(entry), entry.isTimed ? collection.expiresIn(entry) : null]
  })
  const reply = json({ keys, cursor: page.next?.toString() })
  reply.text = [reply.text, ...page.values.map(({ text }) => asString(text))].join(DUMP_SEPARATOR)
  return reply
}

/** The size of the requested page. */
function limitOf ({ number = 100 }: Request<Bytes>, max: number): number {
  return Math.min(max, Math.max(1, Math.floor(number)))
}

/** The position of a cursor; undefined if it is invalid. */
function positionOf ({ cursor = '0' }: Request<Bytes>): number | undefined {
  const position = Number(cursor)
  return Number.isInteger(position) && position >= 0 && position < 2 ** 32 ? position : undefined
}

/** Exact, unless more keys have expired than one slice removes. Waits for pending clears. */
function size (keyspace: Keyspace, request: Request<Bytes>, caller: Caller, id: number): void {
  keyspace.sweep(new Budget())
  const collection = keyspace.collection(request.collection)
  collection.whenCleared(() => { caller.answer(id, Reply.of(collection.size)) })
}

function ping (keyspace: Keyspace, { number }: Request<Bytes>, caller: Caller, id: number): void {
  if (number !== undefined) keyspace.context.copies.renew(caller, number)
  caller.answer(id, new Reply<Bytes>())
}

function configure (keyspace: Keyspace, request: Request<Bytes>, caller: Caller, id: number): void {
  const collection = keyspace.collection(request.collection)
  const { bounds } = collection
  const { idle, maxKeys, maxBytes, evict, keep, durable, near } = { ...bounds, ...parsed(request.text) }
  // The options arrive as JSON from another process: an invalid one must not reach all the others.
  const areNumbers = [idle, maxKeys, maxBytes, near].every(bound => Number.isFinite(bound) && bound >= 0)
  const areFlags = [evict, keep, durable].every(flag => typeof flag === 'boolean')
  const { durability } = keyspace.context
  // Reads of copies would not count as a use.
  const canBeNear = near === 0 || (near <= MAX_NEAR_MS && idle === 0)
  const isPossible = canBeNear && (!durable || (durability !== undefined && keep))
  if (!areNumbers || !areFlags || !isPossible) return caller.answer(id, new Reply('STORE_OPTION_INVALID'))
  const configure = (idle: number): void => {
    collection.configure({ ...collection.bounds, idle })
    durability?.configured(request.collection, bounds.keep)
    caller.answer(id, new Reply<Bytes>())
  }
  const isLess = near < bounds.near || idle !== bounds.idle
  collection.configure({ idle: bounds.idle, maxKeys, maxBytes, evict, keep, durable, near })
  // Clients know how long they may read their copies, but not that keys expire when they are not used.
  if (isLess && collection.hasCopies) keyspace.revocations.revokeAll(collection, '', false, () => { configure(idle) })
  else configure(idle)
}

function parsed (text: Bytes = '{}'): Partial<Bounds> {
  try {
    const bounds = JSON.parse(asString(text)) as Partial<Bounds> | null
    return bounds ?? {}
  } catch {
    throw new StoreError('STORE_PROTOCOL', 'the options are not JSON')
  }
}

/** Lists one page of collections, or a single one. */
function collections (keyspace: Keyspace, request: Request<Bytes>): Reply<Bytes> {
  if (request.key === '1') {
    keyspace.sweep(new Budget()) // as for the size
    const collection = keyspace.collections.find(request.collection)
    return json({ collections: collection === undefined ? [] : [describeCollection(keyspace, collection)] })
  }
  const position = positionOf(request)
  if (position === undefined) return new Reply('STORE_OPTION_INVALID')
  const page = keyspace.collections.page(position, limitOf(request, MAX_COLLECTIONS))
  const found = page.values.map(collection => describeCollection(keyspace, collection))
  return json({ collections: found, cursor: page.next?.toString() })
}

/**
 * Lists the oldest locks: a listing of a hundred thousand would block all callers. Locks of disconnected callers are
 * ended first, within a slice.
 */
function locks (keyspace: Keyspace, { number = MAX_LOCKS }: Request<Bytes>): Reply<Bytes> {
  keyspace.sweep(new Budget())
  const limit = Math.min(MAX_LOCKS, number)
  const found: object[] = []
  for (let lock = keyspace.locks.first; lock !== undefined && found.length < limit; lock = lock.next) {
    if (lock.holder !== REVOKER) found.push(describeLock(keyspace, lock))
  }
  return json(found)
}

/** No text if the key is not locked. */
function lock (keyspace: Keyspace, request: Request<Bytes>): Reply<Bytes> {
  const collection = keyspace.collections.find(request.collection)
  const lock = collection && keyspace.lockOf(collection, request.key)
  return lock === undefined || lock.holder === REVOKER ? new Reply<Bytes>() : json(describeQueue(keyspace, lock))
}

/** JSON.stringify keeps characters above 0x7f, so JSON of strings in bytes form is in bytes form too. */
function json (value: unknown): Reply<Bytes> {
  const reply = new Reply<Bytes>()
  reply.text = JSON.stringify(value)
  return reply
}
