// Checks the user's permissions when a connection is opened, so that a missing one is reported immediately instead of
// failing a script halfway. docs/redis.md lists the permissions as ACL rules.
import type { Cluster, Redis } from 'ioredis'
import { StoreError } from '../../core/errors.js'
import type { Pipeline } from './pipeline.js'
import { TEXT } from './scripts.js'

/** The commands that the scripts call, in lower case, each once. */
export const COMMANDS = [...new Set(Array.from(TEXT.matchAll(/redis\.call\('(\w+)'(?:, '([A-Z]+)')?/g),
  ([, command, subcommand = '']) => `${command!} ${subcommand}`.trim().toLowerCase()))]

/**
 * Throws STORE_UNREACHABLE, with the missing permissions and commands. Connecting itself already loads and runs scripts
 * and subscribes: if that is not permitted, the server's own error says so.
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
      'STORE_UNREACHABLE', `the user lacks permission for, or the server does not support: ${missing.join(', ')}`
    )
  }
}
