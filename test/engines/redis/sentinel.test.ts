// A server that a Sentinel monitors. A failover would take more than ten seconds, so there is none here.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createStore } from '../../../src/index.js'
import { freePort } from '../../support/ports.js'
import { NO_REDIS, hasRedis, outcome } from '../../support/redis.js'
import { until } from '../../support/until.js'

const HOST = '127.0.0.1'
const folder = mkdtempSync(join(tmpdir(), 'ss-sentinel-'))

/** Starts redis-server on a port, and returns a client of it. */
async function start (t: Test, port: number, ...args: string[]): Promise<Redis> {
  const child = spawn('redis-server', args, { stdio: 'ignore' })
  const exit = once(child, 'exit')
  const redis = new Redis({ host: HOST, port, retryStrategy: () => 10, maxRetriesPerRequest: null })
  redis.on('error', () => {}) // until it listens
  t.teardown(async () => {
    redis.disconnect()
    child.kill('SIGKILL')
    await exit
  })
  await redis.ping()
  return redis
}

t.test('a store finds its server through Sentinel, also after a loss', { skip: !hasRedis && NO_REDIS }, async t => {
  const [first, second] = [await freePort(), await freePort()]
  const master = await start(
    t, first, '--port', String(first), '--bind', HOST, '--save', '', '--appendonly', 'no', '--dir', folder
  )
  const config = join(folder, 'sentinel.conf')
  writeFileSync(config, `port ${second}\nbind ${HOST}\nsentinel monitor main ${HOST} ${first} 1\n`)
  await start(t, second, config, '--sentinel')
  const store = createStore(
    { url: 'redis:', redis: { client: { sentinels: [{ host: HOST, port: second }], name: 'main' } } }
  )
  t.teardown(() => store.close())
  const c = store.collection('c')
  await c.set('key', 1)
  t.equal(await master.zcard('strong-store:{c:c}:names'), 1)
  const lock = await c.acquire('key')
  const wait = outcome(c.get('key'))
  await until(async () => (await store.locks())[0]?.waiters === 1)
  await master.call('CLIENT', 'KILL', 'TYPE', 'pubsub') // as a Sentinel does with the clients of a demoted master
  t.equal(await wait, 'STORE_DISCONNECTED')
  t.equal(lock.held, false)
  t.equal(await c.get('key'), 1)
})

t.teardown(() => { rmSync(folder, { recursive: true }) })
