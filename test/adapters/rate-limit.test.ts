// Rate limits of the real libraries, shared by all workers and tested over HTTP, and the contracts of their stores.
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyRateLimit, { type RateLimitPluginOptions } from '@fastify/rate-limit'
import { rateLimit as expressRateLimit } from 'express-rate-limit'
import t, { type Test } from 'tap'
import { ExpressRateLimitStore, fastifyRateLimitStore } from '../../src/adapters/rate-limit.js'
import { createStore, type Collection, type Store } from '../../src/index.js'
import type { RateLimitServer } from '../fixtures/rate-limit-server.js'
import { servers } from '../support/servers.js'
import { until } from '../support/until.js'

t.teardown(() => createStore().close())

const SERVERS: RateLimitServer[] = [
  { name: 'fastify', library: 'fastify', limit: 100 },
  { name: 'express5', library: 'express 5', limit: 100 },
  { name: 'express4', library: 'express 4', limit: 100 }
]
const { get, burst, output } = await servers(
  t, 'rate-limit-server', [...SERVERS, { name: 'express5-skip', library: 'express 5', limit: 1000 }]
)
const counters = createStore().collection<number>('rate-limits')

for (const [{ name }, requests] of [[SERVERS[0]!, 1000], [SERVERS[1]!, 1000], [SERVERS[2]!, 300]] as const) {
  t.test(`${name}: of ${requests} requests at once, exactly 100 pass`, async t => {
    const answers = await burst(`/${name}/`, requests)
    t.equal(answers.filter(({ status }) => status === 200).length, 100)
    t.equal(answers.filter(({ status }) => status === 429).length, requests - 100)
    t.equal(output(), '', 'the library prints no warnings')
  })
}

t.test('fastify: routes with their own limits are counted separately, across all workers', async t => {
  const passed = async (path: string): Promise<number> => {
    const answers = await burst(path, 8)
    return answers.filter(({ status }) => status === 200).length
  }
  t.equal(await passed('/fastify/own'), 2)
  t.equal(await passed('/fastify/other'), 3)
})

t.test('express: requests that do not count are subtracted', async t => {
  const failing = async (): Promise<void> => {
    t.equal((await get('/express5-skip/own?fail')).status, 500)
    await until(async () => await counters.get('express5-skip-failing:127.0.0.1') === 0)
  }
  await failing()
  await failing()
  await failing()
  t.strictSame((await burst('/express5-skip/own', 4)).map(({ status }) => status).sort(), [200, 200, 429, 429])
  t.equal(output(), '')
})

/** A Fastify application that limits by a header, and its counters. */
interface Limited {
  app: FastifyInstance
  store: Store
  counters: Collection<number>
  hit (key?: string): Promise<number>
}

async function limited (t: Test, options: Omit<RateLimitPluginOptions, 'store'>): Promise<Limited> {
  const store = createStore('memory:')
  const app = Fastify()
  t.teardown(async () => { await app.close(); await store.close() })
  await app.register(fastifyRateLimit, {
    timeWindow: 100_000,
    keyGenerator: request => String(request.headers.client),
    ...options,
    store: fastifyRateLimitStore({ store })
  })
  app.get('/', async () => 'done')
  return {
    app,
    store,
    counters: store.collection('rate-limits'),
    hit: async (client = 'me') => (await app.inject({ url: '/', headers: { client } })).statusCode
  }
}

/** Seconds until the end of the only window, and how often it was hit. */
async function only (counters: Collection<number>): Promise<{ left: number, hits: number }> {
  const found = []
  for await (const [key] of counters.entries()) found.push(key)
  if (found.length !== 1) throw new Error(`${found.length} counters`)
  const { value, expiresAt } = (await counters.entry(found[0]!))!
  return { left: (expiresAt!.getTime() - Date.now()) / 1000, hits: value }
}

t.test('fastify: the first hit sets the window, unless the window restarts or grows while exceeded', async t => {
  for (const [options, seconds] of [
    [{}, [100, 100, 100, 100]],
    [{ continueExceeding: true }, [100, 100, 200, 200]],
    [{ exponentialBackoff: true }, [100, 100, 200, 400]],
    [{ continueExceeding: true, exponentialBackoff: true }, [100, 100, 200, 200]]
  ] as const) {
    let timeWindow = 100_000
    const { hit, counters } = await limited(t, { ...options, max: 2, timeWindow: () => timeWindow })
    for (const [i, expected] of seconds.entries()) {
      if (i === 2) timeWindow = 200_000
      t.equal(await hit(), i < 2 ? 200 : 429)
      const { left, hits } = await only(counters)
      t.ok(left <= expected && left > expected - 60, `${left} s`)
      t.equal(hits, i + 1)
    }
  }
})

t.test('fastify: a new window begins when the last one has ended', async t => {
  const { hit } = await limited(t, { max: 1, timeWindow: 30 })
  t.equal(await hit(), 200)
  await until(async () => await hit() === 200)
  const zero = await limited(t, { max: 1, timeWindow: 0 })
  t.equal(await zero.hit(), 200, 'a window of length 0 is as short as possible')
})

t.test('fastify: reading does not count, and createRateLimit() with other limits has its own counters', async t => {
  const { app, hit } = await limited(t, { max: 2 })
  const few = app.createRateLimit({ max: 1 })
  const same = app.createRateLimit()
  app.get(
    '/read', { config: { rateLimit: false } },
    async request => [await same(request, { increment: false }), await few(request, { increment: false })]
  )
  app.get('/few', { config: { rateLimit: false } }, async request => await few(request))
  const read = async (url: string): Promise<any> =>
    (await app.inject({ url, headers: { client: 'me' } })).json()
  t.match(await read('/read'), [{ remaining: 2, ttl: 0 }, { remaining: 1, ttl: 0 }])
  t.equal(await hit(), 200)
  t.match(await read('/few'), { isExceeded: false, remaining: 0 })
  t.match(await read('/few'), { isExceeded: true })
  const [own, apart] = await read('/read')
  t.match([own, apart], [{ remaining: 1, isExceeded: false }, { remaining: 0, isExceeded: true }])
  t.ok(own.ttl > 40_000 && own.ttl <= 100_000)
})

t.test('fastify: a client can have any key', async t => {
  const { hit, counters } = await limited(t, { max: 1 })
  const long = 'x'.repeat(5000)
  for (const client of ['', '__proto__', 'constructor', long + 'a', long + 'b', 'é', ' ', 'GET:/ me']) {
    t.strictSame([await hit(client), await hit(client)], [200, 429], client.slice(-10))
  }
  for await (const key of counters.keys()) t.ok(key.length < 100)
})

t.test('fastify: limiters with equal limits have their own counters, the same in all processes', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  // What every worker of a cluster does.
  type Hit = (url: string, headers?: Record<string, string>) => Promise<number>
  const build = async (options: object = {}): Promise<Hit> => {
    const app = Fastify()
    t.teardown(() => app.close())
    const register = async (max: number, mine: string): Promise<void> => {
      await app.register(fastifyRateLimit, {
        max,
        timeWindow: 60_000,
        allowList: request => !request.url.startsWith(mine),
        store: fastifyRateLimitStore({ store, ...options })
      })
    }
    await register(2, '/v')
    await register(1, '/plain')
    for (const version of ['1.0.0', '2.0.0']) {
      app.get('/v', { constraints: { version }, config: { rateLimit: { max: 1 } } }, async () => version)
    }
    for (const host of ['a.example', /b\.example/, /c\.example/]) {
      app.get('/v/host', { constraints: { host }, config: { rateLimit: { max: 1 } } }, async () => 'host')
    }
    for (const url of ['/a', '/b']) {
      app.get(
        url,
        { preHandler: app.rateLimit({ max: 1, timeWindow: 60_000, allowList: [] }), config: { rateLimit: false } },
        async () => url
      )
    }
    app.get('/plain', async () => 'plain')
    return async (url, headers = {}) => (await app.inject({ url, headers })).statusCode
  }
  const [one, other] = [await build({ prefix: 'p:' }), await build({ prefix: 'p:' })]
  for (const [url, headers] of [
    ['/a'], ['/b'], ['/v', { 'accept-version': '1.x' }], ['/v', { 'accept-version': '2.x' }],
    ['/v/host', { host: 'a.example' }], ['/v/host', { host: 'b.example' }], ['/v/host', { host: 'c.example' }],
    ['/plain']
  ] as Array<[string, Record<string, string>?]>) {
    t.strictSame([await one(url, headers), await other(url, headers)], [200, 429], `${url} ${JSON.stringify(headers)}`)
  }
  const apart = await build()
  t.strictSame([await apart('/a'), await apart('/plain')], [200, 200], 'without a prefix, each has its own counters')
  const [again, more] = [await build(), await build()]
  t.strictSame([await again('/plain'), await more('/plain')], [200, 200], 'even if their limits are equal')
})

t.test('express: each limiter without a prefix gets its own prefix', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const limiters = [[1000, 5], [2000, 5], [2000, 5], [2000, () => 5]] as const
  const prefixes = new Set<string>()
  for (const [windowMs, limit] of limiters) {
    const limiter = new ExpressRateLimitStore({ store })
    expressRateLimit({ windowMs, limit, store: limiter })
    t.equal((await limiter.increment('me')).totalHits, 1)
    prefixes.add(limiter.prefix)
  }
  t.equal(prefixes.size, limiters.length)
})

t.test('the window of a manually written counter without an expiry begins with the next hit', async t => {
  const { hit, counters } = await limited(t, { max: 3 })
  t.equal(await hit(), 200)
  for await (const [key] of counters.entries()) await counters.set(key, 1)
  t.equal(await hit(), 200)
  t.strictSame((await only(counters)).hits, 2)
  t.ok((await only(counters)).left <= 100)
  for await (const [key] of counters.entries()) await counters.set(key, 3)
  t.equal(await hit(), 429)

  const store = createStore('memory:')
  t.teardown(() => store.close())
  const limiter = new ExpressRateLimitStore({ store, prefix: 'p:' })
  limiter.init({ windowMs: 100_000 })
  await store.collection('rate-limits').set('p:me', 0)
  t.equal((await limiter.get('me'))!.resetTime, undefined)
  const { totalHits, resetTime } = await limiter.increment('me')
  t.ok(totalHits === 1 && resetTime!.getTime() <= Date.now() + 100_000)
  t.same((await limiter.get('me'))!.resetTime!.getTime() > Date.now(), true)
})

t.test('extreme windows never end, or end immediately', async t => {
  const windows = [
    [Infinity, true], [NaN, true], [1e300, true], [Number.MAX_SAFE_INTEGER, true], [-5, false], [0, false]
  ] as const
  for (const [timeWindow, isEndless] of windows) {
    for (const options of [{}, { exponentialBackoff: true }, { continueExceeding: true }]) {
      const { hit, counters } = await limited(t, { max: 1, timeWindow: () => timeWindow, ...options })
      t.equal(await hit(), 200)
      if (isEndless) {
        t.strictSame(
          [await hit(), await hit(), (await only(counters)).left > 1e9], [429, 429, true], String(timeWindow)
        )
      } else await until(async () => await hit() === 200)
    }
    const limiter = new ExpressRateLimitStore({ url: 'memory:' })
    limiter.init({ windowMs: timeWindow })
    const { resetTime } = await limiter.increment('me')
    t.equal(resetTime!.getTime() > Date.now() + 1e9, isEndless)
    t.equal(Number.isNaN(resetTime!.getTime()), false)
  }
})

t.test('unsupported versions of the libraries are rejected', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const RateLimitStore = fastifyRateLimitStore({ store })
  const error = { code: 'STORE_OPTION_INVALID', message: /npm install @fastify\/rate-limit@11/ }
  const limits = { max: 2, timeWindow: 60_000 }
  const hooks = { onExceeding: null, onExceeded: () => {}, onBanReach: () => {} }
  t.throws(() => new RateLimitStore({ ...limits, ...hooks }), error, 'version 9')
  t.throws(() => new RateLimitStore({ ...limits, timeWindowInSeconds: 60 }), error, 'version 8')
  const hit = (parameters: object, ...args: unknown[]): Promise<unknown> => new Promise((resolve, reject) => {
    const { incr } = new RateLimitStore({}).child(parameters) as { incr: (...args: unknown[]) => void }
    incr.call(new RateLimitStore({}).child(parameters), 'me', (error: Error | null, result: unknown) => {
      if (error === null) resolve(result)
      else reject(error)
    }, ...args)
  })
  t.match(await hit(limits, 60_000, 2), { current: 1 })
  t.match(await hit({ ...limits, timeWindow: () => 1000 }, 1000, 2), { current: 1 })
  for (const args of [[2, -1], [2], [], [60_000, -1], ['1 minute', 2]]) {
    await t.rejects(hit(limits, ...args), error, String(args))
  }
  await t.rejects(hit({ max: () => NaN, timeWindow: 1000 }, 1000, NaN), error)
  t.throws(() => { new ExpressRateLimitStore({ store }).init({} as never) }, { code: 'STORE_OPTION_INVALID', message: /express-rate-limit@8/ })
})

t.test('while the store is unreachable, requests fail, or pass uncounted if the library is configured so', async t => {
  for (const [skipOnError, status] of [[false, 503], [true, 200]] as const) {
    const { hit, store } = await limited(t, { max: 1, skipOnError })
    await store.close()
    t.equal(await hit(), status)
  }
})

t.test('express: the store supports get, increment, decrement, resetKey, resetAll and shutdown', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const limiter = new ExpressRateLimitStore({ store, prefix: 'a:' })
  const other = new ExpressRateLimitStore({ store, prefix: 'b:' })
  t.strictSame([limiter.prefix, limiter.localKeys], ['a:', false])
  limiter.init({ windowMs: 100_000 })
  t.equal(await limiter.get('me'), undefined)
  const first = await limiter.increment('me')
  t.equal(first.totalHits, 1)
  const left = first.resetTime!.getTime() - Date.now()
  t.ok(left > 40_000 && left <= 100_000, `${left} ms`)
  t.equal((await limiter.increment('me')).totalHits, 2)
  t.equal((await other.increment('me')).totalHits, 1, 'a prefix separates limiters')
  await limiter.decrement('me')
  t.equal((await limiter.get('me'))!.totalHits, 1)
  await limiter.decrement('me')
  await limiter.decrement('me')
  t.equal((await limiter.increment('me')).totalHits, 1, 'it is never below zero')
  await limiter.decrement('nobody')
  t.equal(await limiter.get('nobody'), undefined)
  await limiter.resetKey('me')
  t.equal(await limiter.get('me'), undefined)
  await Promise.all([limiter.increment('x'), limiter.increment('y')])
  await limiter.resetAll()
  t.strictSame(
    [await limiter.get('x'), await limiter.get('y'), (await other.get('me'))!.totalHits], [undefined, undefined, 1]
  )
  await limiter.shutdown()
  t.equal((await other.increment('me')).totalHits, 2, 'a store that was passed in stays open')
  const own = new ExpressRateLimitStore({ url: 'memory:' })
  await own.shutdown()
  await t.rejects(own.increment('me'), { code: 'STORE_CLOSED' })
})

t.test('invalid options are rejected, and the libraries accept the stores without a cast', async t => {
  const wrong = [{ prefix: 5 }, { prefix: 'x'.repeat(513) }, { prefix: '\ud800' }, { collection: 5 }, { max: 5 }]
  for (const options of wrong) {
    t.throws(
      () => new ExpressRateLimitStore(options as object), { code: /STORE_(OPTION|NAME)_INVALID/ },
      JSON.stringify(options).slice(0, 40)
    )
    t.throws(() => fastifyRateLimitStore(options as object), { code: /STORE_(OPTION|NAME)_INVALID/ })
  }
  t.type(expressRateLimit({ store: new ExpressRateLimitStore({ url: 'memory:' }) }), 'function')
  const app = Fastify()
  await app.register(fastifyRateLimit, { store: fastifyRateLimitStore() })
  await app.close()
})
