// Everything that can be measured, by its name in the tables.
import { clusterSharedMemory, lruCacheForClusters, memored } from './ipc.js'
import { batchedEcho, jsonAlone, pingPong, relay } from './limits.js'
import { lmdb } from './lmdb.js'
import { original } from './original.js'
import { ioredis, ioredisAppending, ioredisPipelined, nodeRedis, nodeRedisCached, redlock } from './redis.js'
import type { Rival } from './rival.js'
import { clusterStore, dataStore, httpStore, memoryStore, nearStore, redisStore, unixStore } from './strong-store.js'

export const rivals = {
  'strong-store': clusterStore,
  'strong-store, near': nearStore,
  'strong-store, data': dataStore,
  'strong-store, unix:': unixStore,
  'strong-store, memory:': memoryStore,
  'strong-store, http:': httpStore,
  'strong-store, redis:': redisStore,
  'strong-store-cluster': original,
  'cluster-shared-memory': clusterSharedMemory,
  memored,
  'lru-cache-for-clusters-as-promised': lruCacheForClusters,
  'Redis, ioredis': ioredis,
  'Redis, ioredis with auto-pipelining': ioredisPipelined,
  'Redis, appendfsync everysec': ioredisAppending,
  'Redis, redis': nodeRedis,
  'Redis, redis with its cache': nodeRedisCached,
  'Redis, redlock': redlock,
  lmdb,
  'bare ping-pong': pingPong,
  'bare relay': relay,
  'bare batched echo': batchedEcho,
  'JSON alone': jsonAlone
} satisfies Record<string, Rival>

export type RivalName = keyof typeof rivals
