// Closing a store in Redis: what was called before is delivered, or close rejects.
import { execFile } from 'node:child_process'
import { performance } from 'node:perf_hooks'
import { promisify } from 'node:util'
import fastify from 'fastify'
import t from 'tap'
import strongStore, { createStore, type StoreOptions } from '../../../src/index.js'
import { NO_REDIS, hasRedis, outcome, startServer } from '../../support/redis.js'
import { until } from '../../support/until.js'

const run = promisify(execFile)
const LIBRARY = new URL('../../../src/index.js', import.meta.url).href

if (hasRedis) await all()
else t.plan(0, NO_REDIS)

async function all (): Promise<void> {
  const server = await startServer(t)
  const { options } = server
  const reader = createStore(options)
  t.teardown(() => reader.close())

  /** Runs code with a new store in a process of its own, which nothing else keeps alive. */
  const inProcess = async (code: string, more: StoreOptions = {}): Promise<void> => {
    const program = `import { createStore } from ${JSON.stringify(LIBRARY)}
      const store = createStore(${JSON.stringify({ ...options, ...more })}), c = store.collection('closed')
      ${code}`
    const env = { ...process.env, NODE_OPTIONS: '' }
    await run(process.execPath, ['--input-type=module', '-e', program], { env })
  }
  const closed = reader.collection('closed')

  t.test('close keeps the process alive until unconfirmed calls are delivered', async t => {
    await inProcess("c.set('first', 1, { confirm: false }); await store.close()")
    t.equal(await closed.get('first'), 1)
    await inProcess(`
      await c.get('key')
      for (let i = 0; i < 3000; i++) c.set('key' + i, i, { confirm: false })
      await store.close()
    `)
    t.equal(await closed.get('key2999'), 2999)
    await inProcess("const lock = await c.acquire('key'); lock.set('dropped'); await store.close()")
    t.strictSame(await reader.locks(), [])
    await inProcess("c.get('read'); c.set('read', 1, { confirm: false }); await store.close()")
    t.equal(await closed.get('read'), 1, 'a write after a get of the same key')
  })

  t.test('every call of close resolves when everything is delivered', async t => {
    await inProcess(`
      for (let i = 0; i < 5000; i++) c.set('twice' + i, i, { confirm: false })
      store.close()
      await store.close()
      process.exit()
    `)
    t.equal(await closed.get('twice4999'), 4999)
  })

  t.test('the close of an app rejects if unconfirmed writes of its store may be lost, and runs its other hooks', async t => {
    const app = fastify()
    let closed = 0
    app.addHook('onClose', async () => { closed++ })
    await app.register(strongStore, { url: `redis://${server.path}-nobody` })
    app.addHook('onClose', async () => { closed++ })
    app.store.on('error', () => {})
    await app.store.collection('c').set('key', 1, { confirm: false })
    t.equal(await outcome(app.close()), 'STORE_UNREACHABLE')
    t.equal(closed, 2)
  })

  t.test('close rejects if unconfirmed writes may be lost, within connectTimeout', async t => {
    const nowhere = createStore({ url: `redis://${server.path}-nobody` })
    nowhere.on('error', () => {})
    nowhere.collection('c').set('key', 1, { confirm: false }).catch(() => {})
    const closing = nowhere.close()
    await t.rejects(closing, { code: 'STORE_UNREACHABLE', message: /unconfirmed writes before this close may be lost/ })
    await t.rejects(nowhere.close(), { code: 'STORE_UNREACHABLE' }, 'every time')

    const stopped = createStore({ ...options, connectTimeout: 2 })
    const killed = createStore(options)
    const idle = createStore({ ...options, connectTimeout: 2 })
    for (const store of [stopped, killed, idle]) {
      store.on('error', () => {})
      await until(() => store.collection('c').get('key').then(() => true, () => false)) // connecting may take longer
    }
    server.signal('SIGSTOP')
    await stopped.collection('c').set('key', 1, { confirm: false })
    const pending = outcome(stopped.collection('c').get('key'))
    const start = performance.now()
    t.equal(await outcome(stopped.close()), 'STORE_DISCONNECTED')
    t.ok(performance.now() - start < 5000)
    t.equal(await pending, 'STORE_CLOSED')
    t.equal(await outcome(idle.close()), 'gave undefined', 'nothing is lost')
    await killed.collection('c').set('key', 1, { confirm: false })
    const lost = outcome(killed.close())
    await server.kill()
    t.equal(await lost, 'STORE_DISCONNECTED')
    await server.start()
  })
}
