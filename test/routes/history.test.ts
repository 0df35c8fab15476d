// The samples for the plots of the admin page, with mock timers and a clock that the test advances.
import { spawnSync } from 'node:child_process'
import { mock } from 'node:test'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { History } from '../../routes/history.js'
import { StoreError, createStore, type Store } from '../../src/index.js'
import { TOKEN, serveAdmin } from '../support/admin.js'

type Stats = Awaited<ReturnType<Store['stats']>>

t.beforeEach(() => { mock.timers.enable({ apis: ['setTimeout'] }) })
t.afterEach(() => { mock.timers.reset() })

/** A history of a store whose statistics are those of `stats`, with a clock. */
function historyOf (stats: () => Promise<Partial<Stats>>): {
  history: History, store: { isClosed: boolean }, asked: () => number, advance: (seconds: number) => Promise<void>
} {
  let now = 0
  let asked = 0
  const store = {
    isClosed: false,
    stats: async () => {
      asked++
      return await stats() as Stats
    }
  }
  const history = new History(store, () => now)
  return {
    history,
    store,
    asked: () => asked,
    async advance (seconds) {
      for (let i = 0; i < seconds; i++) {
        now += 1000
        mock.timers.tick(1000)
        await new Promise(resolve => { setImmediate(resolve) })
      }
    }
  }
}

t.test('the history has a sample every ten seconds, and none older than 15 minutes', async t => {
  let keys = 0
  const { history, advance } = historyOf(async () => ({ keys: keys++, uptime: 1, maxValueBytes: 5 }))
  history.start()
  t.strictSame(history.read(), [], 'there are no samples at first')
  await advance(25)
  t.match(history.read(), [{ age: 15, figures: { keys: 0, uptime: 1 } }, { age: 5, figures: { keys: 1 } }])
  t.notMatch(history.read(), [{ figures: { maxValueBytes: 5 } }], 'samples contain only what is plotted')
  await advance(3600)
  const samples = history.read()
  t.equal(samples.length, 90)
  t.equal(samples[0]!.age, 895)
  t.match(samples.at(-1), { age: 5, figures: { keys: 361 } })
  await advance(3)
  t.equal(history.read()[0]!.age, 898)
  await advance(3)
  t.equal(history.read()[0]!.age, 891, 'a sample is left out as soon as it is older than 15 minutes')
})

t.test('the history has gaps where the store does not reply, or replies late', async t => {
  let answer = async (): Promise<Partial<Stats>> => ({ keys: 1, uptime: 1 })
  const { history, advance, asked } = historyOf(() => answer())
  history.start()
  await advance(10)
  answer = async () => { throw new StoreError('STORE_UNREACHABLE') }
  await advance(20)
  let give: (() => void) | undefined
  answer = () => new Promise(resolve => { give = () => { resolve({ keys: 2, uptime: 1 }) } })
  await advance(10)
  t.equal(asked(), 4)
  await advance(30)
  t.equal(asked(), 4, 'one request at a time')
  give!()
  await advance(10)
  t.strictSame(
    history.read().map(({ age, figures }) => [age, figures?.keys]),
    [
      [70, 1], [60, undefined], [50, undefined], [40, undefined], [9, 2]
    ]
  )
})

t.test('samples are taken less often if statistics are sums over many collections', async t => {
  const { history, advance, asked } = historyOf(async () => ({ collections: 6000 }))
  history.start()
  await advance(10)
  t.equal(asked(), 1)
  await advance(59)
  t.equal(asked(), 1)
  await advance(1)
  t.equal(asked(), 2)
})

t.test('sampling ends with the API and with the store', async t => {
  let give: (() => void) | undefined
  const stopped = historyOf(() => new Promise(resolve => { give = () => { resolve({ uptime: 1 }) } }))
  stopped.history.start()
  await stopped.advance(10)
  stopped.history.stop()
  give!()
  await stopped.advance(60)
  t.equal(stopped.asked(), 1, 'no request after it was stopped, even during a request')

  const closed = historyOf(async () => ({ uptime: 1 }))
  closed.history.start()
  await closed.advance(10)
  closed.store.isClosed = true
  await closed.advance(60)
  t.equal(closed.asked(), 2, 'only the request that was due')
})

t.test('GET /history returns the samples to tokens that cover the whole store', async t => {
  mock.timers.reset()
  const store = createStore('memory:')
  let asked = 0
  const { stats } = store
  store.stats = async (...options) => {
    asked++
    return await stats.apply(store, options)
  }
  mock.timers.enable({ apis: ['setTimeout'] })
  const { ask, close } = await serveAdmin(t, store, {
    tokens: [{ name: 'one', token: 'scoped', access: 'read', collections: ['a'] }]
  })
  t.strictSame((await ask('GET', '/history')).json, { samples: [] })
  await store.collection('c').set('k', 1)
  mock.timers.tick(10_000)
  await new Promise(resolve => { setImmediate(resolve) })
  t.match((await ask('GET', '/history')).json, {
    samples: [
      { age: Number, figures: { keys: 1, writes: 1, calls: { set: 1 }, memory: { rss: Number }, uptime: Number } }
    ]
  })
  t.match(await ask('GET', '/history', { headers: { authorization: 'Bearer scoped' } }), {
    status: 403, json: { code: 'ADMIN_OUT_OF_SCOPE' }
  })
  t.equal((await ask('GET', '/history', { headers: { authorization: 'Bearer none' } })).status, 401)
  await close()
  mock.timers.tick(60_000)
  t.equal(asked, 1, 'no request after the app has closed')

  const other = createStore('memory:')
  const { ask: askOther } = await serveAdmin(t, other, { page: false })
  other.stats = async () => { throw new Error('asked') }
  mock.timers.tick(60_000)
  t.equal((await askOther('GET', '/history')).status, 404, 'there is no history without the page')
})

t.test('sampling does not keep the process alive', async t => {
  mock.timers.reset()
  const source = `
    import Fastify from 'fastify'
    import express from 'express'
    import strongStore from '${new URL('../../src/index.js', import.meta.url).href}'
    import { expressAdmin } from '${new URL('../../src/web/express.js', import.meta.url).href}'
    const app = Fastify()
    await app.register(strongStore, { url: 'memory:', admin: { token: '${TOKEN}' } })
    await app.ready()
    express().use(expressAdmin({ url: 'memory:', admin: { token: '${TOKEN}' } }))
  `
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', source], {
    cwd: fileURLToPath(new URL('../../..', import.meta.url)),
    env: { ...process.env, NODE_OPTIONS: '' },
    encoding: 'utf8',
    timeout: 60_000
  })
  t.equal(stderr, '')
  t.equal(status, 0)
})
