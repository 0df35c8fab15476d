// The client library: which of its options are accepted, and clients created by the application.
import { Cluster, Redis } from 'ioredis'
import t from 'tap'
import { createStore, type StoreOptions } from '../../../src/index.js'
import { startCluster } from '../../support/redis-cluster.js'
import { NO_REDIS, hasRedis, startServer } from '../../support/redis.js'

t.test('options that would change the layout or the order are rejected with the reason', async t => {
  const refused: Array<[object, RegExp]> = [
    [{ keyPrefix: 'app:' }, /redis\.client\.keyPrefix: .*use redis\.prefix/],
    [{ retryStrategy: () => 100 }, /redis\.client\.retryStrategy: the store reconnects by itself/],
    [{ maxRetriesPerRequest: null }, /maxRetriesPerRequest/],
    [{ enableOfflineQueue: true }, /enableOfflineQueue: the store itself queues calls/],
    [{ enableAutoPipelining: true }, /enableAutoPipelining: .*would reorder/],
    [{ commandTimeout: 100 }, /commandTimeout: .*\{ timeout \}/],
    [{ stringNumbers: true }, /stringNumbers/],
    [{ readOnly: true }, /readOnly: replicas/],
    [{ role: 'slave', sentinels: [], name: 'main' }, /role: replicas/],
    [{ redisOptions: {} }, /directly in redis\.client/]
  ]
  for (const [client, message] of refused) {
    t.throws(
      () => createStore({ url: 'redis:', redis: { client } }), { code: 'STORE_OPTION_INVALID', message }
    )
  }
  for (const [options, message] of [
    [{ redis: { cluster: true, client: { scaleReads: 'slave' } } }, /scaleReads: replicas/],
    [{ redis: { cluster: true, client: { db: 1 } } }, /a cluster only has database 0/],
    [{ url: 'redis://localhost/1', redis: { cluster: true } }, /a cluster only has database 0/],
    [{ url: 'redis:///run/s', redis: { cluster: true } }, /cannot be reached through a Unix socket/],
    [{ url: 'redis://localhost?db=1' }, /query parameters, which are not supported/],
    [{ redis: { client: 'localhost' } }, /expected ioredis options or an ioredis client/],
    [{ redis: { client: new Map() } }, /other clients are not supported/]
  ] as Array<[StoreOptions, RegExp]>) {
    t.throws(() => createStore({ url: 'redis:', ...options }), { code: 'STORE_OPTION_INVALID', message })
  }
  createStore({
    url: 'redis:',
    redis: { client: { keyPrefix: undefined, db: 3, connectionName: 'store', keepAlive: 1000, protocol: 2 } }
  })
})

t.test('with a client of the application, the store opens its own connections with the same settings', { skip: !hasRedis && NO_REDIS }, async t => {
  const { path, redis } = await startServer(t)
  await redis.config('SET', 'requirepass', 'secret')
  // Settings that are rejected as options are allowed here: they are those of the application.
  const settings = {
    path,
    password: 'secret',
    db: 2,
    keyPrefix: 'app:',
    stringNumbers: true,
    commandTimeout: 30_000,
    readOnly: false,
    enableAutoPipelining: true,
    maxRetriesPerRequest: null
  }
  for (const protocol of [2, 3] as const) {
    const client = new Redis({ ...settings, protocol })
    t.teardown(() => { client.disconnect() })
    const events: string[] = []
    for (const event of ['close', 'end', 'reconnecting']) client.on(event, () => { events.push(event) })
    const store = createStore({ url: 'redis:', redis: { client, prefix: `protocol ${protocol}` } })
    const c = store.collection<number>('c')
    await c.set('key', 1)
    t.equal(await c.increment('key'), 2)
    const lock = await c.acquire('key')
    const wait = c.get('key')
    const aborted = c.get('key', { timeout: 0.01 })
    await t.rejects(aborted, { code: 'STORE_TIMEOUT' })
    lock.set(3)
    await lock.release()
    t.equal(await wait, 3)
    await redis.select(2)
    t.equal(await redis.exists(`protocol ${protocol}:{c:c}:records`), 1, 'in its database, without keyPrefix')
    await store.close()
    await client.set('mine', 'still')
    t.equal(await client.get('mine'), 'still')
    t.strictSame(events, [])
    t.equal(client.listenerCount('error'), 0)
  }
  const client = new Redis({ ...settings, lazyConnect: true })
  t.throws(
    () => createStore({ url: 'redis://localhost', redis: { client } }),
    { code: 'STORE_OPTION_INVALID', message: /expected 'redis:' with an ioredis client/ }
  )
  t.throws(
    () => createStore({ url: 'redis:', redis: { client, cluster: true } }),
    { code: 'STORE_OPTION_INVALID', message: /redis\.cluster/ }
  )
  t.equal(client.status, 'wait', 'a client that is not connected stays so')
  const wrong = new Redis({ ...settings, password: 'wrong', lazyConnect: true })
  await t.rejects(
    createStore({ url: 'redis:', redis: { client: wrong } }).collection('c').get('key'),
    { code: 'STORE_UNREACHABLE', message: /the server of redis\.client: WRONGPASS/ }
  )
})

t.test('with a Cluster of the application, the store uses its nodes', { skip: !hasRedis && NO_REDIS }, async t => {
  const { masters } = await startCluster(t)
  const client = new Cluster(
    masters.map(({ port }) => ({ host: '127.0.0.1', port })), { keyPrefix: 'app:', scaleReads: 'slave' }
  )
  t.teardown(() => { client.disconnect() })
  const store = createStore({ url: 'redis:', redis: { client } })
  for (const name of ['a', 'b', 'c', 'd']) {
    await store.collection(name).set('key', name)
    t.equal(await store.collection(name).get('key'), name)
    const found = await Promise.all(client.nodes('master').map(node => node.keys(`strong-store:{*}:${name}:records`)))
    t.equal(found.flat().length, 1)
  }
  await store.close()
  t.equal(await client.set('key', 'mine'), 'OK')
})
