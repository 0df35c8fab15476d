// Attack: another user attacks our sockets in a temporary folder that both can write to. Requires root, to run an
// intruder, a user whose clusters start and exit, and a cluster of root with workers of that user.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Attack } from './attack.js'

const INTRUDER = 65534
const USER = 1234
const program = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

export const hasRoot = process.geteuid?.() === 0
export const NO_ROOT = 'needs root, to run as two users'

export const otherUsers: Attack = async ({ rounds, secondsLeft, owner }) => {
  const folder = mkdtempSync(join(tmpdir(), 'users-'))
  owner.teardown(() => { rmSync(folder, { recursive: true }) })
  chmodSync(folder, 0o1777)
  const home = await homeOf(folder)
  const start = (uid: number, ...args: string[]): ReturnType<typeof spawn> => {
    const child = spawn(process.execPath, args, {
      uid, gid: uid, env: { TMPDIR: folder, WORKER_UID: String(USER) }, stdio: ['pipe', 'pipe', 'pipe']
    })
    owner.teardown(() => { child.kill('SIGKILL') })
    return child
  }
  const intruder = start(INTRUDER, program('./intruder.js'), folder, home)
  const lines = createInterface(intruder.stdout!)[Symbol.asyncIterator]()
  assert.equal((await lines.next()).value, 'ready')
  const figures = { clusters: 0, attempts: 0 }
  while (figures.clusters < rounds && secondsLeft() > 0) {
    // Every fourth cluster is killed, so that the next one has to clean up.
    const uid = figures.clusters % 2 === 0 ? USER : 0
    const way = figures.clusters % 4 < 2 ? 'exit' : 'wait'
    figures.clusters++
    const child = start(uid, program('../fixtures/ending.js'), way)
    let errors = ''
    child.stderr!.on('data', chunk => { errors += String(chunk) })
    const ended = once(child, 'close')
    await once(child.stdout!, 'data')
    if (way === 'wait') child.kill('SIGKILL')
    assert.deepEqual(await ended, way === 'wait' ? [null, 'SIGKILL'] : [3, null], errors)
  }
  intruder.stdin!.end()
  const { attempts, succeeded } = JSON.parse((await lines.next()).value as string) as {
    attempts: number
    succeeded: string[]
  }
  assert.deepEqual(succeeded, [])
  assert.ok(attempts > 0)
  assert.ok(existsSync(join(home, 'socket')), "the user's own file is there")
  return { ...figures, attempts, 'folders left by killed clusters': readdirSync(folder).length - 6 }
}

/** A home directory that only its user can enter, with a dead socket in it. */
async function homeOf (folder: string): Promise<string> {
  const home = join(folder, 'home')
  mkdirSync(home, 0o700)
  const server = createServer().listen(join(home, 'live'))
  await once(server, 'listening')
  linkSync(join(home, 'live'), join(home, 'socket'))
  server.close()
  chownSync(join(home, 'socket'), USER, USER)
  chownSync(home, USER, USER)
  return home
}
