// The goals, checked against the figures of one run.
import { ratio, type Measured } from './measure.js'
import { markdown } from './table.js'

/** One figure of a row. */
type Of = [comparison: string, row: string, figure: string]

interface Goal {
  of: Of
  /** The divisor; without it, the goal is for the figure itself. */
  by?: Of
  atLeast?: number
  atMost?: number
  /** The limiting factor. */
  limit?: string
}

const OWN = 'strong-store'
const DATA = 'strong-store, data'
const NEAR = 'strong-store, near'
const UNIX = 'strong-store, unix:'
const SMALLEST = '1 × workers, 1,000 keys'
const LARGEST = '8 × workers, 1,000,000 keys'

const CORES = 'the cores: workers and store share them, and JSON takes most of the time of the workers'
const STRINGIFYING = 'JSON.stringify, which takes more than half of the CPU of a set, and about half with ioredis'
const PARSING = 'JSON.parse and reading its text from bytes, which ioredis does as well'
const TRACKING = 'finding the session that a request has read: on Node 20 and 22, AsyncLocalStorage costs every promise'
const WAKING = 'the scheduler: two processes are woken up for each call'

const goals: Goal[] = [
  {
    of: ['get', OWN, 'callsPerSecond'],
    by: ['get', 'strong-store-cluster', 'callsPerSecond'],
    atLeast: 4.2,
    limit: CORES
  },
  { of: ['get', OWN, 'microseconds'], by: ['get', 'strong-store-cluster', 'microseconds'], atMost: 1 / 5 },
  { of: ['get', OWN, 'callsPerSecond'], by: ['get', 'Redis, ioredis', 'callsPerSecond'], atLeast: 1.7, limit: CORES },
  {
    of: ['get', OWN, 'callsPerSecond'],
    by: ['get', 'Redis, ioredis with auto-pipelining', 'callsPerSecond'],
    atLeast: 2,
    limit: CORES
  },
  {
    of: ['get', OWN, 'callsPerSecond'],
    by: ['get', 'bare batched echo', 'callsPerSecond'],
    atLeast: 1 / 3,
    limit: 'the echo neither finds a key nor parses a value'
  },
  {
    of: ['set', OWN, 'callsPerSecond'],
    by: ['set', 'strong-store-cluster', 'callsPerSecond'],
    atLeast: 3.3,
    limit: CORES
  },
  { of: ['one', OWN, 'p50'], by: ['one', 'bare ping-pong', 'p50'], atMost: 1.35, limit: WAKING },
  { of: ['one', OWN, 'p50'], by: ['one', 'Redis, ioredis', 'p50'], atMost: 1.3, limit: WAKING },
  { of: ['nearGet', NEAR, 'callsPerSecond'], by: ['nearGet', OWN, 'callsPerSecond'], atLeast: 3 },
  { of: ['nearOne', NEAR, 'callsPerSecond'], by: ['nearOne', OWN, 'callsPerSecond'], atLeast: 15 },
  { of: ['unixGet', UNIX, 'callsPerSecond'], by: ['unixGet', OWN, 'callsPerSecond'], atLeast: 0.95 },
  { of: ['unixGet', UNIX, 'microseconds'], by: ['unixGet', OWN, 'microseconds'], atMost: 1.05 },
  { of: ['unixSet', UNIX, 'callsPerSecond'], by: ['unixSet', OWN, 'callsPerSecond'], atLeast: 0.95 },
  { of: ['unixSet', UNIX, 'microseconds'], by: ['unixSet', OWN, 'microseconds'], atMost: 1.05 },
  { of: ['unixOne', UNIX, 'p50'], by: ['unixOne', OWN, 'p50'], atMost: 1.05 },
  {
    of: ['hot', OWN, 'callsPerSecond'],
    by: ['hot', 'bare ping-pong, 1 worker × 1 in flight', 'callsPerSecond'],
    atLeast: 0.7
  },
  { of: ['hot', OWN, 'callsPerSecond'], by: ['hot', 'strong-store-cluster', 'callsPerSecond'], atLeast: 1.4 },
  { of: ['hot', OWN, 'callsPerSecond'], by: ['hot', 'Redis, redlock', 'callsPerSecond'], atLeast: 10 },
  { of: ['watched', `${OWN}, watched`, 'microseconds'], by: ['watched', OWN, 'microseconds'], atMost: 1.6 },
  { of: ['channel', OWN, 'p50'], by: ['channel', 'bare ping-pong', 'p50'], atMost: 2 },
  { of: ['change', OWN, 'p50'], by: ['change', 'bare ping-pong', 'p50'], atMost: 2 },
  { of: ['memory', OWN, 'bytesPerKey'], by: ['memory', 'Redis', 'bytesPerKey'], atMost: 1.05 },
  { of: ['memory', OWN, 'longestFilling'], atMost: 8 },
  { of: ['memory', OWN, 'longest'], atMost: 8 },
  {
    of: ['cold', OWN, 'cold'],
    by: ['cold', 'Map', 'cold'],
    atMost: 1.3,
    limit: 'the memory: one wait for it takes half as long as a get of a hot key; a Map keeps no order of use'
  },
  { of: ['expiry', OWN, 'longestGc'], atMost: 8 },
  { of: ['expiry', OWN, 'longestSliceOnCore'], atMost: 2 },
  { of: ['expiry', OWN, 'delay999'], by: ['expiry', 'the same without expiry', 'delay999'], atMost: 1.5 },
  {
    of: ['redisGet', 'strong-store, redis:', 'microseconds'],
    by: ['redisGet', 'Redis, ioredis with auto-pipelining', 'microseconds'],
    atMost: 1.3
  },
  {
    of: ['redisGet', 'strong-store, redis:', 'callsPerSecond'],
    by: ['redisGet', 'Redis, ioredis with auto-pipelining', 'callsPerSecond'],
    atLeast: 1 / 1.3
  },
  { of: ['redisOne', 'strong-store, redis:', 'p50'], by: ['redisOne', 'Redis, ioredis', 'p50'], atMost: 1.3 },
  { of: ['redisSet', 'strong-store, redis:', 'microseconds'], atMost: 12 },
  { of: ['redisLock', 'strong-store, redis:', 'microseconds'], atMost: 30 },
  { of: ['dataGet', DATA, 'callsPerSecond'], by: ['dataGet', OWN, 'callsPerSecond'], atLeast: 0.95 },
  { of: ['dataSetFew', DATA, 'callsPerSecond'], by: ['dataSetFew', OWN, 'callsPerSecond'], atLeast: 0.75 },
  {
    of: ['dataSet', DATA, 'callsPerSecond'],
    by: ['dataSet', OWN, 'callsPerSecond'],
    atLeast: 0.6,
    limit: 'the work: each changed key is copied to the log, written by LMDB, and looked up when its old record goes'
  },
  {
    of: ['dataSet', DATA, 'callsPerSecond'],
    by: ['dataSet', 'Redis, appendfsync everysec', 'callsPerSecond'],
    atLeast: 1.2
  },
  { of: ['dataMixed', DATA, 'p99'], by: ['dataMixed', OWN, 'p99'], atMost: 1.5 },
  { of: ['dataLoad', OWN, 'seconds'], atMost: 3 },
  { of: ['dataClose', OWN, 'seconds'], atMost: 1.6 },
  { of: ['dataClose', OWN, 'keys'], atLeast: 100_000 },
  { of: ['dataSize', OWN, 'timesLive'], atMost: 2 },
  { of: ['growth', LARGEST, 'microseconds'], by: ['growth', SMALLEST, 'microseconds'], atMost: 1.5 },
  {
    of: ['route', 'req.store', 'requestsPerSecond'],
    by: ['route', 'constant', 'requestsPerSecond'],
    atLeast: 0.65,
    limit: 'the cores: worker, store and wrk share them'
  },
  {
    of: ['admin', 'admin API', 'requestsPerSecond'],
    by: ['admin', 'constant', 'requestsPerSecond'],
    atLeast: 0.35,
    limit: 'Fastify: the checks of the token and of the parameters take longer than the call'
  },
  {
    of: ['sessions', '@fastify/session, SessionStore', 'microseconds'],
    by: ['sessions', '@fastify/session, bare round trips', 'microseconds'],
    atMost: 1.25,
    limit: TRACKING
  },
  {
    of: ['sessions', 'express-session, SessionStore', 'microseconds'],
    by: ['sessions', 'express-session, its memory store', 'microseconds'],
    atMost: 1.15
  },
  ...Object.entries({ get16384: 1.3, get65536: 1.3, get262144: 1.1, get1048576: 1.2 }).map(([gets, atLeast]): Goal => {
    const by: Of = [gets, 'Redis, ioredis', 'callsPerSecond']
    return { of: [gets, OWN, 'callsPerSecond'], by, atLeast, limit: PARSING }
  }),
  ...Object.entries({ set16384: 1.1, set65536: 1.15, set262144: 1.2, set1048576: 1.2 }).map(([sets, atLeast]): Goal => {
    const by: Of = [sets, 'Redis, ioredis', 'callsPerSecond']
    return { of: [sets, OWN, 'callsPerSecond'], by, atLeast, limit: STRINGIFYING }
  }),
  { of: ['beside', OWN, 'p999OnCore'], atMost: 2 }
]

/** A table of the goals for the measured comparisons; empty if there are none. */
export function judge (measured: Record<string, Measured[]>): string {
  const lines: string[][] = []
  for (const { of, by, atLeast = -Infinity, atMost = Infinity, limit = '' } of goals) {
    const values = find(measured, of)
    const base = by === undefined ? values?.map(() => 1) : find(measured, by)
    if (values === undefined || base === undefined) continue
    const found = ratio(values, base)
    lines.push([
      by === undefined ? `${of.join(', ')}` : `${of.join(', ')} / ${by[1]}`,
      atLeast > -Infinity ? `≥ ${Number(atLeast.toFixed(3))}` : `≤ ${Number(atMost.toFixed(3))}`,
      found.toFixed(2),
      found >= atLeast && found <= atMost ? 'yes' : '**no**',
      limit
    ])
  }
  return lines.length === 0 ? '' : markdown(['goal', 'bound', 'found', 'holds', 'what limits it'], lines)
}

function find (measured: Record<string, Measured[]>, [comparison, row, figure]: Of): number[] | undefined {
  return measured[comparison]?.find(({ name }) => name === row)?.figures?.[figure]?.values
}
