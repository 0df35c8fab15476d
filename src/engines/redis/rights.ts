// The rights that a store needs on a server are checked when a connection is opened, so that what is missing is named
// at once, and not found by a script in the middle of its work. docs/redis.md has the same as rules of an ACL.
import type { Cluster, Redis } from 'ioredis'
import { StoreError } from '../../core/errors.js'
import type { Pipeline } from './pipeline.js'
import { TEXT } from './scripts.js'

/** The commands that the scripts call, in lower case, each once. */
export const COMMANDS = [...new Set(Array.from(TEXT.matchAll(/redis\.call\('(\w+)'(?:, '([A-Z]+)')?/g),
  ([, command, subcommand = '']) => `${command!} ${subcommand}`.trim().toLowerCase()))]

/**
 * STORE_UNREACHABLE naming what the user may not do, or the server does not have. What loads and runs scripts, and
 * subscribes, is used by the opening itself: there the server's own error names it.
 */
export async function checkRights (
  client: Redis | Cluster, pipeline: Pipeline, prefix: string, channel: string
): Promise<void> {
  const [missing] = await Promise.all([
    pipeline.run<string[]>('rights', `${prefix}:rights`, [`${channel}:rights`, ...COMMANDS]),
    client.hmget(`${prefix}:{c:}:records`, ''),
    client.ping()
  ])
  if (missing.length > 0) {
    throw new StoreError(
      'STORE_UNREACHABLE', `the user may not use, or the server does not have: ${missing.join(', ')}`
    )
  }
}
