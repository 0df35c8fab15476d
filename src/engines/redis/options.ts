// The options of a store in Redis.
import { checkName, milliseconds, onlyKnown } from '../../core/validation.js'
import { StoreError } from '../../core/errors.js'
import { checkClientOptions, isInstance } from './client-options.js'
import { parse } from './url.js'

const KNOWN = ['url', 'maxValueBytes', 'connectTimeout', 'prefix', 'life', 'cluster', 'client'] as const
const MAX_LIFE = 3_600_000

export interface RedisStoreOptions {
  /**
   * The prefix of all keys and channels in Redis, at most 1024 bytes, so that several stores can share a server.
   * Default 'strong-store'.
   */
  prefix?: string | undefined
  /**
   * Seconds without a heartbeat after which a process loses its locks, and without any data after which a server counts
   * as lost: 1 to 3600, default 10.
   */
  life?: number | undefined
  /** For a Redis Cluster: true if the URL is that of a node, or a list of seed nodes. Default false. */
  cluster?: boolean | Array<{ host: string, port: number }> | undefined
  /**
   * Options of ioredis: `path`, `sentinels` and `name`, `tls`, … For a cluster, they apply to its nodes, except for
   * `natMap`, `dnsLookup`, `useSRVRecords`, `resolveSrv`, `slotsRefreshTimeout`, `slotsRefreshInterval` and
   * `maxRedirections`. Options that would change how keys are stored or the order of calls are rejected. Or, with the
   * URL 'redis:', an ioredis client, Redis or Cluster: the store opens its own connections with the same settings, and
   * does not use the client itself.
   */
  client?: object | undefined
}

export interface Target extends Pick<RedisStoreOptions, 'cluster' | 'client'> {
  url: string
  /** Milliseconds. */
  connectTimeout: number
}

/** As passed by `createStore`. */
export interface EngineOptions extends RedisStoreOptions, Target {
  maxValueBytes?: number | undefined
}

/** Checked, with defaults. */
export interface Settled {
  maxValueBytes: number
  prefix: string
  /** Milliseconds. */
  life: number
  isCluster: boolean
  target: Target
}

/** STORE_OPTION_INVALID. */
export function settle (options: EngineOptions): Settled {
  onlyKnown(options, KNOWN)
  const { maxValueBytes = 2 ** 20, prefix = 'strong-store', life = 10, ...target } = options
  checkTarget(target)
  checkName(prefix, 'STORE_OPTION_INVALID')
  if (/[{}]/.test(prefix)) {
    throw new StoreError(
      'STORE_OPTION_INVALID', 'invalid redis.prefix: expected no braces, which would determine the cluster slot of keys'
    )
  }
  const lifeMs = milliseconds(life, 'life', 1)
  if (lifeMs > MAX_LIFE) {
    throw new StoreError(
      'STORE_OPTION_INVALID', `invalid redis.life: expected at most ${MAX_LIFE / 1000} seconds, got ${life}`
    )
  }
  const { client, cluster = false } = target
  return {
    maxValueBytes, prefix, life: lifeMs, isCluster: isInstance(client) ? client.isCluster : cluster !== false, target
  }
}

function checkTarget ({ url, client, cluster = false }: Target): void {
  const address = parse(url)
  const isCluster = cluster !== false
  if (client !== undefined) checkClientOptions(client, isCluster)
  if (isInstance(client) && !/^rediss?:$/.test(url)) {
    throw new StoreError(
      'STORE_OPTION_INVALID', 'invalid url: expected \'redis:\' with an ioredis client in redis.client, which has the address'
    )
  }
  if (isCluster && address.db !== 0) {
    throw new StoreError('STORE_OPTION_INVALID', `invalid url: a cluster only has database 0, got ${address.db}`)
  }
  if (isCluster && address.path !== undefined) {
    throw new StoreError('STORE_OPTION_INVALID', 'invalid url: a cluster cannot be reached through a Unix socket')
  }
}
