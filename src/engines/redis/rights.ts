// The rights that a store needs on a server are checked when a connection is opened, so that what is missing is named at once, and
// not found by a script in the middle of its work. The README has the same as rules of an ACL.
import type { Cluster, Redis } from 'ioredis'
import { StoreError } from '../../core/errors.js'
import type { Pipeline } from './pipeline.js'
import type { Scripts } from './scripts.js'

/**
 * STORE_UNREACHABLE naming what the user may not do, or the server does not have. What loads and runs scripts, and subscribes, is used
 * by the opening itself: there the server's own error names it.
 */
export async function checkRights (client: Redis | Cluster, pipeline: Pipeline, scripts: Scripts, prefix: string, channel: string): Promise<void> {
  const base = `${prefix}:{c:}`
  const [missing] = await Promise.all([
    pipeline.run<string[]>('rights', `${base}:rights`, [`${channel}:rights`, ...commandsIn(scripts)]),
    client.hmget(`${base}:records`, ''),
    client.ping()
  ])
  if (missing.length > 0) throw new StoreError('STORE_UNREACHABLE', `the user may not use, or the server does not have: ${missing.join(', ')}`)
}

/** The commands that scripts call, in lower case, each once. */
export function commandsIn (scripts: Scripts): string[] {
  const calls = Object.values(scripts).flatMap(({ text }) => [...text.matchAll(/redis\.p?call\('(\w+)'(?:, '([A-Z]+)')?/g)])
  return [...new Set(calls.map(([, command, subcommand]) => `${command!} ${subcommand ?? ''}`.trim().toLowerCase()))]
}
