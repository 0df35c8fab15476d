// The contract over a Redis Cluster of three, and what happens when one of them fails.
import t from 'tap'
import { createStore } from '../src/index.js'
import { contract } from './contract/suite.js'
import { startCluster, type TestNode } from './redis-cluster.js'
import { NO_REDIS, hasRedis, outcome } from './redis.js'
import { until } from './until.js'

if (!hasRedis) {
  t.plan(0, NO_REDIS)
} else {
  const { options, masters: [first, second], replica, masterOf } = await startCluster(t)

  contract(t, 'the redis engine with a cluster', async () => {
    const a = createStore(options)
    const b = createStore(options)
    return { a, b, end: async () => { await Promise.all([a.close(), b.close()]) } }
  })

  t.test('a failover: calls fail or succeed, and go on with the node that takes over', async t => {
    const store = createStore({ ...options, redis: { ...options.redis, life: 1 } })
    t.teardown(() => store.close())
    const nameAt = async (wanted: TestNode): Promise<string> => {
      for (let i = 0; ; i++) {
        if (await masterOf(`strong-store:{c:fails ${i}}`) === wanted) return `fails ${i}`
      }
    }
    const failing = store.collection(await nameAt(first!))
    const other = store.collection(await nameAt(second!))
    const version = await failing.set('key', 'old')
    await other.set('key', 'old')
    const lock = await failing.acquire('lock')
    lock.set('never')
    const wait = outcome(failing.get('lock'))
    await until(async () => (await store.locks())[0]?.waiters === 1)
    const offset = async ({ redis }: TestNode): Promise<string> => /master_repl_offset:(\d+)/.exec(await redis.info('replication'))![1]!
    await until(async () => await offset(first!) === await offset(replica)) // what was not copied yet would be lost

    await first!.kill()
    t.equal(await wait, 'STORE_DISCONNECTED')
    t.equal(lock.held, false)
    t.match(await outcome(failing.get('key')), /^STORE_(DISCONNECTED|UNREACHABLE)$/, 'nobody has it now')
    await replica.redis.call('CLUSTER', 'FAILOVER', 'TAKEOVER') // without the seconds that the others take to agree on it
    const seen = new Set<string>()
    await until(async () => {
      const result = await outcome(failing.get('key'))
      seen.add(result)
      return result === 'gave old'
    })
    seen.delete('STORE_DISCONNECTED')
    seen.delete('STORE_UNREACHABLE')
    t.strictSame([...seen], ['gave old'])
    t.ok(await failing.set('key', 'new') > version)
    const next = await failing.acquire('lock')
    t.equal(next.get(), undefined)
    t.ok(next.fence > lock.fence)
    await next.release()
    t.equal(await outcome(lock.release()), 'STORE_LOCK_LOST')
    t.equal(await other.get('key'), 'old')
  })
}
