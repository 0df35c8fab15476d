// A server that evicts keys takes away parts of collections, locks among them. It is reported once for each server.
import type { Cluster, Redis } from 'ioredis'
import { nodesOf } from './connect.js'

const reported = new Set<string>()

/**
 * Emits a warning of the process where the server's policy is to evict. Where the user may not ask, nothing is known.
 */
export async function warnOfEviction (client: Redis | Cluster, server: string): Promise<void> {
  const [node] = nodesOf(client, 'master')
  const info = await node?.info('memory').catch(() => '') ?? ''
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction'
  if (policy === 'noeviction' || reported.has(server)) return
  reported.add(server)
  process.emitWarning(
    `${server} evicts keys when its memory is full (maxmemory-policy ${policy}), locks and parts of collections among them; ` +
    'set maxmemory-policy noeviction, and bound collections by maxKeys and maxBytes', 'StrongStoreWarning')
}
