// Attack: a cluster is stopped under load. Every call must be answered or rejected with an error code, all processes
// must exit, and no file may be left, nor, in Redis, a lock.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { isErrorCode } from '../../src/core/errors.js'
import { createStore } from '../../src/index.js'
import { startServer } from '../support/redis.js'
import { random, type Attack, type Order } from './attack.js'

const PROGRAM = fileURLToPath(new URL('../fixtures/stopping.js', import.meta.url))

export const stopping: Attack = order => attack(order, ['app', 'api', 'worker', 'primary'], {})

export const stoppingOfRedis: Attack = async order => {
  const { options } = await startServer(order.owner)
  const figures = await attack(order, ['app', 'worker', 'primary'], { STRONG_STORE_URL: options.url })
  const store = createStore(options)
  order.owner.teardown(() => store.close())
  for (const key of ['locked', 'counter', 'key 0', 'key 1', 'key 2']) {
    const lock = await store.collection('stopping').acquire(key, { timeout: 5 })
    await lock.release()
  }
  assert.deepEqual(await store.locks(), [], 'no lock is left')
  return figures
}

async function attack (
  { seed, rounds, secondsLeft, owner }: Order, ways: readonly string[], environment: NodeJS.ProcessEnv
): ReturnType<Attack> {
  const next = random(seed)
  const folder = mkdtempSync(join(tmpdir(), 'stopping-'))
  owner.teardown(() => { rmSync(folder, { recursive: true }) })
  const figures: Record<string, number> = { stops: 0, calls: 0 }
  while (figures.stops! < rounds && secondsLeft() > 0) {
    const way = ways[figures.stops!++ % ways.length]!
    const child = spawn(process.execPath, [PROGRAM, way], {
      env: { ...process.env, ...environment, TMPDIR: folder }, stdio: ['ignore', 'pipe', 'pipe']
    })
    owner.teardown(() => { child.kill('SIGKILL') })
    let errors = ''
    child.stderr.on('data', chunk => { errors += String(chunk) })
    const lines: Array<{ asked?: number, outcomes?: Record<string, number>, codes?: unknown }> = []
    const ended = once(child, 'close') as Promise<[number | null, string | null]>
    for await (const line of createInterface(child.stdout)) {
      lines.push(JSON.parse(line) as typeof lines[number])
      if (lines.length > 1) continue
      setTimeout(() => { child.kill('SIGTERM') }, next() * 200)
    }
    const what = `${way}: ${JSON.stringify(lines)} ${errors}`
    assert.deepEqual(await ended, [0, null], what)
    assert.deepEqual(lines.at(-1)?.codes, [[0, null], [0, null]], what)
    assert.equal(lines.length, 4, what)
    for (const { asked, outcomes = {} } of lines.slice(1, 3)) {
      assert.equal(
        Object.values(outcomes).reduce((sum, count) => sum + count), asked, `every call has an outcome, ${what}`
      )
      for (const [outcome, count] of Object.entries(outcomes)) {
        assert.ok(outcome === 'answered' || isErrorCode(outcome), what)
        figures[outcome] = (figures[outcome] ?? 0) + count
      }
      figures.calls! += asked!
    }
    assert.deepEqual(readdirSync(folder), [], 'nothing is left in the temporary folder')
  }
  return figures
}
