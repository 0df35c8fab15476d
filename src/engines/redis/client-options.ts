// What a user may say about the client library's connections, and what the store needs them to be.
import type { Cluster, ClusterOptions, Redis, RedisOptions } from 'ioredis'
import { StoreError } from '../../core/errors.js'

/**
 * How every connection behaves. The store connects again by itself, since it has to know what was lost and what was
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

const RECONNECTS = 'the store connects again by itself, and has to know which calls were lost'
const TIMES_OUT = 'a call takes { timeout }, and a server that is silent for redis.life seconds counts as lost'
const MASTER_ONLY = 'a replica may be behind, and takes no writes'
/** Refused, with the reason. */
const REFUSED: Record<string, string> = {
  keyPrefix: 'it would be put before some names of keys and not before others; use redis.prefix',
  retryStrategy: RECONNECTS,
  reconnectOnError: RECONNECTS,
  sentinelReconnectStrategy: RECONNECTS,
  clusterRetryStrategy: RECONNECTS,
  clusterNodeRetryStrategy: RECONNECTS,
  maxRetriesPerRequest: RECONNECTS,
  autoResendUnfulfilledCommands: RECONNECTS,
  autoResubscribe: RECONNECTS,
  enableOfflineQueue: 'the store keeps calls itself until it is connected, within its limits',
  offlineQueue: 'the store keeps calls itself until it is connected, within its limits',
  commandQueue: 'without it no call is answered',
  lazyConnect: 'the store connects at the first call',
  enableReadyCheck: 'the store waits itself until the server has loaded its data',
  enableAutoPipelining: 'calls are sent in batches already, and would change places',
  commandTimeout: TIMES_OUT,
  socketTimeout: TIMES_OUT,
  readOnly: MASTER_ONLY,
  scaleReads: MASTER_ONLY,
  stringNumbers: 'the store reads numbers as numbers',
  replyMapping: 'the store reads replies as they are by default',
  monitor: 'a connection that monitors takes no calls'
}
/** Options of a cluster as a whole; all others are its nodes' own. */
const OF_CLUSTER = [
  'natMap', 'dnsLookup', 'useSRVRecords', 'resolveSrv', 'slotsRefreshTimeout', 'slotsRefreshInterval', 'maxRedirections'
] as const

/** STORE_OPTION_INVALID naming the option, and why. */
export function checkClientOptions (client: unknown, isCluster: boolean): void {
  if (typeof client !== 'object' || client === null) {
    throw invalid('expected options of ioredis, or a client made by it')
  }
  if (!isPlain(client)) {
    if (!isInstance(client)) {
      throw invalid('expected options of ioredis, or a client made by it; the store does not work with other clients')
    }
    if (isCluster) {
      throw new StoreError(
        'STORE_OPTION_INVALID', 'invalid redis.cluster: the client says itself whether it is a cluster'
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
  if (redisOptions !== undefined) throw invalid('write what would be in redisOptions directly into redis.client')
  if (isCluster && db !== undefined && db !== 0) {
    throw new StoreError('STORE_OPTION_INVALID', 'invalid redis.client.db: a cluster has database 0 only')
  }
}

/** A client that the user has made. The store makes connections of its own from its address and credentials. */
export function isInstance (client: object | undefined): client is Redis | Cluster {
  const { duplicate, connect, status, options } = (client ?? {}) as Partial<Redis>
  return typeof duplicate === 'function' && typeof connect === 'function' &&
    typeof status === 'string' && typeof options === 'object'
}

/** Those of one connection. With Sentinels it is a check that finds a server which is no master any more. */
export function ofServer (options: object): RedisOptions {
  const { sentinels } = options as RedisOptions
  return { ...options, ...OWN, role: 'master', enableReadyCheck: Array.isArray(sentinels) } as RedisOptions
}

/** Those of a cluster. */
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
    // a node is connected to when it is first needed: until then calls wait, or fail with the attempt
    enableOfflineQueue: true,
    enableAutoPipelining: false,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0
  }
}

function isPlain (value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as unknown
  // of another realm
  return prototype === null || prototype === Object.prototype || (prototype as object).constructor.name === 'Object'
}

function invalid (why: string): StoreError {
  return new StoreError('STORE_OPTION_INVALID', `invalid redis.client: ${why}`)
}
