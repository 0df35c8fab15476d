// What a keyspace tells about itself to those who watch: plain objects, of which the names are still bytes.
import type { Keyspace } from './keyspace.js'
import type { Lock } from './lock.js'
import { loopDelay } from './loop-delay.js'
import type { CollectionState } from './collection-state.js'

/** Waiters of one lock that are named. */
const NAMED = 100

export function describeCollection ({ name, entries, locks, waiters, reads, writes }: CollectionState): object {
  const { size: keys, bytes, expired, evicted, bounds } = entries
  return { name, keys, bytes, locks: locks.size, waiters, reads, writes, expired, evicted, ...bounds }
}

export function describeLock (keyspace: Keyspace, lock: Lock): object {
  const { collection, key, owner, fence, waiters } = lock
  const wall = Date.now() - keyspace.clock.now
  return {
    collection,
    key,
    owner,
    fence,
    since: wall + lock.since,
    expiresAt: lock.lease === undefined ? undefined : wall + lock.at,
    waiters
  }
}

/** With the first of those who wait. */
export function describeQueue (keyspace: Keyspace, lock: Lock): object {
  const wall = Date.now() - keyspace.clock.now
  const queue = []
  for (const { request, caller, since } of lock.queue()) {
    if (queue.push({ owner: request.owner ?? caller.label, op: request.op, since: wall + since }) === NAMED) break
  }
  return { ...describeLock(keyspace, lock), queue }
}

export function describeKeyspace (keyspace: Keyspace): object {
  const { tally: { past, calls, refused, waits, waited }, values, peers } = keyspace
  const sums = { collections: keyspace.shelves.size, keys: 0, bytes: 0, locks: 0, waiters: 0, ...past }
  for (const { entries, locks, waiters, reads, writes } of keyspace.shelves.values()) {
    sums.keys += entries.size
    sums.bytes += entries.bytes
    sums.locks += locks.size
    sums.waiters += waiters
    sums.reads += reads
    sums.writes += writes
    sums.expired += entries.expired
    sums.evicted += entries.evicted
  }
  return { ...sums, maxValueBytes: values.maxBytes, processes: peers + 1, uptime: process.uptime(), calls, refused, waits, waited, loopDelay: loopDelay() }
}
