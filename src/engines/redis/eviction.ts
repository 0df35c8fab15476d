// Warns about a server that evicts keys, and so may remove locks and parts of collections. Once per server.
import type { Cluster, Redis } from 'ioredis'
import { nodesOf } from './connect.js'

const reported = new Set<string>()

/**
 * Emits a process warning if the server's policy is to evict keys. Without permission for INFO, it does nothing.
 */
export async function warnOfEviction (client: Redis | Cluster, server: string): Promise<void> {
  const [node] = nodesOf(client, 'master')
  const info = await node?.info('memory').catch(() => '') ?? ''
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction'
  if (policy === 'noeviction' || reported.has(server)) return
  reported.add(server)
  process.emitWarning(
    `${server} evicts keys when its memory is full (maxmemory-policy ${policy}), including locks and parts of collections; ` +
    'set maxmemory-policy noeviction, and bound collections with maxKeys and maxBytes', 'StrongStoreWarning')
}
