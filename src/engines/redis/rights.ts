// The rights that a store needs on a server are checked when a connection is opened, so that what is missing is named at once, and
// not found by a script in the middle of its work. The README has the same as rules of an ACL.
import type { Cluster, Redis } from 'ioredis'
import { StoreError } from '../../core/errors.js'
import type { Pipeline } from './pipeline.js'

/**
 * STORE_UNREACHABLE naming what the user may not do, or the server does not have. What loads and runs scripts, and subscribes, has been
 * or will be used by the opening itself: the server's own error names it.
 */
export async function checkRights (client: Redis | Cluster, pipeline: Pipeline, prefix: string, channel: string): Promise<void> {
  const base = `${prefix}:{c:}`
  const [missing] = await Promise.all([
    pipeline.run<string[]>('rights', `${base}:rights`, [`${channel}:rights`]),
    client.hmget(`${base}:records`, ''),
    client.ping()
  ])
  if (missing.length > 0) throw new StoreError('STORE_UNREACHABLE', `the user may not use, or the server does not have: ${missing.join(', ')}`)
}
