// Under load, a busy server is not taken for a silent one, limits hold, and a stopped process loses only what expired.
import { once, setMaxListeners } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createStore, type Store, type StoreOptions } from '../../../src/index.js'
import { fork } from '../../support/cluster.js'
import { NO_REDIS, hasRedis, limitedServer, outcome, startServer } from '../../support/redis.js'
import { until } from '../../support/until.js'

if (hasRedis) await all()
else t.plan(0, NO_REDIS)

async function all (): Promise<void> {
  const server = await startServer(t)
  const { options, redis } = server
  const at = (t: Test, more: StoreOptions['redis'] = {}): Store => {
    const store = createStore({ ...options, redis: more })
    t.teardown(() => store.close())
    store.on('error', error => { t.fail(error.message) })
    return store
  }

  t.test('a burst of calls loses neither the connection nor a lock', async t => {
    const store = at(t, { life: 5 })
    const c = store.collection('burst')
    const lock = await c.acquire('mine')
    const calls: Array<Promise<unknown>> = []
    for (let i = 0; i < 20_000; i++) {
      calls.push(i % 3 === 0 ? c.get(`key ${i % 1000}`) : c.set(`key ${i % 1000}`, i))
      if (i % 1000 === 0) await new Promise(resolve => { setImmediate(resolve) })
    }
    await Promise.all(calls)
    t.equal(lock.held, true)
    await lock.release()
    t.equal(await c.get('key 998'), 19_998 - 1000)
  })

  t.test('calls above the limit are rejected, but not releases of locks', async t => {
    const store = at(t, { life: 60 }) // longer than the event loop is blocked
    const c = store.collection('limits')
    const lock = await c.acquire('mine')
    const value = 'x'.repeat(2 ** 20 - 2)
    const controller = new AbortController()
    const { signal } = controller
    setMaxListeners(0, signal)
    const writes = Array.from(
      { length: 300 }, (_, i) => outcome(c.set(`key ${i % 5}`, value, { signal }).then(() => 'done'))
    )
    const released = lock.release()
    controller.abort()
    const outcomes = await Promise.all(writes)
    await released
    t.equal(outcomes.filter(outcome => outcome === 'STORE_OVERLOADED').length, 300 - 256)
    t.equal(outcomes.filter(outcome => outcome === 'STORE_ABORTED').length, 256)
    t.ok(
      Number(/total_net_input_bytes:(\d+)/.exec(await redis.info('stats'))![1]) < 30 * 2 ** 20,
      'calls that are aborted in time are not sent'
    )
    const next = await c.acquire('mine')
    await next.release()
    t.equal(await outcome(c.set('key', 1).then(() => 'done')), 'gave done', 'later calls are accepted again')
  })

  t.test('limits apply while connecting, and many calls can be aborted', async t => {
    const folder = join(server.path, '..', 'silent')
    const sockets: Socket[] = []
    const silent = createServer(socket => { sockets.push(socket) }).listen(folder)
    await once(silent, 'listening')
    t.teardown(() => {
      silent.close()
      for (const socket of sockets) socket.destroy()
    })
    const store = createStore({ url: `redis://${folder}`, connectTimeout: 600 })
    const c = store.collection('connecting')
    const given = { aborted: 0, overloaded: 0, other: 0 }
    const count = (error: { code: string }): void => {
      if (error.code === 'STORE_ABORTED') given.aborted++
      else if (error.code === 'STORE_OVERLOADED') given.overloaded++
      else given.other++
    }
    const controllers = Array.from({ length: 20_000 }, () => new AbortController())
    const calls = controllers.map(({ signal }) => c.get('key', { signal }).catch(count))
    for (const controller of controllers.reverse()) controller.abort()
    await Promise.all(calls)
    t.strictSame(given, { aborted: 20_000, overloaded: 0, other: 0 })

    const value = 'x'.repeat(2 ** 20 - 2)
    for (let i = 0; i < 257; i++) c.set('key', value, { confirm: false }).catch(count)
    await c.get('key').catch(count)
    t.equal(given.overloaded, 1, 'unconfirmed calls count toward the limit')
    for (const socket of sockets) socket.destroy()
    silent.close()
    await t.rejects(store.close(), { code: 'STORE_UNREACHABLE' }, 'close reports that they are lost')
  })

  t.test('a stopped process loses its expired locks, and none that it acquires afterwards', async t => {
    const worker = await fork(t)
    const c = at(t).collection('stopped')
    const first = await c.acquire('first')
    await worker.run(async ({ strongStore, kept }, options) => {
      kept.store = strongStore.createStore(options)
      kept.errors = []
      kept.store.on('error', (error: { code: string }) => { kept.errors.push(error.code) })
      const c = kept.store.collection('stopped')
      kept.lock = await c.acquire('second')
      kept.wait = c.get('first').catch((error: { code: string }) => error.code)
    }, { ...options, redis: { life: 1 } })
    await until(async () => (await c.lockInfo('first'))?.waiters === 1)
    worker.kill('SIGSTOP')
    // Until its lock and its wait have ended: if it continued before another process checks, it would keep them.
    await until(
      async () => await c.tryAcquire('second').then(async lock => { await lock?.release(); return lock !== undefined })
    )
    await until(async () => (await c.lockInfo('first'))?.waiters === 0)
    worker.kill('SIGCONT')
    t.strictSame(await worker.run(async ({ kept }) => {
      const c = kept.store.collection('stopped')
      const fresh = await c.acquire('third')
      const lost = await kept.wait
      fresh.set('kept')
      await fresh.release()
      return { held: kept.lock.held, lost, value: await c.get('third'), errors: kept.errors }
    }), { held: false, lost: 'STORE_DISCONNECTED', value: 'kept', errors: [] })
    await first.release()
  })

  t.test('a blocked event loop is not taken for a silent server', async t => {
    const worker = await fork(t)
    const result = await worker.run(async ({ strongStore }, options) => {
      const store = strongStore.createStore(options)
      const errors: string[] = []
      store.on('error', (error: { code: string }) => { errors.push(error.code) })
      const c = store.collection<number>('blocked')
      await c.set('key', 0)
      const calls: Array<Promise<unknown>> = []
      for (let i = 0; i < 3; i++) {
        calls.push(c.increment('key'))
        await new Promise(resolve => { setImmediate(resolve) })
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1300)
      }
      await Promise.all(calls)
      return { value: await c.get('key'), errors }
    }, { ...options, redis: { life: 1 } })
    t.strictSame(result, { value: 3, errors: [] })
  })

  for (const mode of ['functions', 'scripts'] as const) {
    t.test(`another process that loads lost ${mode} does not change the order of calls`, async t => {
      const { options, redis } = await limitedServer(t, mode)
      const flush = (): Promise<unknown> =>
        mode === 'functions' ? redis.call('FUNCTION', 'FLUSH') : redis.script('FLUSH')
      const stores = [createStore(options), createStore(options)]
      t.teardown(() => Promise.all(stores.map(store => store.close())))
      await Promise.all(stores.map(store => store.collection('flushed').size()))
      for (let round = 0; round < 10; round++) {
        const last = stores.map(async (store, i) => {
          const c = store.collection<number>('flushed')
          const calls: Array<Promise<unknown>> = []
          for (let j = 0; j <= 60; j++) {
            calls.push(c.set(`key ${i}`, -1, { confirm: false }), c.del(`key ${i}`), c.set(`key ${i}`, j), c.size())
            if (j % 20 === round % 20) await new Promise(resolve => { setImmediate(resolve) })
          }
          await Promise.all(calls)
          return await c.get(`key ${i}`)
        })
        const flushes = (async () => { for (let i = 0; i < 3; i++) await flush() })()
        t.strictSame(await Promise.all(last), [60, 60])
        await flushes
      }
      const libraries = (await redis.call('FUNCTION', 'LIST') as unknown[]).length
      const scripts = Number(/number_of_cached_scripts:(\d+)/.exec(await redis.info('memory'))![1])
      t.ok(libraries + scripts < 100, `${libraries} libraries and ${scripts} scripts are kept`)
    })
  }
}
