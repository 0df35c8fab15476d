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
import { startServer } from '../support/redis.js'
import { random, type Attack, type Order } from './attack.js'

const PROGRAM = fileURLToPath(new URL('../fixtures/stopping.js', import.meta.url))
const WAYS = ['app', 'api', 'worker', 'primary'] as const

export const stopping: Attack = order => attack(order, {})

export const stoppingOfRedis: Attack = async order => {
  const { options, redis } = await startServer(order.owner)
  const figures = await attack(order, { STRONG_STORE_URL: options.url })
  assert.equal(await redis.exists(...['held', 'until', 'waiting', 'queue'].map(of => `strong-store:{c:stopping}:${of}`)), 0)
  return figures
}

async function attack (
  { seed, rounds, secondsLeft, owner }: Order, environment: NodeJS.ProcessEnv
): ReturnType<Attack> {
  const next = random(seed)
  const folder = mkdtempSync(join(tmpdir(), 'stopping-'))
  owner.teardown(() => { rmSync(folder, { recursive: true }) })
  const figures: Record<string, number> = { stops: 0, calls: 0 }
  while (figures.stops! < rounds && secondsLeft() > 0) {
    const way = WAYS[figures.stops!++ % WAYS.length]!
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
