// The contract on a Redis Cluster with three masters, and what happens when one of them fails.
import t from 'tap'
import { KeyNames } from '../../../src/engines/redis/keys.js'
import { createStore, type Collection } from '../../../src/index.js'
import { contract } from '../../contract/suite.js'
import { watching } from '../../contract/watching.js'
import { startCluster, type TestNode } from '../../support/redis-cluster.js'
import { NO_REDIS, hasRedis, outcome } from '../../support/redis.js'
import { until } from '../../support/until.js'

if (!hasRedis) {
  t.plan(0, NO_REDIS)
} else {
  const { options, masters, replica, masterOf } = await startCluster(t)
  const [first, second] = masters

  for (const suite of [contract, watching]) {
    suite(t, 'the redis engine with a cluster', async () => {
      const a = createStore(options)
      const b = createStore(options)
      return { a, b, end: async () => { await Promise.all([a.close(), b.close()]) } }
    })
  }

  const names = new KeyNames('strong-store', true)
  /** The name of a collection that is stored on a node. */
  const nameAt = async (wanted: TestNode, start: string): Promise<string> => {
    for (let i = 0; ; i++) {
      if (await masterOf(names.base(`${start} ${i}`)) === wanted) return `${start} ${i}`
    }
  }
  /** The number of subscriber connections at these nodes. */
  const listeners = async (nodes: TestNode[]): Promise<number> => {
    const channels = await Promise.all(
      nodes.map(({ redis }) => redis.call('PUBSUB', 'CHANNELS', 'strong-store:*') as Promise<string[]>)
    )
    return channels.flat().length
  }

  /** Follows a collection with a watch, and tracks the state that it reports. */
  const follow = (collection: Collection<any>) => {
    const seen = { state: new Map<string, unknown>(), isReady: false, resets: 0, end: () => events.return() }
    const events = collection.watch()
    const read = async (): Promise<void> => {
      for await (const event of events) {
        if (event.type === 'ready') seen.isReady = true
        else if (event.type === 'reset') {
          seen.resets++
          seen.state.clear()
        } else if (event.type === 'set') seen.state.set(event.key, event.value)
        else seen.state.delete(event.key)
      }
    }
    read().catch(t.threw)
    return seen
  }

  t.test('when subscriber connections are lost, others take over, and locks and waits are kept', async t => {
    const store = createStore(options)
    t.teardown(() => store.close())
    store.on('error', error => { t.fail(error.message) })
    const names = await Promise.all(masters.map(node => nameAt(node, 'told')))
    const locks = await Promise.all(names.map(name => store.collection(name).acquire('lock')))
    const waits = names.map(name => store.collection(name).get('lock'))
    await until(async () => (await store.locks()).every(({ waiters }) => waiters === 1))
    t.equal(await listeners(masters), 1)
    for (const { redis } of masters) await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await until(async () => await listeners(masters) === 1)
    t.ok(locks.every(({ held }) => held))
    for (const lock of locks) {
      lock.set('kept')
      await lock.release()
    }
    t.strictSame(await Promise.all(waits), ['kept', 'kept', 'kept'])
  })

  t.test('calls whose connections are killed leave no lock behind', async t => {
    const stores = [createStore(options), createStore(options)]
    t.teardown(() => Promise.all(stores.map(store => store.close())))
    const names = await Promise.all(masters.map(node => nameAt(node, 'killed')))
    const ending = new AbortController()
    let locked = 0
    let failed = 0
    const loops = stores.flatMap(store => names.map(async name => {
      store.on('error', () => {})
      const collection = store.collection(name)
      while (!ending.signal.aborted) {
        try {
          const lock = await collection.acquire('lock')
          locked++
          await lock.release()
        } catch {
          failed++
          await new Promise(resolve => { setTimeout(resolve, 5) })
        }
      }
    }))
    for (let i = 0; i < 30; i++) {
      const before = locked
      await masters[i % masters.length]!.redis.call('CLIENT', 'KILL', 'TYPE', i % 2 === 0 ? 'normal' : 'pubsub')
      await until(() => locked > before + 10)
    }
    ending.abort()
    await Promise.all(loops)
    t.ok(failed > 0, 'calls have failed')
    await until(async () => (await stores[0]!.locks()).length === 0)
  })

  t.test('a stopped node fails the calls on its collections, and no others', async t => {
    const store = createStore({ ...options, redis: { ...options.redis, life: 3 } })
    t.teardown(() => store.close())
    store.on('error', error => { t.fail(error.message) })
    const failing = store.collection(await nameAt(first!, 'stopped'))
    const other = store.collection(await nameAt(second!, 'stopped'))
    const lost = await failing.acquire('lock')
    const lock = await other.acquire('lock')
    const waits = [outcome(failing.get('lock')), other.get('lock')] as const
    await until(async () => (await store.locks()).every(({ waiters }) => waiters === 1))
    first!.child.kill('SIGSTOP')
    t.strictSame(
      await Promise.all([outcome(failing.get('key')), outcome(store.locks()), waits[0]]),
      Array(3).fill('STORE_DISCONNECTED')
    )
    t.equal(lost.held, false)
    t.equal(await outcome(other.set('key', 1).then(() => 'done')), 'gave done')
    t.equal(lock.held, true)
    // The subscriber connection may have been at the stopped node.
    await until(async () => await listeners(masters.slice(1)) === 1)
    first!.child.kill('SIGCONT')
    lock.set('kept')
    await lock.release()
    t.equal(await waits[1], 'kept')
    const next = await failing.acquire('lock')
    t.ok(next.fence > lost.fence)
    await next.release()
  })

  t.test('after a failover, calls continue with the new master', async t => {
    const store = createStore({ ...options, redis: { ...options.redis, life: 5 } })
    t.teardown(() => store.close())
    store.on('error', error => { t.fail(error.message) })
    const failing = store.collection(await nameAt(first!, 'fails'))
    const other = store.collection(await nameAt(second!, 'fails'))
    const version = await failing.set('key', 'old')
    await other.set('key', 'old')
    const lock = await failing.acquire('lock')
    lock.set('never')
    const wait = outcome(failing.get('lock'))
    const stays = await other.acquire('lock')
    const otherWait = other.get('lock')
    await until(async () => (await store.locks()).filter(({ waiters }) => waiters === 1).length === 2)
    const offset = async ({ redis }: TestNode): Promise<string> =>
      /master_repl_offset:(\d+)/.exec(await redis.info('replication'))![1]!
    const seenOf = [failing, other].map(follow)
    await failing.set('watched', 'kept')
    await until(() => seenOf.every(({ isReady }) => isReady) && seenOf[0]!.state.get('watched') === 'kept')
    await until(async () => await offset(first!) === await offset(replica)) // or the writes would be lost
    replica.child.kill('SIGSTOP')
    await first!.redis.call('CLIENT', 'KILL', 'TYPE', 'replica')
    await failing.set('watched', 'lost')
    await until(() => seenOf[0]!.state.get('watched') === 'lost')

    await first!.kill()
    replica.child.kill('SIGCONT')
    t.equal(await wait, 'STORE_DISCONNECTED')
    t.equal(lock.held, false)
    t.match(await outcome(failing.get('key')), /^STORE_(DISCONNECTED|UNREACHABLE)$/, 'no node serves the collection')
    t.match(await outcome(store.collections()), /^STORE_(DISCONNECTED|UNREACHABLE)$/, 'a partial list is not returned')
    t.equal(await other.get('key'), 'old', 'collections on other nodes are not affected')
    t.equal(stays.held, true)
    stays.set('kept')
    await stays.release()
    t.equal(await otherWait, 'kept')
    // a takeover skips the seconds that an election takes
    await replica.redis.call('CLUSTER', 'FAILOVER', 'TAKEOVER')
    const seen = new Set<string>()
    await until(async () => {
      const result = await outcome(failing.get('key'))
      seen.add(result)
      return result === 'gave old'
    })
    seen.delete('STORE_DISCONNECTED')
    seen.delete('STORE_UNREACHABLE')
    t.strictSame([...seen], ['gave old'])
    await until(() => seenOf[0]!.state.get('watched') === 'kept')
    t.strictSame(seenOf.map(({ resets }) => resets > 0), [true, false], 'a watch resets where changes may be lost')
    t.ok(await failing.set('key', 'new') > version)
    await until(() => seenOf[0]!.state.get('key') === 'new')
    await Promise.all(seenOf.map(({ end }) => end()))
    const next = await failing.acquire('lock')
    t.equal(next.get(), undefined)
    t.ok(next.fence > lock.fence)
    await next.release()
    t.equal(await outcome(lock.release()), 'STORE_LOCK_LOST')
    t.equal(await other.get('lock'), 'kept')
    t.ok((await store.collections()).length >= 2)
  })
}
