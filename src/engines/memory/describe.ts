// Statistics and listings of a keyspace, as plain objects. Names are still in bytes form.
import { getHeapStatistics } from 'node:v8'
import type { Collection } from './collection.js'
import type { Keyspace } from './keyspace.js'
import type { Lock, Waiter } from './lock.js'
import type { Clear } from './clear.js'
import { loopDelay } from './loop-delay.js'

/** Maximum number of waiters listed per lock. */
const MAX_NAMED = 100
/** Processes that are listed. */
const MAX_CONNECTIONS = 250

/** One literal: an object that is put together by spreading takes ten times as long. */
export function describeCollection ({ revocations }: Keyspace, collection: Collection): object {
  const { bounds } = collection
  return {
    name: collection.name,
    keys: collection.size,
    bytes: collection.bytes,
    locks: collection.locks.size - revocations.heldIn(collection.name),
    waiters: collection.waiters,
    reads: collection.reads,
    writes: collection.writes,
    expired: collection.expired,
    evicted: collection.evicted,
    idle: bounds.idle,
    maxKeys: bounds.maxKeys,
    maxBytes: bounds.maxBytes,
    evict: bounds.evict,
    keep: bounds.keep,
    durable: bounds.durable,
    near: bounds.near
  }
}

export function describeLock (keyspace: Keyspace, lock: Lock): object {
  const { collection, key, owner, fence, waiters } = lock
  const wall = Date.now() - keyspace.clock.now
  return {
    collection: collection.name,
    key,
    owner,
    fence,
    since: wall + lock.since,
    expiresAt: lock.lease === undefined ? undefined : wall + lock.end,
    waiters: waiters + keyspace.collection(collection.name).clears.behind(lock).length
  }
}

/** Describes a lock with its first waiters. */
export function describeQueue (keyspace: Keyspace, lock: Lock): object {
  const wall = Date.now() - keyspace.clock.now
  const clears = keyspace.collection(lock.collection.name).clears.behind(lock)
  const waiting: Array<Clear | Waiter> = []
  for (const waiter of lock.queue()) {
    while (clears.length > 0 && clears[0]!.revision <= waiter.revision) waiting.push(clears.shift()!)
    if (waiting.push(waiter) >= MAX_NAMED) break
  }
  const queue = [...waiting, ...clears].slice(0, MAX_NAMED)
    .map(({ request, caller, since }) => {
      return { owner: request.owner ?? caller.label, op: request.op, since: wall + since }
    })
  return { ...describeLock(keyspace, lock), queue }
}

export function describeKeyspace (keyspace: Keyspace): object {
  const { counters, collections, values, callers } = keyspace
  const { totals, calls, refused, waits, waited, near } = counters
  return {
    collections: collections.size,
    ...totals,
    maxValueBytes: values.maxBytes,
    processes: callers.size,
    connections: Array.from(callers).slice(0, MAX_CONNECTIONS).map(({ label, holding, waiting, backlog }) => {
      return { name: label, locks: holding.size, waiting: waiting.size, backlog }
    }),
    memory: { rss: process.memoryUsage.rss(), heap: getHeapStatistics().used_heap_size },
    uptime: process.uptime(),
    calls,
    refused,
    waits,
    waited,
    near,
    loopDelay: loopDelay(),
    data: keyspace.context.durability?.stats()
  }
}
