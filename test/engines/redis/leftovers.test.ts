// What a store leaves in Redis, for how long, and what removes it.
import t, { type Test } from 'tap'
import { createStore, type Store, type StoreOptions } from '../../../src/index.js'
import { makeLibrary } from '../../../src/engines/redis/scripts.js'
import { fork } from '../../support/cluster.js'
import { NO_REDIS, hasRedis, outcome, startServer } from '../../support/redis.js'
import { until } from '../../support/until.js'

if (hasRedis) await all()
else t.plan(0, NO_REDIS)

function storeAt (t: Test, options: StoreOptions, prefix = 'strong-store'): Store {
  const store = createStore({ ...options, redis: { prefix } })
  t.teardown(() => store.close())
  return store
}

async function all (): Promise<void> {
  const { redis, options } = await startServer(t)
  const { functions } = makeLibrary()
  const keysOf = (prefix: string): Promise<string[]> => redis.keys(`${prefix}:*`)
  /** The seconds until the last key of a store expires; -1 if a key never does. */
  const stays = async (prefix: string): Promise<number> => {
    const left = await Promise.all((await keysOf(prefix)).map(key => redis.pttl(key)))
    return left.includes(-1) ? -1 : Math.max(...left) / 1000
  }
  /** Marks a collection as due, and sweeps it. */
  const sweep = async (prefix: string, base: string): Promise<void> => {
    await redis.zadd(`${prefix}:index:due`, 0, base)
    while (await redis.fcall(functions.sweep, 1, `${prefix}:index:due`) === 1) { /* there is more */ }
  }

  t.test('expired counters are removed by a sweep', async t => {
    const c = storeAt(t, options, 'limits').collection('limits')
    for (let i = 0; i < 500; i++) await c.increment(`client ${i}`, 1, { ttl: 0.01 })
    await until(async () => await c.size() === 0)
    await sweep('limits', 'limits:{c:limits}')
    t.equal(await redis.exists('limits:{c:limits}:names', 'limits:{c:limits}:ends'), 0)
  })

  t.test('without connected processes, expiring collections are removed by the server', async t => {
    const store = createStore({ ...options, redis: { prefix: 'abandoned' } })
    const c = store.collection('c')
    await c.set('key', 1, { ttl: 100 })
    await c.increment('n', 1, { ttl: 50 })
    const lock = await c.acquire('key')
    const wait = outcome(c.get('key'))
    await store.collection('idle').configure({ expireKeys: 200 })
    await store.collection('idle').set('key', 1)
    await store.collection('leased').acquire('key', { lease: 30, detached: true })
    await until(async () => (await c.lockInfo('key'))?.waiters === 1)
    t.equal(lock.held, true)
    const left = await keysOf('abandoned')
    t.ok(left.length > 10)
    for (const key of left) {
      const seconds = await redis.pttl(key) / 1000
      t.ok(seconds > 0 && (/\{c:idle\}$|index/.test(key) || seconds < 400), `${key}: ${seconds}`)
    }
    await store.close()
    await wait

    const other = storeAt(t, options, 'abandoned')
    await other.collection('c').set('stays', 1)
    t.equal(await redis.pttl('abandoned:{c:c}:records'), -1, 'keys without an expiry stay')
    t.equal(await redis.pttl('abandoned:index:due'), -1)
    await other.collection('c').del('stays')
    t.ok(await stays('abandoned') > 0)
    await other.collection('c').set('key', 2, { ttl: 5000 })
    t.ok(await redis.pttl('abandoned:{c:c}:records') > 5_000_000, 'the collection is kept until its last key expires')
    t.ok(await redis.pttl('abandoned:{c:c}:ends') > 5_000_000)
    t.ok(await redis.pttl('abandoned:{c:c}:names') > 5_000_000)
  })

  t.test('an empty collection is removed from the index', async t => {
    const store = storeAt(t, options, 'empty')
    const c = store.collection('c')
    await c.set('key', 1)
    await c.clear()
    t.equal((await store.collections()).length, 1, 'its statistics are kept for a while')
    const empty = 'empty:{c:c}'
    await until(async () => { // as if that time had passed
      await redis.del(`${empty}:records`)
      await sweep('empty', empty)
      return (await keysOf('empty')).length === 0
    })
    await c.configure({ maxKeys: 5 })
    await redis.del(`${empty}:records`)
    await sweep('empty', empty)
    t.match(await store.collections(), [{ name: 'c', maxKeys: 5 }], 'its options are kept')
    await c.setMany(Array.from({ length: 7 }, (_, i) => [`key ${i}`, i]))
    t.equal(await c.size(), 5)
  })

  t.test('keys of other applications are not scanned', async t => {
    await redis.mset(...Array.from({ length: 100 }, (_, i) => [`other ${i}`, i]).flat())
    await redis.config('RESETSTAT')
    const store = storeAt(t, options, 'own')
    await store.collection('a').set('key', 1)
    await store.collection('b').increment('n')
    const lock = await store.collection('c {} \n é').acquire('key')
    t.strictSame((await store.collections()).map(({ name }) => name).sort(), ['a', 'b', 'c {} \n é'])
    t.match(await store.stats(), { collections: 3, keys: 2, locks: 1 })
    t.strictSame((await store.locks()).map(({ collection }) => collection), ['c {} \n é'])
    await lock.release()
    const used = await redis.info('commandstats')
    t.notMatch(used, /cmdstat_(scan|keys|dbsize)/)
  })

  t.test('many collections are listed in steps', async t => {
    const store = storeAt(t, options, 'many')
    const names = Array.from({ length: 400 }, (_, i) => `c ${i}`)
    await Promise.all(names.map(name => store.collection(name).set('key', 1)))
    await redis.config('RESETSTAT')
    t.strictSame((await store.collections()).map(({ name }) => name).sort(), names.slice().sort())
    t.ok(Number(/cmdstat_fcall:calls=(\d+)/.exec(await redis.info('commandstats'))![1]) >= 4)
    const locks = await Promise.all(Array.from({ length: 250 }, (_, i) => store.collection('c 7').acquire(`key ${i}`)))
    const leased = await store.collection('c 7').acquire('leased', { lease: 100, detached: true })
    t.equal((await store.locks()).length, 251)
    await Promise.all([...locks, leased].map(lock => lock.release()))
    t.strictSame(await store.locks(), [])
  })

  t.test('a canceled clear keeps the locked keys, and leaves no state', async t => {
    const store = storeAt(t, options, 'given-up')
    const c = store.collection('c')
    for (const how of ['timeout', 'close', 'kill'] as const) {
      await c.set('key', 'kept')
      const lock = await c.acquire('key')
      const worker = await fork(t)
      const waiters = async (): Promise<number | undefined> => (await c.lockInfo('key'))?.waiters
      await worker.run(async ({ strongStore, kept }, { options, timeout }) => {
        kept.store = strongStore.createStore(options)
        const c = kept.store.collection('c')
        kept.lock = await c.acquire('mine')
        kept.cleared = c.clear({ timeout }).catch((error: { code: string }) => error.code)
      }, { options: { ...options, redis: { prefix: 'given-up' } }, timeout: how === 'timeout' ? 0.5 : 100 })
      if (how !== 'timeout') await until(async () => await waiters() === 1)
      if (how === 'timeout') t.equal(await worker.run(({ kept }) => kept.cleared), 'STORE_TIMEOUT')
      else if (how === 'close') await worker.run(({ kept }) => kept.store.close())
      else worker.kill('SIGKILL')
      await until(async () => await waiters() === 0)
      t.equal(await redis.exists('given-up:{c:c}:waiting', 'given-up:{c:c}:clears'), 0)
      await lock.release()
      t.equal(await c.get('key'), 'kept')
      worker.kill('SIGKILL')
      await worker.exited
    }
    t.notMatch(await redis.info('errorstats'), /user_function|WRONGTYPE/)
  })

  t.test('clear takes effect in call order', async t => {
    const c = storeAt(t, options, 'place').collection<string>('c')
    for (const prefix of [undefined, 'a']) {
      await c.setMany([['a1', 'old'], ['a2', 'old'], ['b', 'old']])
      const lock = await c.acquire('a2')
      const calls = [
        c.get('a2'), c.clear(prefix === undefined ? {} : { prefix }), c.get('a1'), c.set('a1', 'new'), c.get('a1'),
        c.get('a2'), c.set('a2', 'newer'), c.get('a2')
      ]
      await until(async () => (await c.lockInfo('a2'))?.waiters === 5)
      t.strictSame((await c.lockInfo('a2'))!.queue.map(({ op }) => op), ['get', 'clear', 'get', 'set', 'get'])
      lock.set('of the holder')
      await lock.release()
      const found = await Promise.all(calls)
      t.strictSame([0, 2, 4, 5, 7].map(i => found[i]), ['of the holder', undefined, 'new', undefined, 'newer'])
      t.equal(await c.get('b'), prefix === undefined ? undefined : 'old')
    }
  })

  t.test('a ttl that passes while a key is locked takes effect before the next waiter is served', async t => {
    const c = storeAt(t, options, 'ends').collection('c')
    const [, lock] = await Promise.all([c.set('key', 1, { ttl: 0.2 }), c.acquire('key')])
    const calls = [c.get('key'), c.set('key', 2, { ifAbsent: true }), c.increment('key'), c.touch('key')]
    const end = Date.now() + 210
    await until(async () => Date.now() > end && (await c.lockInfo('key'))?.waiters === 4)
    t.equal(lock.get(), 1)
    await lock.release()
    const found = await Promise.all(calls)
    t.strictSame([found[0], found[2], found[3]], [undefined, 3, true])
  })

  t.test('expired keys are removed before live ones are evicted', async t => {
    const c = storeAt(t, options, 'room').collection('c')
    await c.configure({ maxKeys: 3, evict: false })
    await c.setMany([['a', 1], ['b', 1], ['c', 1]], { ttl: 0.01 })
    await until(async () => await c.size() === 0)
    await c.set('d', 1)
    await c.configure({ evict: true })
    await c.setMany([['x', 1], ['y', 1]], { ttl: 0.01 })
    await until(async () => await c.size() === 1)
    await c.set('new', 1)
    t.equal(await c.get('d'), 1)
    t.equal((await c.stats())!.evicted, 0)
  })

  t.test('pages of long keys have a cursor, and cursors of another engine are rejected', async t => {
    const c = storeAt(t, options, 'pages').collection('c')
    await c.setMany(Array.from({ length: 5 }, (_, i) => [`${'é'.repeat(300)} ${i}`, i]))
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await c.page({ limit: 2, cursor })
      seen.push(...page.keys.map(({ key }) => key))
      cursor = page.cursor
    } while (cursor !== undefined)
    t.equal(new Set(seen).size, 5)
    for (
      const cursor of ['9', 'n', 'nAAAA', '9007199254740993']
    ) await t.rejects(c.page({ cursor }), { code: 'STORE_OPTION_INVALID' })
  })
}
