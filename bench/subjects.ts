// The comparisons: their rows and conditions.
import type { Row } from './measure.js'
import type { RivalName } from './rivals/index.js'
import type { BesideOptions } from './rows/beside.js'
import type { CallsOptions } from './rows/calls.js'
import type { ColdOptions } from './rows/cold.js'
import type { DataOptions } from './rows/data.js'
import type { DeliveryOptions } from './rows/delivery.js'
import type { ExpiryOptions } from './rows/expiry.js'
import type { HttpOptions } from './rows/http.js'
import type { MemoryOptions } from './rows/memory.js'
import type { Column } from './table.js'

export interface Comparison {
  title: string
  columns: Column[]
  /** Ratios are relative to the first row. */
  rows: Row[]
}

const SESSIONS = ['its memory store', 'SessionStore', 'connect-redis', 'bare round trips'] as const
const LOCKS: RivalName[] = ['strong-store', 'strong-store-cluster', 'cluster-shared-memory', 'Redis, redlock']
const IN_REDIS: RivalName[] = ['Redis, ioredis with auto-pipelining', 'strong-store, redis:', 'Redis, ioredis']

const CALLS: Column[] = [
  { figure: 'callsPerSecond', title: 'calls/s' },
  { figure: 'microseconds', title: 'CPU of the store, µs/call', digits: 2 },
  { figure: 'clientMicroseconds', title: 'of the workers', digits: 2 },
  { figure: 'p50', title: 'p50 ms', digits: 3 },
  { figure: 'p99', title: 'p99 ms', digits: 3 }
]
const BYTES: Column[] = [{ figure: 'megabytesPerSecond', title: 'MB/s' }, ...CALLS]
const WATCHED: Column[] = [...CALLS, { figure: 'eventsPerCall', title: 'events of a watcher per set', digits: 2 }]
const DELIVERY: Column[] = [
  { figure: 'p50', title: 'p50 ms', digits: 3 },
  { figure: 'p99', title: 'p99 ms', digits: 3 },
  { figure: 'microseconds', title: 'CPU of the store, µs/message', digits: 2 }
]
const BESIDE: Column[] = [
  { figure: 'largePerSecond', title: 'large values/s' },
  { figure: 'p50', title: 'p50 ms', digits: 3 },
  { figure: 'p99', title: 'p99 ms', digits: 3 },
  { figure: 'p99OnCore', title: 'less its waits for a core, ms', digits: 3 },
  { figure: 'p999OnCore', title: 'p99.9 less them, ms', digits: 3 },
  { figure: 'longest', title: 'longest, ms', digits: 2 },
  { figure: 'longestOnCore', title: 'less its waits for a core, ms', digits: 2 }
]
const MEMORY: Column[] = [
  { figure: 'bytesPerKey', title: 'bytes/key' },
  { figure: 'residentPerKey', title: 'resident bytes/key' },
  { figure: 'longestFilling', title: 'longest GC pause while it fills, ms', digits: 1 },
  { figure: 'longest', title: 'while it is full, ms', digits: 1 },
  { figure: 'share', title: 'time in GC while it is full, %', digits: 1 }
]
const COLD: Column[] = [
  { figure: 'hot', title: 'one of 500 keys, µs', digits: 2 },
  { figure: 'cold', title: 'one of all, µs', digits: 2 }
]
const EXPIRY: Column[] = [
  { figure: 'removed', title: 'keys removed' },
  { figure: 'longestSlice', title: 'longest sweep slice, ms', digits: 2 },
  { figure: 'longestSliceOnCore', title: 'less its waits for a core, ms', digits: 2 },
  { figure: 'delay999', title: 'loop delay p99.9, ms', digits: 2 },
  { figure: 'longestDelay', title: 'longest, ms', digits: 1 },
  { figure: 'longestWithoutGc', title: 'longest less its GC, ms', digits: 1 },
  { figure: 'longestGc', title: 'longest GC pause, ms', digits: 1 }
]
const HTTP: Column[] = [
  { figure: 'requestsPerSecond', title: 'requests/s' },
  { figure: 'microseconds', title: 'CPU of the worker, µs/request', digits: 1 },
  { figure: 'storeMicroseconds', title: 'of the primary', digits: 1 },
  { figure: 'p50', title: 'p50 ms', digits: 2 },
  { figure: 'p99', title: 'p99 ms', digits: 2 }
]
const LOAD: Column[] = [
  { figure: 'seconds', title: 'seconds', digits: 2 },
  { figure: 'keys', title: 'keys' },
  { figure: 'events', title: 'events of progress' },
  { figure: 'longestDelay', title: 'longest delay of the event loop, ms', digits: 1 }
]
const CLOSE: Column[] = [
  { figure: 'seconds', title: 'seconds', digits: 2 },
  { figure: 'keys', title: 'keys that are there afterwards' }
]
const SIZE: Column[] = [
  { figure: 'writes', title: 'writes' },
  { figure: 'liveMegabytes', title: 'keys and values, MB', digits: 1 },
  { figure: 'fileMegabytes', title: 'file, MB', digits: 1 },
  { figure: 'timesLive', title: 'file / keys and values', digits: 2 }
]

const PRIMARY_STORES: RivalName[] = [
  'strong-store-cluster', 'cluster-shared-memory', 'memored', 'lru-cache-for-clusters-as-promised'
]
const REDIS: RivalName[] = ['Redis, ioredis', 'Redis, ioredis with auto-pipelining', 'Redis, redis']

/** Without and with copies in the workers. lmdb reads from shared memory. */
const CACHED: RivalName[] = [
  'strong-store', 'strong-store, near', 'Redis, redis', 'Redis, redis with its cache', 'lmdb'
]

/** The store without and with `data`, and rivals that persist their data. */
const KEPT: RivalName[] = ['strong-store', 'strong-store, data', 'Redis, ioredis', 'Redis, appendfsync everysec']

type Conditions = Partial<CallsOptions>

function calls (name: RivalName, conditions: Conditions, title: string = name): Row {
  const options: CallsOptions = {
    rival: name, operation: 'get', workers: 4, inFlight: 64, bytes: 300, keys: 1000, seconds: 1, ...conditions
  }
  return { name: title, program: 'calls', options }
}

function compare (names: RivalName[], conditions: Conditions, columns = CALLS): Comparison {
  const { operation = 'get', bytes = 300, workers = 4, inFlight = 64 } = conditions
  return {
    title: `${operation}, ${bytes} bytes, ${workers} ${workers === 1 ? 'worker' : 'workers'} × ${inFlight} in flight`,
    columns,
    rows: names.map(name => calls(name, conditions))
  }
}

function locks (title: string, names: RivalName[], conditions: Conditions, more: Row[] = []): Comparison {
  return { title, columns: CALLS, rows: [...names.map(name => calls(name, conditions)), ...more] }
}

/** What a set costs without any store. */
const JSON_ALONE = { get: [], set: ['JSON alone'] } as const
/** The larger the values, the fewer calls in flight. */
const SIZES: Array<[bytes: number, inFlight: number]> = [
  [100, 64], [1024, 64], [16_384, 32], [65_536, 16], [262_144, 4], [1_048_576, 2]
]

export const subjects = {
  calls: {
    get: compare([
      'strong-store', 'strong-store, unix:', 'strong-store, memory:', 'strong-store, http:', ...PRIMARY_STORES,
      ...REDIS,
      'lmdb', 'bare batched echo'
    ], {}),
    set: compare([
      'strong-store', 'strong-store, unix:', 'strong-store, http:', ...PRIMARY_STORES, ...REDIS, 'bare batched echo'
    ], { operation: 'set' }),
    mixed: compare(['strong-store', 'strong-store-cluster', ...REDIS], { operation: '80/20' }),
    one: compare([
      'strong-store', 'strong-store, unix:', ...PRIMARY_STORES, ...REDIS, 'bare ping-pong'
    ], { workers: 1, inFlight: 1 }),
    oneEach: compare(['strong-store', 'strong-store-cluster', ...REDIS, 'bare ping-pong'], { inFlight: 1 })
  },

  unix: {
    unixGet: compare(['strong-store', 'strong-store, unix:'], {}),
    unixSet: compare(['strong-store', 'strong-store, unix:'], { operation: 'set' }),
    unixOne: compare(['strong-store', 'strong-store, unix:'], { workers: 1, inFlight: 1 })
  },

  near: {
    nearGet: compare(CACHED, {}),
    nearOne: compare(CACHED, { workers: 1, inFlight: 1 }),
    nearFew: compare(CACHED, { operation: '99/1' }),
    nearSome: compare(CACHED, { operation: '95/5' }),
    nearMany: compare(CACHED, { operation: '80/20' })
  },

  sizes: Object.fromEntries((['get', 'set'] as const).flatMap(operation => SIZES.map(([bytes, inFlight]) => [
    `${operation}${bytes}`,
    compare(
      ['strong-store', 'strong-store-cluster', ...REDIS, 'bare batched echo', ...JSON_ALONE[operation]],
      { operation, bytes, inFlight, keys: 100 }, BYTES
    )
  ]))),

  beside: {
    beside: {
      title: 'get, 100 bytes, one at a time, beside another worker that sets and gets a value of 1 MiB in turn',
      columns: BESIDE,
      rows: (['strong-store', 'Redis, ioredis'] as const).flatMap(rival => [0, 1_048_576].map(bytes => {
        const options: BesideOptions = { rival, bytes, seconds: 2 }
        return { name: bytes === 0 ? `${rival}, alone` : rival, program: 'beside', options }
      }))
    }
  },

  locks: {
    free: locks('acquire + release of a free key, 1 worker × 1 in flight',
      LOCKS, { operation: 'lock', workers: 1, inFlight: 1 }),
    freeMany: locks('acquire + release of a free key, 4 workers × 16 in flight',
      LOCKS, { operation: 'lock', inFlight: 16 }),
    hot: locks('acquire + release of one key that all want, 4 workers × 16 waiters',
      LOCKS, { operation: 'hot lock', inFlight: 16 },
      [calls('bare ping-pong', { workers: 1, inFlight: 1 }, 'bare ping-pong, 1 worker × 1 in flight')])
  },

  watch: {
    watched: {
      title: 'set, 300 bytes, 4 workers × 64 in flight, without and with a watcher of all 1,000 keys in each worker',
      columns: WATCHED,
      rows: (['strong-store', 'strong-store, redis:', 'Redis, ioredis'] as const).flatMap(name => [false, true].map(
        watched => calls(name, { operation: 'set', watched }, watched ? `${name}, watched` : name)
      ))
    },
    channel: delivery('a message, 100 bytes, from one worker to another', 'channel'),
    change: delivery('a change of a watched key, 100 bytes, from one worker to another', 'watch')
  },

  memory: {
    memory: {
      title: '1,000,000 keys of 20 bytes with values of 100 bytes',
      columns: MEMORY,
      rows: (['strong-store', 'Map', 'Redis', 'strong-store-cluster'] as const).map(store => {
        const options: MemoryOptions = { store, keys: 1_000_000, seconds: 2 }
        return { name: store, program: 'memory', options }
      })
    },
    cold: {
      title: 'get in the process that has 1,000,000 keys of 20 bytes with values of 100 bytes, in random order',
      columns: COLD,
      rows: (['strong-store', 'Map'] as const).map(store => {
        const options: ColdOptions = { store, keys: 1_000_000, hotKeys: 500 }
        return { name: store, program: 'cold', options }
      })
    }
  },

  expiry: {
    expiry: {
      title: '1,000,000 keys go idle and are swept while 10,000 a second arrive',
      columns: EXPIRY,
      rows: [true, false].map(expires => {
        const options: ExpiryOptions = { expires, keys: 1_000_000, perSecond: 10_000, seconds: 6 }
        return { name: expires ? 'strong-store' : 'the same without expiry', program: 'expiry', options }
      })
    }
  },

  http: {
    route: http('a Fastify route, 1 worker, 64 connections', ['req.store', 'constant']),
    admin: http('GET of a value over HTTP, 1 worker, 64 connections', ['admin API', 'constant', 'webdis']),
    sessions: http('a session, read and touched by each request, 4 workers, 64 connections',
      (['@fastify/session', 'express-session'] as const).flatMap(library =>
        SESSIONS.map(store => `${library}, ${store}` as const)), 4)
  },

  redis: {
    redisGet: compare(IN_REDIS, { workers: 1 }),
    redisOne: compare(['Redis, ioredis', 'strong-store, redis:'], { workers: 1, inFlight: 1 }),
    redisSet: compare(IN_REDIS, { workers: 1, operation: 'set' }),
    redisLock: locks('acquire + release of a free key in Redis, 4 workers × 16 in flight',
      ['Redis, redlock', 'strong-store, redis:'], { operation: 'lock', inFlight: 16 }),
    redisHotLock: locks('acquire + release of one key in Redis that all want, 4 workers × 16 waiters',
      ['Redis, redlock', 'strong-store, redis:'], { operation: 'hot lock', inFlight: 16 })
  },

  data: {
    dataGet: withTitle('get, 1,000 keys, with data', compare(KEPT, {})),
    dataSetFew: withTitle('set, 1,000 keys, with data', compare(KEPT, { operation: 'set' })),
    dataSet: withTitle('set, 200,000 keys, almost each of them once a flush, with data', compare(KEPT, { operation: 'set', keys: 200_000 })),
    dataMixed: withTitle('80/20, 200,000 keys, with data', compare(KEPT, { operation: '80/20', keys: 200_000 })),
    dataLoad: data('start with 1,000,000 keys of 20 bytes with values of 100 bytes', LOAD, { measure: 'load', keys: 1_000_000 }),
    dataClose: data('close with 100,000 changed keys', CLOSE, { measure: 'close', keys: 100_000 }),
    dataSize: data('100,000 values of 1,000 bytes, overwritten as often in a minute as in an hour with 167 writes a second', SIZE,
      { measure: 'size', keys: 100_000, seconds: 60 })
  },

  growth: {
    growth: {
      title: 'get, 300 bytes, 64 in flight, as workers and keys become more',
      columns: CALLS,
      rows: [[1, 1e3], [2, 1e3], [4, 1e3], [8, 1e3], [1, 1e4], [1, 1e5], [1, 1e6], [8, 1e6]].map(([workers, keys]) =>
        calls('strong-store', { workers: workers!, keys: keys! }, `${workers} × workers, ${keys!.toLocaleString('en')} keys`))
    }
  }
} satisfies Record<string, Record<string, Comparison>>

function withTitle (title: string, comparison: Comparison): Comparison {
  return { ...comparison, title }
}

function data (title: string, columns: Column[], options: DataOptions): Comparison {
  return { title, columns, rows: [{ name: 'strong-store', program: 'data', options }] }
}

function delivery (title: string, by: DeliveryOptions['by']): Comparison {
  const row = (rival: RivalName, by: DeliveryOptions['by']): Row => {
    const options: DeliveryOptions = { rival, by, bytes: 100, seconds: 1 }
    return { name: rival, program: 'delivery', options }
  }
  return {
    title,
    columns: DELIVERY,
    rows: [
      row('strong-store', by), row('strong-store, redis:', by), row('Redis, ioredis', by), row('bare relay', 'channel'),
      calls('bare ping-pong', { workers: 1, inFlight: 1, bytes: 100 })
    ]
  }
}

function http (title: string, sites: Array<HttpOptions['site']>, workers = 1): Comparison {
  return {
    title,
    columns: HTTP,
    rows: sites.map(site => {
      const options: HttpOptions = { site, workers, connections: 64, seconds: 2 }
      return { name: site, program: 'http', options }
    })
  }
}
