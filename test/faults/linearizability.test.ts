import t from 'tap'
import { createStore } from '../../src/index.js'
import { NO_REDIS, hasRedis } from '../support/redis.js'
import { isLinearizable, offence, type Operation } from './history.js'
import {
  linearizability, linearizabilityOfBesetRedis, linearizabilityOfData, linearizabilityOfHttp,
  linearizabilityOfHttpWorkers, linearizabilityOfNear, linearizabilityOfNearOverUnix, linearizabilityOfRedis,
  linearizabilityOfRedisCluster, linearizabilityOverUnix
} from './linearizability.js'
import { short } from './short.js'

t.after(async () => { await createStore().close() })

/** Calls with their replies, as [process, kind, called, answered, …]. */
function history (...operations: Array<[string, Operation['kind'], number, number, Partial<Operation>?]>): Operation[] {
  return operations.map(([process, kind, called, answered, more]) => ({
    process, kind, called, answered, result: {}, ...more
  }))
}
const gets = (value?: number, version?: number): Partial<Operation> => ({ result: { value, version } })
const OPEN: Partial<Operation> = { result: undefined }
const CUT: Partial<Operation> = { isCut: true }

t.test('linearizable histories are accepted', async t => {
  const right = {
    'sequential calls': history(['a', 'set', 0, 1, { value: 1 }], ['b', 'get', 2, 3, gets(1)],
      ['b', 'del', 4, 5, gets(1)], ['a', 'get', 6, 7, gets()]),
    'a concurrent write, seen by one of two': history(['a', 'set', 0, 9, { value: 1 }], ['b', 'get', 1, 2, gets()],
      ['c', 'get', 3, 4, gets(1)]),
    'concurrent increments': history(['a', 'increment', 0, 5, { value: 1, ...gets(2) }],
      ['b', 'increment', 0, 5, { value: 1, ...gets(1) }]),
    'no reply, and it took effect': history(['a', 'set', 0, Infinity, { value: 1, ...OPEN }],
      ['b', 'get', 5, 6, gets(1)]),
    'no reply, and no effect': history(['a', 'set', 0, Infinity, { value: 1, ...OPEN }], ['b', 'get', 5, 6, gets()]),
    'no reply, and it took effect late': history(
      ['a', 'set', 0, 1, { value: 1 }], ['b', 'set', 0, Infinity, { value: 2, ifAbsent: true, ...OPEN }],
      ['a', 'del', 2, 3, gets(1)], ['c', 'get', 4, 5, gets(2)]),
    'a lock that ended with its process': history(
      ['a', 'acquire', 0, 1, { lock: 'l', result: { fence: 1, version: 0 } }],
      ['a', 'release', 2, Infinity, { lock: 'l', value: 1, ...OPEN }],
      ['a', 'drop', 3, Infinity, { lock: 'l', ...OPEN }], ['b', 'get', 1, 5, gets()]),
    'a lock whose lease expired': history(
      ['a', 'acquire', 0, 1, { lock: 'l', result: { fence: 1, version: 0 } }],
      ['a', 'drop', 3, Infinity, { lock: 'l', ...OPEN }],
      ['b', 'set', 2, 4, { value: 1 }],
      ['a', 'release', 5, 6, { lock: 'l', value: 2, result: { code: 'STORE_LOCK_LOST' } }]),
    'a store that was killed': history(['a', 'set', 0, 1, { value: 1 }], ['the store', 'wipe', 2, 5],
      ['b', 'get', 3, 4, gets(1)], ['b', 'get', 6, 7, gets()]),
    'a store that was killed and lost its last changes': history(
      ['a', 'set', 0, 1, { value: 1, result: { version: 5 } }],
      ['a', 'set', 2, 3, { value: 2, result: { version: 6 }, ...CUT }], ['a', 'set', 4, 5, { value: 3, ...CUT }],
      ['the store', 'restart', 6, 9], ['b', 'get', 10, 11, gets(1, 5)],
      ['b', 'set', 12, 13, { value: 4, result: { version: 7 } }]),
    'a store that lost one of its last changes': history(
      ['a', 'set', 0, 1, { value: 1 }], ['a', 'set', 2, 3, { value: 2, ...CUT }],
      ['a', 'del', 4, 5, { ...gets(1), ...CUT }], ['the store', 'restart', 6, 9], ['b', 'get', 10, 11, gets(2)]),
    'a store that lost none of its last changes': history(
      ['a', 'set', 0, 1, { value: 1 }], ['a', 'set', 2, 3, { value: 2, ...CUT }],
      ['a', 'set', 4, Infinity, { value: 3, ...CUT, ...OPEN }], ['the store', 'restart', 6, 9],
      ['b', 'get', 10, 11, gets(3)]),
    'a wait for a lock': history(
      ['a', 'acquire', 0, 1, { lock: 'l', result: { fence: 1, version: 0 } }], ['a', 'get', 2, 9, gets(1)],
      ['b', 'get', 2, 3, { nowait: true, result: { code: 'STORE_LOCKED' } }],
      ['a', 'release', 4, 5, { lock: 'l', value: 1 }])
  }
  for (const [name, operations] of Object.entries(right)) t.equal(isLinearizable(operations), true, name)
})

t.test('histories that are not linearizable are rejected', async t => {
  const wrong = {
    'a stale read': history(['a', 'set', 0, 1, { value: 1 }], ['a', 'set', 2, 3, { value: 2 }],
      ['b', 'get', 4, 5, gets(1)]),
    'a value that disappears between two reads': history(['a', 'set', 0, 9, { value: 1 }], ['b', 'get', 1, 2, gets(1)],
      ['c', 'get', 3, 4, gets()]),
    'a lost update': history(['a', 'increment', 0, 5, { value: 1, ...gets(1) }],
      ['b', 'increment', 0, 5, { value: 1, ...gets(1) }]),
    'a lost write': history(['a', 'set', 0, 1, { value: 1 }], ['b', 'get', 2, 3, gets()]),
    'a value that was never written': history(['a', 'get', 0, 1, gets(7)]),
    'two lock owners': history(
      ['a', 'acquire', 0, 1, { lock: 'l', result: { fence: 1, version: 0 } }],
      ['b', 'acquire', 2, 3, { lock: 'm', result: { fence: 2, version: 0 } }],
      ['a', 'release', 4, 5, { lock: 'l' }], ['b', 'release', 4, 5, { lock: 'm' }]),
    'a read of a locked key': history(
      ['a', 'acquire', 0, 1, { lock: 'l', result: { fence: 1, version: 0 } }], ['b', 'get', 2, 3, gets()],
      ['a', 'release', 4, 5, { lock: 'l' }]),
    'a free lock that is not granted': history(['a', 'get', 0, 1, { nowait: true, result: { code: 'STORE_LOCKED' } }]),
    'a fence that decreases': history(
      ['a', 'acquire', 0, 1, { lock: 'l', result: { fence: 2, version: 0 } }], ['a', 'release', 2, 3, { lock: 'l' }],
      ['b', 'acquire', 4, 5, { lock: 'm', result: { fence: 1, version: 0 } }]),
    'two conditional writes to the same version': history(
      ['a', 'set', 0, 1, { value: 1, result: { version: 5 } }],
      ['b', 'set', 2, 9, { value: 2, ifVersion: 5, result: { version: 6 } }],
      ['c', 'set', 2, 9, { value: 3, ifVersion: 5, result: { version: 7 } }]),
    'a version that repeats': history(['a', 'set', 0, 1, { value: 1, result: { version: 5 } }],
      ['a', 'del', 2, 3, gets(1)], ['a', 'set', 4, 5, { value: 1, result: { version: 5 } }]),
    'calls of one process out of order': history(
      ['a', 'set', 0, 9, { value: 1 }], ['a', 'set', 1, 9, { value: 2 }], ['b', 'get', 10, 11, gets(1)]),
    'a lock that is both lost and held': history(
      ['a', 'acquire', 0, 1, { lock: 'l', result: { fence: 1, version: 0 } }],
      ['a', 'set', 2, 3, { lock: 'l', value: 1, result: { code: 'STORE_LOCK_LOST' } }],
      ['a', 'release', 4, 5, { lock: 'l', value: 2 }]),
    'a value that outlives its store': history(['a', 'set', 0, 1, { value: 1 }], ['the store', 'wipe', 2, 3],
      ['b', 'get', 4, 5, gets(1)]),
    'a change on disk that is lost': history(['a', 'set', 0, 1, { value: 1, ...CUT }], ['a', 'set', 2, 3, { value: 2 }],
      ['the store', 'restart', 4, 5], ['b', 'get', 6, 7, gets(1)]),
    'a lost change that comes back': history(
      ['a', 'set', 0, 1, { value: 1 }], ['a', 'set', 2, 3, { value: 2, ...CUT }], ['the store', 'restart', 4, 5],
      ['b', 'get', 6, 7, gets(1)], ['b', 'get', 8, 9, gets(2)]),
    'a lost version that is reused': history(
      ['a', 'set', 0, 1, { value: 1, result: { version: 5 } }],
      ['a', 'set', 2, 3, { value: 2, result: { version: 6 }, ...CUT }], ['the store', 'restart', 4, 5],
      ['b', 'get', 6, 7, gets(1)], ['b', 'set', 8, 9, { value: 3, result: { version: 6 } }]),
    'an uncommitted change of a killed lock owner': history(
      ['a', 'acquire', 0, 1, { lock: 'l', result: { fence: 1, version: 0 } }],
      ['a', 'drop', 3, Infinity, { lock: 'l', ...OPEN }], ['b', 'get', 4, 5, gets(1)])
  }
  for (const [name, operations] of Object.entries(wrong)) t.equal(isLinearizable(operations), false, name)
  const part = offence([
    ...wrong['a stale read'],
    ...history(['c', 'get', 6, 7, gets(2)], ['c', 'set', 8, 9, { value: 3 }], ['d', 'get', 1.1, 1.2, gets(1)])
  ])
  t.strictSame(part, wrong['a stale read'], 'offence() returns only the relevant calls')
})

short('histories of five processes with kills are linearizable', linearizability, 3)
short('histories over unix: are linearizable, with kills of the store', linearizabilityOverUnix, 3)
short('histories with near caches are linearizable, with kills, stopped and blocked processes and lost connections', linearizabilityOfNear, 4)
short('histories with near caches over unix: are linearizable', linearizabilityOfNearOverUnix, 2)
short('histories of a store with data are linearizable, except for the last changes before a kill', linearizabilityOfData, 3)
short('histories over the admin API are linearizable', linearizabilityOfHttp, 2)
short(
  'histories over the admin API are linearizable while its workers are killed and stopped',
  linearizabilityOfHttpWorkers, 2
)
if (hasRedis) {
  short('histories in Redis are linearizable', linearizabilityOfRedis, 2)
  short('histories in Redis are linearizable with minimal permissions, flushed scripts and stopped processes', linearizabilityOfBesetRedis, 2)
  short('histories in a Redis Cluster are linearizable', linearizabilityOfRedisCluster, 2)
} else t.comment(`histories in Redis: ${NO_REDIS}`)
