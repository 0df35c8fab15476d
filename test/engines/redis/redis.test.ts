// Stores in Redis and their processes, with a real server that is flushed, stopped and killed.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createStore, type Store, type StoreOptions } from '../../../src/index.js'
import { serveAdmin } from '../../support/admin.js'
import { fork } from '../../support/cluster.js'
import { NO_REDIS, hasRedis, outcome, startServer, withoutFunctions, type TestServer } from '../../support/redis.js'
import { until } from '../../support/until.js'

if (hasRedis) await all()
else t.plan(0, NO_REDIS)

function storeAt (t: Test, options: StoreOptions, more: StoreOptions['redis'] = {}): Store {
  const store = createStore({ ...options, redis: { ...options.redis, ...more } })
  t.teardown(() => store.close())
  return store
}

const waitersOf = async (store: Store, key: string): Promise<number> =>
  (await store.locks()).find(lock => lock.key === key)?.waiters ?? 0

async function all (): Promise<void> {
  const server = await startServer(t)
  const { options, redis } = server

  const flushes = [
    ['functions', options, () => redis.call('FUNCTION', 'FLUSH')],
    ['scripts', await withoutFunctions(server), () => redis.script('FLUSH')]
  ] as const
  const callsOf = async (command: string): Promise<number> => Number(
    new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await redis.info('commandstats'))?.[1] ?? 0
  )

  t.test('calls in two collections of a server take effect in the order they were made', async t => {
    const store = storeAt(t, options)
    const [first, second] = [store.collection('order first'), store.collection('order second')]
    for (const confirm of [true, false]) {
      await first.clear()
      const get = first.get('key') // repeated by a script before the set overtakes it
      const set = first.set('key', 1, { confirm })
      const version = await second.set('key', 1)
      t.equal(await get, undefined)
      await set
      t.ok((await first.entry('key'))!.version < version)
    }
  })

  t.test('a killed process loses its locks, its waits and its uncommitted changes', async t => {
    const worker = await fork(t)
    const store = storeAt(t, options, { life: 1 })
    const jobs = store.collection('jobs')
    await jobs.set('key', 'before')
    await worker.run(async ({ strongStore, kept }, options) => {
      kept.jobs = strongStore.createStore(options).collection('jobs')
      kept.lock = await kept.jobs.acquire('key')
      kept.lock.set('never')
      kept.other = await kept.jobs.acquire('other', { lease: 1000 })
      kept.waits = [1, 2, 3].map(() => kept.jobs.acquire('key').catch(() => {}))
    }, options)
    await until(async () => await waitersOf(store, 'key') === 3)
    const waits = [jobs.get('key'), jobs.acquire('key')] as const
    await until(async () => await waitersOf(store, 'key') === 5)
    worker.kill('SIGKILL')
    t.equal(await waits[0], 'before', 'the next waiter is served')
    const lock = await waits[1]
    t.equal(lock.get(), 'before')
    await lock.release()
    t.ok(
      await jobs.tryAcquire('other').then(async lock => { await lock?.release(); return lock }),
      'its other lock is free'
    )
    t.strictSame(await store.locks(), [])
  })

  t.test('a lock without a lease lasts as long as its process sends heartbeats', async t => {
    const worker = await fork(t)
    const store = storeAt(t, options, { life: 1 })
    const jobs = store.collection('alive')
    const lock = await jobs.acquire('mine')
    t.equal(lock.expiresAt, undefined)
    const heartbeats = 'strong-store:{c:alive}:alive'
    const [own] = await redis.zrange(heartbeats, '0', '-1')
    await worker.run(async ({ strongStore, kept }, options) => {
      kept.store = strongStore.createStore(options)
      kept.lock = await kept.store.collection('alive').acquire('theirs')
      kept.lock.set('too late')
    }, { ...options, redis: { ...options.redis, life: 1 } })
    const start = Date.now()
    worker.kill('SIGSTOP')
    const other = (await redis.zrange(heartbeats, '0', '-1')).find(process => process !== own)!
    const end = Number(await redis.zscore(heartbeats, other))
    const theirs = await jobs.acquire('theirs')
    const [seconds, micros] = await redis.time()
    t.ok(Number(seconds) * 1000 + Number(micros) / 1000 >= end, 'not before its heartbeat expired')
    t.equal(theirs.get(), undefined)
    await until(() => Date.now() - start > 1500)
    worker.kill('SIGCONT')
    t.match(await worker.run(async ({ kept }) => {
      const { signal } = kept.lock
      if (signal.aborted !== true) await new Promise(resolve => { signal.addEventListener('abort', resolve) })
      const code = await kept.lock.release().catch((error: { code: string }) => error.code)
      return { reason: signal.reason.code, held: kept.lock.held, code }
    }), { reason: 'STORE_LOCK_LOST', held: false, code: 'STORE_LOCK_LOST' })
    await theirs.release()
    t.equal(await jobs.get('theirs'), undefined, 'the late commit is rejected')
    t.equal(lock.held, true)
    lock.set('kept')
    await lock.release()
    t.equal(await jobs.get('mine'), 'kept')
  })

  t.test('a commit is rejected if the server has lost the lock', async t => {
    const store = storeAt(t, options)
    const jobs = store.collection('late')
    const lock = await jobs.acquire('key')
    lock.set('late')
    const release = lock.release()
    t.equal(await outcome(release), 'gave undefined')
    const second = await jobs.acquire('key')
    second.set('later')
    await redis.hdel('strong-store:{c:late}:records', '!key') // as in a failover
    t.equal(await outcome(second.release()), 'STORE_LOCK_LOST')
    t.equal(await jobs.get('key'), 'late')
  })

  t.test('a thousand waiters do not poll', async t => {
    const store = storeAt(t, options)
    const other = storeAt(t, options)
    const lock = await other.collection('crowd').acquire('key')
    const order: number[] = []
    const waits = Array.from({ length: 1000 }, (_, i) => store.collection('crowd').acquire('key').then(lock => {
      order.push(i)
      return lock.release()
    }))
    await until(async () => await waitersOf(store, 'key') === 1000)
    const before = await callsOf('fcall')
    const start = Date.now()
    await until(() => Date.now() - start > 1200)
    const count = await callsOf('fcall') - before
    t.ok(count > 0 && count < 20, `${count} calls`)
    await lock.release()
    await Promise.all(waits)
    t.strictSame(order, Array.from({ length: 1000 }, (_, i) => i))
  })

  t.test('long values reach many waiters', async t => {
    const store = storeAt(t, options)
    const long = store.collection<string>('long')
    await long.set('key', 'x'.repeat(2 ** 20 - 2))
    const lock = await long.acquire('key')
    // more than the 32 MB that the server buffers for a subscriber
    const waits = Array.from({ length: 40 }, () => long.get('key'))
    await until(async () => await waitersOf(store, 'key') === 40)
    await lock.release()
    t.ok((await Promise.all(waits)).every(value => value!.length === 2 ** 20 - 2))
    t.equal(await redis.exists('strong-store:{c:long}:kept'), 0)
  })

  t.test('deleted keys and released locks leave only keys that expire, and versions and fences increase', async t => {
    const store = storeAt(t, options, { prefix: 'traces' })
    const traces = store.collection('c')
    await traces.configure({ expireKeys: 100 })
    const version = await traces.set('key', 1)
    await traces.set('timed', 1, { ttl: 100 })
    const lock = await traces.acquire('key')
    const { fence } = lock
    const waits = [
      traces.get('key'), traces.set('key', 2), traces.clear(), outcome(traces.get('key', { timeout: 0.01 }))
    ]
    t.equal(await waits[3], 'STORE_TIMEOUT')
    lock.set(3)
    await lock.release()
    await Promise.all(waits)
    t.equal(await traces.get('none'), undefined)
    t.equal(await traces.tryAcquire('none').then(lock => lock?.release()), undefined)
    await traces.configure({ expireKeys: 0 })
    const left = await redis.keys('traces:*')
    t.strictSame(left.filter(key => /:(names|ends|idle|timed|until|owned|queue|waiting|clears|jobs)$/.test(key)), [])
    for (const key of left) t.ok(await redis.pttl(key) > 0, `${key} expires`)
    await redis.flushall()
    t.ok(await traces.set('key', 1) > version)
    const next = await traces.acquire('key')
    t.ok(next.fence > fence)
    await next.release()
  })

  t.test('numbers are formatted as in JavaScript', async t => {
    const numbers = storeAt(t, options).collection<number>('numbers')
    const samples = [
      0.1, -0.1, 1 / 3, 1e21, 1e20, 123456789012345680000, 2 ** 53, -(2 ** 60), 1e-6, 1e-7, 1.5e-7, 5e-324,
      1.7976931348623157e308, 1e100, 123e-20, 4.35, 0.000001234
    ]
    const random = (): number => (Math.random() - 0.5) * 10 ** Math.floor(Math.random() * 60 - 30)
    const all = [...samples, ...Array.from({ length: 500 }, random)]
    t.strictSame(await Promise.all(all.map((number, i) => numbers.increment(`n ${i}`, number))), all)
    t.strictSame(await numbers.text.getMany(all.map((_, i) => `n ${i}`)), all.map(String))
    t.equal(await numbers.increment('sum', 0.1) + await numbers.increment('sum', 0.2) > 0, true)
    t.equal(await numbers.text.get('sum'), String(0.1 + 0.2))
  })

  t.test('close releases locks, completes unconfirmed writes, and fails waiting calls', async t => {
    const store = createStore(options)
    const jobs = store.collection('closing')
    const other = storeAt(t, options).collection('closing')
    const held = await jobs.acquire('held')
    held.set('dropped')
    const theirs = await other.acquire('theirs')
    const waits = [outcome(jobs.acquire('theirs')), outcome(jobs.get('theirs'))]
    await until(async () => await waitersOf(store, 'theirs') === 2)
    const next = other.acquire('held')
    for (let i = 0; i <= 100; i++) await jobs.set('posted', i, { confirm: false })
    await store.close()
    t.strictSame(await Promise.all(waits), ['STORE_CLOSED', 'STORE_CLOSED'])
    t.equal(await outcome(jobs.get('key')), 'STORE_CLOSED')
    const lock = await next
    t.equal(lock.get(), undefined)
    t.equal(await other.get('posted'), 100)
    await Promise.all([lock.release(), theirs.release()])
  })

  t.test('an idle store does not keep the process alive', async t => {
    const worker = await fork(t)
    await worker.run(async ({ strongStore, kept }, options) => {
      const jobs = strongStore.createStore(options).collection('ending')
      await jobs.set('key', 1)
      kept.lock = await jobs.acquire('key')
      setImmediate(() => { process.disconnect() })
    }, options)
    t.strictSame(await worker.exited, [0, null])
  })

  for (const [title, options, flush] of flushes) {
    t.test(`${title} that are flushed are loaded again, and calls keep their order`, async t => {
      const store = storeAt(t, options)
      const c = store.collection('flushed')
      for (let round = 0; round < 20; round++) {
        const done: Array<Promise<unknown>> = []
        for (let i = 0; i < 50; i++) {
          done.push(c.set('key', i))
          if (i % 10 === 5) done.push(flush(), c.size(), c.set(`key ${i}`, i))
          if (i % 3 === round % 3) await turn()
        }
        await Promise.all(done)
        t.equal(await c.get('key'), 49)
      }
      t.equal(await c.size(), 6)
    })
  }

  t.test('calls keep their order if the server has only some of the scripts', async t => {
    const c = storeAt(t, await withoutFunctions(server)).collection('known')
    for (let round = 0; round < 5; round++) {
      await redis.script('FLUSH')
      await c.set('key', 'old') // the server knows this script now
      const calls = [c.clear(), c.set('key', round), c.clear(), c.set('key', round + 1), c.get('key')]
      t.equal((await Promise.all(calls))[4], round + 1)
    }
  })

  t.test('a get is one plain command, and is counted', async t => {
    const store = storeAt(t, options)
    const c = store.collection('plain')
    await c.set('key', 'value')
    await c.configure({ expireKeys: 0 })
    const before = await callsOf('hmget')
    const scripts = await callsOf('fcall')
    for (let i = 0; i < 1000; i++) {
      t.equal(
        i % 10 === 0 ? await c.get('none') : await c.get('key'), i % 10 === 0 ? undefined : 'value'
      )
    }
    t.ok(await callsOf('fcall') - scripts < 100, 'only background work runs scripts')
    t.ok(await callsOf('hmget') - before >= 1000)
    t.equal((await store.collections()).find(({ name }) => name === 'plain')?.reads, 1000)
  })

  t.test('consecutive gets of one tick share a command', async t => {
    const c = storeAt(t, options).collection('together')
    const other = storeAt(t, options).collection('together')
    await c.setMany(Array.from({ length: 100 }, (_, i) => [`key ${i}`, i]))
    await other.size()
    const before = await callsOf('hmget')
    t.strictSame(
      await other.getMany(Array.from({ length: 101 }, (_, i) => `key ${i}`)), [...Array(100).keys(), undefined]
    )
    t.ok(await callsOf('hmget') - before <= 5)

    const lock = await c.acquire('key 1')
    lock.set('one')
    const found = Promise.all(
      [other.get('key 0'), other.get('key 1'), other.set('key 0', 'zero'), other.get('key 0'), other.get('key 2')]
    )
    await until(async () => (await c.lockInfo('key 1'))?.queue.length === 1)
    await lock.release()
    t.strictSame((await found).map((value, i) => i === 2 ? undefined : value), [0, 'one', undefined, 'zero', 2])
  })

  t.test('metrics omit unknown values', async t => {
    const store = storeAt(t, options, { prefix: 'metrics' })
    await store.collection('c').set('key', 1)
    const { ask } = await serveAdmin(t, store)
    const { text } = await ask('GET', '/metrics')
    const names = text.split('\n').filter(line => /^\w/.test(line)).map(line => /^\w+/.exec(line)![0])
    t.strictSame(
      names,
      [
        'strong_store_collections', 'strong_store_keys', 'strong_store_bytes', 'strong_store_locks',
        'strong_store_waiters',
        ...['keys', 'bytes', 'locks', 'waiters', 'reads_total', 'writes_total', 'expired_total', 'evicted_total']
          .map(name => `strong_store_collection_${name}`)
      ]
    )
    t.match(text, /^strong_store_keys 1$/m)
    t.strictSame(
      Object.keys((await ask('GET', '/stats')).json as object).filter(
        name => /processes|uptime|calls|refused|wait(s|ed)$|loopDelay/.test(name)
      ),
      []
    )
  })

  t.test('a get that the plain command cannot answer keeps its place in the order', async t => {
    const store = storeAt(t, options)
    const other = storeAt(t, options).collection('place')
    const c = store.collection('place')
    await c.set('key', 'first')
    const lock = await other.acquire('key')
    lock.set('second')
    const calls = [
      c.get('key'), c.get('key'), c.set('key', 'third'), c.get('key'), c.clear(), c.get('key'), c.set('key', 'fourth'),
      c.get('key')
    ]
    const gone = outcome(c.get('key', { timeout: 0.01 }))
    t.equal(await gone, 'STORE_TIMEOUT')
    await until(async () => await waitersOf(store, 'key') === 8)
    await lock.release()
    const found = await Promise.all(calls)
    t.strictSame([0, 1, 3, 5, 7].map(i => found[i]), ['second', 'second', 'third', undefined, 'fourth'])

    await other.set('timed', 'first', { ttl: 1000 })
    t.strictSame(
      await Promise.all(
        [c.get('timed'), c.set('timed', 'second'), c.get('timed')]
      ).then(([first, , last]) => [first, last]),
      ['first', 'second']
    )
    await other.configure({ maxKeys: 1000 })
    t.strictSame(await Promise.all([c.get('timed'), c.del('timed'), c.get('timed')]), ['second', true, undefined])
  })

  t.test('when memory is full, only writes that need more are rejected', async t => {
    const store = storeAt(t, options, { life: 1 })
    const c = store.collection('full')
    await c.configure({ expireKeys: 1000 })
    await c.set('key', 'old')
    await c.set('other', 'old')
    const lock = await c.acquire('key')
    lock.set('new')
    const wait = c.get('key')
    await until(async () => await waitersOf(store, 'key') === 1)
    await redis.config('SET', 'maxmemory', 1)
    t.teardown(() => redis.config('SET', 'maxmemory', 0))
    t.equal(await outcome(c.set('more', 1)), 'STORE_FULL')
    t.equal(await outcome(c.increment('count')), 'STORE_FULL')
    t.equal(await outcome(c.acquire('free')), 'STORE_FULL')
    t.equal(await c.get('other'), 'old')
    t.equal(await c.get('more'), undefined)
    t.equal(await c.del('other'), true)
    const start = Date.now()
    await until(() => Date.now() - start > 1200)
    t.equal(lock.held, true, 'locks are kept alive')
    t.equal(await outcome(lock.release()), 'STORE_FULL')
    t.equal(await wait, 'old', 'the change is dropped, and the lock is released')
    await redis.config('SET', 'maxmemory', 0)
    await c.set('more', 1)
    t.equal(await c.get('more'), 1)
  })

  t.test('calls wait for a stopped server, for a limited time', async t => {
    const patient = storeAt(t, options).collection('stopped')
    const other = storeAt(t, options, { life: 1 })
    const hasty = other.collection('stopped')
    await patient.set('key', 1)
    await hasty.set('key', 1)
    const lock = await hasty.acquire('mine')
    const errors: string[] = []
    other.on('error', error => { errors.push(error.code) })
    server.signal('SIGSTOP')
    const late = patient.get('key')
    t.equal(await outcome(patient.get('key', { timeout: 0.05 })), 'STORE_TIMEOUT')
    t.equal(await outcome(hasty.get('key')), 'STORE_DISCONNECTED')
    t.equal(lock.held, false)
    t.strictSame(errors, ['STORE_DISCONNECTED'])
    server.signal('SIGCONT')
    t.equal(await late, 1)
    t.equal(await hasty.get('key'), 1, 'the next call connects again')
  })

  t.test('a killed server fails all pending calls immediately, and works again after a restart', async t => {
    const store = storeAt(t, options)
    const c = store.collection('killed')
    const lock = await c.acquire('key')
    const { fence } = lock
    const aborted = once(lock.signal, 'abort')
    const waits = [c.acquire('key'), c.get('key'), c.set('key', 1), c.clear()].map(outcome)
    await until(async () => await waitersOf(store, 'key') === 4)
    await server.kill()
    t.strictSame(await Promise.all(waits), Array(4).fill('STORE_DISCONNECTED'))
    await aborted
    t.equal(await outcome(c.get('key')), 'STORE_UNREACHABLE')
    t.equal(await outcome(lock.release()), 'STORE_LOCK_LOST')
    await server.start()
    t.equal(await c.get('key'), undefined)
    const next = await c.acquire('key')
    t.ok(next.fence > fence, 'fences keep increasing')
    await next.release()
  })

  t.test('a connection closed in the middle of a reply is an error, not a miss', async t => {
    const proxy = await cutter(t, server)
    const store = storeAt(t, { url: `redis://${proxy.path}` })
    const c = store.collection('cut')
    await c.set('long', 'x'.repeat(200_000))
    const lock = await c.acquire('lock')
    proxy.cutAfter(20)
    t.strictSame(
      await Promise.all([c.get('long'), c.get('none'), c.increment('n')].map(outcome)),
      Array(3).fill('STORE_DISCONNECTED')
    )
    t.equal(lock.held, false)
    t.equal(await outcome(c.get('none')), 'gave undefined')
    proxy.cutAfter(100_000)
    t.equal(await outcome(c.get('long')), 'STORE_DISCONNECTED')
    t.equal((await c.get('long') as string).length, 200_000)
    const again = await c.acquire('lock')
    await again.release()
  })

  t.test('calls reject with the reason if the server is unreachable, does not reply, or rejects the login', async t => {
    const { path } = await cutter(t, server, true)
    for (const [options, message] of [
      [{ url: 'redis://127.0.0.1:1' }, /ECONNREFUSED/],
      [{ url: 'redis:///nowhere/s' }, /ENOENT/],
      [{ url: 'redis:', connectTimeout: 0.1, redis: { client: { path } } }, /no reply within 0.1 s/],
      [{ url: 'redis://:secret@localhost', redis: { client: { path: server.path } } }, /WRONGPASS/]
    ] as const) {
      if (message.source === 'WRONGPASS') await redis.config('SET', 'requirepass', 'other')
      const store = storeAt(t, options as StoreOptions)
      await t.rejects(store.collection('c').get('key'), { code: 'STORE_UNREACHABLE', message })
    }
    await redis.config('SET', 'requirepass', '')
    const store = storeAt(t, { url: 'redis://localhost/99', redis: { client: { path: server.path } } })
    for (const call of ['get', 'del'] as const) {
      await t.rejects(store.collection('c')[call]('key'), { code: 'STORE_UNREACHABLE', message: /database 99: .*out of range/ })
    }
    for (
      const url of ['redis://:secret@', 'redis://localhost/name']
    ) t.throws(() => createStore(url), { code: 'STORE_OPTION_INVALID' })
    for (const redis of [{ life: 0.5 }, { life: 4000 }, { prefix: 'a{b}' }, { prefix: 5 }, { nodes: [] }]) {
      t.throws(() => createStore({ url: 'redis:', redis: redis as object }), { code: 'STORE_OPTION_INVALID' })
    }
  })
}

/** A proxy to the server whose connections can be cut. `isSilent`: it forwards no replies. */
async function cutter (t: Test, server: TestServer, isSilent = false): Promise<{
  path: string, cutAfter (bytes: number): void
}> {
  const to = server.path
  const path = join(to, '..', isSilent ? 'silent' : 'proxy')
  let left = Infinity
  const sockets = new Set<Socket>()
  const proxy = createServer(near => {
    const far = connect(to)
    sockets.add(near).add(far)
    for (const socket of [near, far]) socket.on('error', () => {}).on('close', () => { near.destroy(); far.destroy() })
    near.pipe(far)
    far.on('data', chunk => {
      if (isSilent) return
      near.write(chunk.subarray(0, left))
      left -= chunk.length
      if (left > 0) return
      left = Infinity
      for (const socket of sockets) socket.end()
    })
  }).listen(path)
  await once(proxy, 'listening')
  t.teardown(() => {
    proxy.close()
    for (const socket of sockets) socket.destroy()
  })
  return { path, cutAfter: bytes => { left = bytes } }
}
