// --user, --group and --mode: who may connect, and which user the process switches to after creating its socket.
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, readFileSync } from 'node:fs'
import { EXIT, Exit, invalid } from './exit.js'
import type { Settings } from './settings.js'

export interface Rights {
  /** Dead sockets of these users may be replaced. */
  owners: number[]
  /** Sets owner, group and mode of a socket. */
  give (path: string): void
  /** Drops root privileges. */
  drop (): void
}

/** Exits with USAGE or NO_RIGHT. */
export function rightsOf (settings: Settings): Rights {
  const mode = settings.get('mode') ?? '0600'
  const user = settings.get('user')
  const group = settings.get('group')
  if (!/^0?[0-7]{3}$/.test(mode)) {
    throw invalid(`invalid --mode: expected octal digits, like 0660, got ${JSON.stringify(mode)}`)
  }
  if (process.platform === 'win32') {
    if (user !== undefined || group !== undefined) throw invalid('--user and --group are not supported on Windows')
    return { owners: [], give: () => {}, drop: () => {} }
  }
  const own = process.geteuid!()
  const uid = user === undefined ? undefined : idOf(user, '-u')
  const gid = group === undefined ? undefined : groupOf(group)
  const isOther = uid !== undefined && uid !== own
  if (isOther && own !== 0) {
    throw new Exit(EXIT.NO_RIGHT, `--user ${user} requires root, this process runs as uid ${own}`)
  }
  return {
    owners: isOther ? [own, uid] : [own],
    give (path) {
      chmodSync(path, parseInt(mode, 8))
      if (isOther || gid !== undefined) chownSync(path, isOther ? uid : -1, gid ?? -1)
    },
    drop () {
      if (!isOther || process.geteuid!() !== 0) return
      const primary = gid ?? idOf(user!, '-g')
      // Missing in @types/node.
      const { initgroups } = process as unknown as { initgroups (user: string, group: number): void }
      initgroups(user!, primary)
      process.setgid!(primary)
      process.setuid!(uid)
    }
  }
}

function idOf (user: string, what: '-u' | '-g'): number {
  try {
    return Number(execFileSync('id', [what, '--', user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  } catch {
    if (what === '-u' && /^\d+$/.test(user)) return Number(user)
    throw invalid(`invalid --user: unknown user ${JSON.stringify(user)}`)
  }
}

function groupOf (group: string): number {
  if (/^\d+$/.test(group)) return Number(group)
  const line = databaseOf(group).split('\n').find(line => line.startsWith(`${group}:`))
  if (line === undefined) throw invalid(`invalid --group: unknown group ${JSON.stringify(group)}`)
  return Number(line.split(':')[2])
}

function databaseOf (group: string): string {
  try {
    return execFileSync('getent', ['group', '--', group], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    return readFileSync('/etc/group', 'utf8')
  }
}
