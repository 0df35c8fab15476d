// Where a request enters the keyspace, from whichever side. Those about one key pass through; those about collections
// as a whole are answered here.
import { MAX_LOCKS, Reply, Request } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import type { Bytes } from '../../core/value.js'
import { describeKeyspace, describeLock, describeQueue, describeCollection } from './describe.js'
import type { Bounds } from './entries.js'
import { Budget } from './expiry.js'
import type { Keyspace } from './keyspace.js'
import { Caller } from './lock.js'

/** Answers through `caller.answer(id, …)`: before this returns, unless it has to wait for a locked key. */
export function dispatch (keyspace: Keyspace, request: Request<Bytes>, caller: Caller, id: number): void {
  switch (request.op) {
    case 'scan': return caller.answer(id, scan(keyspace, request))
    case 'size': return caller.answer(id, size(keyspace, request))
    case 'clear': return clear(keyspace, request, caller, id)
    case 'configure': return caller.answer(id, configure(keyspace, request))
    case 'collections': return caller.answer(id, collections(keyspace, request))
    case 'locks': return caller.answer(id, locks(keyspace, request))
    case 'lock': return caller.answer(id, lock(keyspace, request))
    case 'ping': return caller.answer(id, new Reply<Bytes>())
    case 'stats': return caller.answer(id, json(describeKeyspace(keyspace)))
    default: keyspace.submit(request, caller, id)
  }
}

/** Keys in one page of a scan, at most. */
const MAX_PAGE = 1000

function scan (keyspace: Keyspace, request: Request<Bytes>): Reply<Bytes> {
  const { entries } = keyspace.shelf(request.collection)
  const limit = Math.min(MAX_PAGE, Math.max(1, Math.floor(request.number ?? 100)))
  const position = Number(request.cursor ?? 0)
  if (!Number.isInteger(position) || position < 0 || position >= 2 ** 32) return new Reply('STORE_OPTION_INVALID')
  const page = entries.page(position, limit)
  const keys = page.values
    .filter(entry => entry.key.startsWith(request.key))
    .map(entry => [entry.key, keyspace.values.versionOf(entry), entries.expiresIn(entry) ?? null, entry.text.length])
  return json({ keys, cursor: page.next?.toString() })
}

/** Exact, unless more is past its time than one slice of the sweep removes. */
function size (keyspace: Keyspace, request: Request<Bytes>): Reply<Bytes> {
  keyspace.sweep(new Budget())
  return Reply.of(keyspace.shelf(request.collection).entries.size)
}

function clear (keyspace: Keyspace, request: Request<Bytes>, caller: Caller, id: number): void {
  const shelf = keyspace.shelf(request.collection)
  if (request.nowait) keyspace.sweep(new Budget()) // locks of who is gone
  else if (!keyspace.hasRoom(shelf)) return caller.answer(id, new Reply('STORE_QUEUE_FULL'))
  shelf.entries.clear(shelf.locks.keys())
  keyspace.wake()
  if (request.nowait) return caller.answer(id, new Reply(shelf.locks.size > 0 ? 'STORE_LOCKED' : undefined))
  const left = new Countdown(shelf.locks.size, () => { caller.answer(id, new Reply<Bytes>()) })
  for (const lock of shelf.locks.values()) lock.enqueue(new Request('del', shelf.name, lock.key), left, 0, keyspace.clock.now)
}

function configure (keyspace: Keyspace, request: Request<Bytes>): Reply<Bytes> {
  const { entries } = keyspace.shelf(request.collection)
  const { bounds } = entries
  const { idle = bounds.idle, maxKeys = bounds.maxKeys, maxBytes = bounds.maxBytes, evict = bounds.evict } = parsed(request.text)
  // It came as text from another process, and what is no number here would reach all the others.
  if (![idle, maxKeys, maxBytes].every(bound => Number.isFinite(bound) && bound >= 0) || typeof evict !== 'boolean') return new Reply('STORE_OPTION_INVALID')
  entries.configure({ idle, maxKeys, maxBytes, evict })
  keyspace.wake()
  return new Reply<Bytes>()
}

function parsed (text: Bytes = '{}'): Partial<Bounds> {
  try {
    const bounds = JSON.parse(text.toString()) as Partial<Bounds> | null
    return bounds ?? {}
  } catch {
    throw new StoreError('STORE_PROTOCOL', 'options that are no JSON')
  }
}

function collections (keyspace: Keyspace, request: Request<Bytes>): Reply<Bytes> {
  if (request.key === '') return json(Array.from(keyspace.shelves.values(), describeCollection))
  keyspace.sweep(new Budget()) // as for the size
  const shelf = keyspace.shelves.find(request.collection)
  return json(shelf === undefined ? [] : [describeCollection(shelf)])
}

/** Not all of them: a hundred thousand would hold everybody up. Those of who is gone are left out, as far as a slice goes. */
function locks (keyspace: Keyspace, { number = MAX_LOCKS }: Request<Bytes>): Reply<Bytes> {
  keyspace.sweep(new Budget())
  const limit = Math.min(MAX_LOCKS, number)
  const found: object[] = []
  for (const { locks } of keyspace.shelves.values()) {
    for (const lock of locks.values()) {
      if (found.length >= limit) return json(found)
      found.push(describeLock(keyspace, lock))
    }
  }
  return json(found)
}

/** No text where the key is not locked. */
function lock (keyspace: Keyspace, request: Request<Bytes>): Reply<Bytes> {
  const shelf = keyspace.shelves.find(request.collection)
  const lock = shelf && keyspace.lockOf(shelf, request.key)
  return lock === undefined ? new Reply<Bytes>() : json(describeQueue(keyspace, lock))
}

/** Asks for several calls, and tells when the last of them is answered. */
class Countdown extends Caller {
  readonly label = 'store'

  constructor (private left: number, private readonly done: () => void) {
    super()
    if (left === 0) done()
  }

  answer (): void {
    if (--this.left === 0) this.done()
  }

  lost (): void {}
}

/** JSON over bytes is bytes again: it leaves everything from 0x80 on as it is. */
function json (value: unknown): Reply<Bytes> {
  const reply = new Reply<Bytes>()
  reply.text = JSON.stringify(value)
  return reply
}
