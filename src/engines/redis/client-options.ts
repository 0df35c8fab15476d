// The options of ioredis that users may set, and those that the store sets itself.
import type { Cluster, ClusterOptions, Redis, RedisOptions } from 'ioredis'
import { StoreError } from '../../core/errors.js'

/**
 * Set for every connection. The store reconnects by itself, because it has to know which calls were lost and which were
 * never sent.
 */
export const OWN = {
  lazyConnect: true,
  retryStrategy: null,
  reconnectOnError: null,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  enableAutoPipelining: false,
  keyPrefix: '',
  readOnly: false,
  monitor: false,
  stringNumbers: false,
  commandTimeout: undefined,
  socketTimeout: undefined
} as const satisfies RedisOptions

const RECONNECTS = 'the store reconnects by itself, because it has to know which calls were lost'
const TIMES_OUT = 'calls take { timeout }, and a server that sends nothing for redis.life seconds counts as lost'
const MASTER_ONLY = 'replicas may lag behind, and do not accept writes'
/** Refused, with the reason. */
const REFUSED: Record<string, string> = {
  keyPrefix: 'it would apply to some key names and not to others; use redis.prefix',
  retryStrategy: RECONNECTS,
  reconnectOnError: RECONNECTS,
  sentinelReconnectStrategy: RECONNECTS,
  clusterRetryStrategy: RECONNECTS,
  clusterNodeRetryStrategy: RECONNECTS,
  maxRetriesPerRequest: RECONNECTS,
  autoResendUnfulfilledCommands: RECONNECTS,
  autoResubscribe: RECONNECTS,
  enableOfflineQueue: 'the store itself queues calls until it is connected, within its limits',
  offlineQueue: 'the store itself queues calls until it is connected, within its limits',
  commandQueue: 'without it, no call is answered',
  lazyConnect: 'the store connects at the first call',
  enableReadyCheck: 'the store itself waits until the server has loaded its data',
  enableAutoPipelining: 'the store already sends calls in batches, and pipelining would reorder them',
  commandTimeout: TIMES_OUT,
  socketTimeout: TIMES_OUT,
  readOnly: MASTER_ONLY,
  scaleReads: MASTER_ONLY,
  stringNumbers: 'the store expects replies with numbers, not strings',
  replyMapping: 'the store expects the default replies',
  monitor: 'a connection in monitor mode takes no calls'
}
/** Options of the cluster as a whole; all others apply to its nodes. */
const OF_CLUSTER = [
  'natMap', 'dnsLookup', 'useSRVRecords', 'resolveSrv', 'slotsRefreshTimeout', 'slotsRefreshInterval', 'maxRedirections'
] as const

/** Throws STORE_OPTION_INVALID, with the option and the reason. */
export function checkClientOptions (client: unknown, isCluster: boolean): void {
  if (typeof client !== 'object' || client === null) {
    throw invalid('expected ioredis options or an ioredis client')
  }
  if (!isPlain(client)) {
    if (!isInstance(client)) {
      throw invalid('expected ioredis options or an ioredis client; other clients are not supported')
    }
    if (isCluster) {
      throw new StoreError(
        'STORE_OPTION_INVALID', 'invalid redis.cluster: omit it, redis.client already is a Redis or a Cluster'
      )
    }
    return
  }
  for (const [option, value] of Object.entries(client)) {
    const why = REFUSED[option]
    if (why !== undefined && value !== undefined) {
      throw new StoreError('STORE_OPTION_INVALID', `invalid redis.client.${option}: ${why}`)
    }
  }
  const { role, db, redisOptions } = client as { role?: unknown, db?: unknown, redisOptions?: unknown }
  if (role !== undefined && role !== 'master') {
    throw new StoreError('STORE_OPTION_INVALID', `invalid redis.client.role: ${MASTER_ONLY}`)
  }
  if (redisOptions !== undefined) throw invalid('pass the contents of redisOptions directly in redis.client')
  if (isCluster && db !== undefined && db !== 0) {
    throw new StoreError('STORE_OPTION_INVALID', 'invalid redis.client.db: a cluster only has database 0')
  }
}

/** Whether it is the user's own client. The store opens its own connections with that client's settings. */
export function isInstance (client: object | undefined): client is Redis | Cluster {
  const { duplicate, connect, status, options } = (client ?? {}) as Partial<Redis>
  return typeof duplicate === 'function' && typeof connect === 'function' &&
    typeof status === 'string' && typeof options === 'object'
}

/** The options of one connection. With Sentinels, the ready check detects a server that is no longer the master. */
export function ofServer (options: object): RedisOptions {
  const { sentinels } = options as RedisOptions
  return { ...options, ...OWN, role: 'master', enableReadyCheck: Array.isArray(sentinels) } as RedisOptions
}

/** The options of a cluster client. */
export function ofCluster (options: object): ClusterOptions {
  const node = Object.entries(options).filter(([option]) => !OF_CLUSTER.includes(option as typeof OF_CLUSTER[number]))
  const { keyPrefix, readOnly, stringNumbers, commandTimeout, socketTimeout, autoResendUnfulfilledCommands } = OWN
  const own = {
    keyPrefix,
    readOnly,
    stringNumbers,
    commandTimeout,
    socketTimeout,
    autoResendUnfulfilledCommands,
    enableReadyCheck: false
  }
  const whole = Object.entries(options).filter(([option]) => OF_CLUSTER.includes(option as typeof OF_CLUSTER[number]))
  return {
    ...Object.fromEntries(whole),
    redisOptions: { ...Object.fromEntries(node), ...own } as object,
    keyPrefix,
    scaleReads: 'master',
    lazyConnect: true,
    clusterRetryStrategy: null,
    clusterNodeRetryStrategy: null,
    // ioredis connects to a node at its first command: until then commands are queued, and fail if it cannot connect
    enableOfflineQueue: true,
    enableAutoPipelining: false,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0
  }
}

function isPlain (value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as unknown
  // the last one: an object of another realm
  return prototype === null || prototype === Object.prototype || (prototype as object).constructor.name === 'Object'
}

function invalid (why: string): StoreError {
  return new StoreError('STORE_OPTION_INVALID', `invalid redis.client: ${why}`)
}
