// Nest, rate-limiter-flexible, undici and unstorage with one store for all workers, and the contracts of their stores.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as flexible from 'rate-limiter-flexible'
import t, { type Test } from 'tap'
import { Agent, interceptors, request } from 'undici'
import { createStorage, type Driver } from 'unstorage'
import { NestThrottlerStorage } from '../../src/adapters/nest.js'
import { flexibleLimiter } from '../../src/adapters/rate-limiter-flexible.js'
import { UndiciCacheStore } from '../../src/adapters/undici.js'
import { unstorageDriver } from '../../src/adapters/unstorage.js'
import { StoreError, createStore, type Store } from '../../src/index.js'
import { nestApplication, type LibraryServer } from '../fixtures/library-server.js'
import { WORKERS, servers } from '../support/servers.js'
import { until } from '../support/until.js'

t.teardown(() => createStore().close())

const SERVERS: LibraryServer[] = [{ name: 'nest' }, { name: 'flexible' }, { name: 'undici' }, { name: 'unstorage' }]
const { get, burst, output } = await servers(t, 'library-server', SERVERS)

/** Serves HTTP. Returns the URL. */
async function serve (t: Test, handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(handle).listen(0, '127.0.0.1')
  t.teardown(() => { server.close(); server.closeAllConnections() })
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function memory (t: Test): Store {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  return store
}

t.test('all workers share limits, cached responses and items', async t => {
  const nest = await burst('/nest/', 40)
  t.equal(nest.filter(({ status }) => status === 200).length, 10)
  t.equal(nest.filter(({ status }) => status === 429).length, 30)
  const points = await burst('/flexible/', 40)
  t.equal(points.filter(({ body }) => body.body === true).length, 10)

  let hits = 0
  const url = await serve(t, (_request, response) => {
    hits++
    response.setHeader('cache-control', 'max-age=100').end('fresh')
  })
  const path = `/undici/?url=${encodeURIComponent(`${url}/report`)}`
  t.equal((await get(path)).body.body, 'fresh')
  await until(async () => await createStore().collection('http-cache').size() === 1)
  const answers = await burst(path, 20)
  t.ok(answers.every(({ body }) => body.body === 'fresh'))
  t.equal(hits, 1)

  await get('/unstorage/set?key=notes:tea&value=green')
  const read = await burst('/unstorage/get?key=notes:tea', 20)
  for (const { body } of read) t.strictSame(body.body, { value: 'green' })
  for (const all of [points, answers, read]) t.equal(new Set(all.map(({ body }) => body.worker)).size, WORKERS)
  t.equal(output(), '')
})

t.test('Nest: clients above the limit are blocked, and StoreErrors become HTTP errors', async t => {
  const store = memory(t)
  const storage = new NestThrottlerStorage({ store })
  const hit = (key = 'me', blockDuration = 200_000): Promise<any> =>
    storage.increment(key, 100_000, 2, blockDuration, 'default')
  t.match(await hit(), { totalHits: 1, isBlocked: false, timeToBlockExpire: 0 })
  t.match(await hit(), { totalHits: 2, isBlocked: false })
  for (let i = 0; i < 3; i++) {
    const { timeToExpire, timeToBlockExpire, ...rest } = await hit()
    t.strictSame(rest, { totalHits: 3, isBlocked: true })
    t.ok(timeToExpire === timeToBlockExpire && timeToExpire > 100 && timeToExpire <= 200, `${timeToExpire} s`)
  }
  for (let i = 0; i < 3; i++) await hit('other', 0)
  t.ok((await hit('other', 0)).timeToBlockExpire <= 100, 'without a block duration, the block ends with the window')
  t.match(
    await new NestThrottlerStorage({ store }).increment('me', 100_000, 2, 0, 'default'), { totalHits: 1 },
    'another application has its own counters'
  )

  for (const wrong of [['me', 1000], ['me', 1000, 2], ['me', 1000, NaN, 0, 'default'], ['me', '1s', 2, 0, 'default']]) {
    await t.rejects(
      (storage.increment as (...args: unknown[]) => Promise<unknown>).apply(storage, wrong),
      { code: 'STORE_OPTION_INVALID', message: /@nestjs\/throttler@6/ }, 'calls by other versions'
    )
  }

  let isClosed = false
  const invalid = new StoreError('STORE_KEY_INVALID')
  const failing = { increment: () => Promise.reject(invalid) }
  const closed = createStore('memory:')
  await closed.close()
  const bad = await serve(
    t, await nestApplication({ throttlers: [{ ttl: 1000, limit: 1 }], storage: failing }, () => ({}))
  )
  t.match(await (await fetch(bad)).json(), { statusCode: 400, message: /A key must be/ })
  const options = { throttlers: [{ ttl: 1000, limit: 1 }], storage: new NestThrottlerStorage({ store: closed }) }
  const lost = await serve(t, await nestApplication(options, () => { isClosed = true; return {} }))
  t.equal((await fetch(lost)).status, 503)
  t.equal(isClosed, false)
  const own = new NestThrottlerStorage({ url: 'memory:' })
  await own.onApplicationShutdown()
  await t.rejects(own.increment('me', 1, 1, 1, 'default'), { code: 'STORE_CLOSED' })
})

t.test('rate-limiter-flexible: the limiter supports consume, penalty, reward, block, set, get and delete', async t => {
  const store = memory(t)
  const Limiter = flexibleLimiter(flexible)
  const make = (options: object): flexible.RateLimiterStoreAbstract =>
    new Limiter({ storeClient: store, points: 2, duration: 100, ...options })
  const limiter = make({ keyPrefix: 'a', blockDuration: 200 })
  t.type(limiter, Object.getPrototypeOf(flexible.RateLimiterRedis))
  const first = await limiter.consume('me')
  t.match(first.toJSON(), { remainingPoints: 1, consumedPoints: 1, isFirstInDuration: true })
  t.ok(first.msBeforeNext > 40_000 && first.msBeforeNext <= 100_000)
  await limiter.penalty('me')
  await limiter.reward('me')
  await limiter.consume('me')
  for (let i = 0; i < 2; i++) {
    const refused = await limiter.consume('me').catch((result: flexible.RateLimiterRes) => result)
    t.ok(refused.msBeforeNext > 100_000 && refused.msBeforeNext <= 200_000, 'blocked')
  }
  t.equal(await make({ keyPrefix: 'b' }).get('me'), null)
  await limiter.set('me', 1, 50)
  t.equal((await limiter.get('me'))!.consumedPoints, 1)
  t.strictSame([await limiter.delete('me'), await limiter.delete('me')], [true, false])
  await limiter.block('x'.repeat(5000), 100)
  await t.rejects(limiter.consume('x'.repeat(5000)), flexible.RateLimiterRes as unknown as Error)
  const endless = make({ keyPrefix: 'c', duration: 0 })
  t.equal((await endless.consume('me')).msBeforeNext, -1)
  await store.close()
  await t.rejects(limiter.consume('me'), { code: 'STORE_CLOSED' })
})

t.test('undici: the cache handles variants, invalidation, large responses and a store that fails', async t => {
  const store = createStore({ url: 'memory:', maxValueBytes: 20_000 })
  t.teardown(() => store.close())
  const cache = new UndiciCacheStore({ store })
  const dispatcher = new Agent({ pipelining: 0 }).compose(interceptors.cache({ store: cache }))
  t.teardown(() => dispatcher.destroy())
  const hits: string[] = []
  const url = await serve(t, (request, response) => {
    hits.push(request.url!)
    response.setHeader('cache-control', 'max-age=100')
    if (request.url === '/vary') response.setHeader('vary', 'accept-language')
    const text = `${String(request.headers['accept-language'])} ${hits.length}`
    response.end(request.url === '/large' ? Buffer.alloc(16_000, 1) : text)
  })
  const responses = store.collection<unknown[]>('http-cache')
  const ask = async (
    path: string, headers: Record<string, string> = {}, method: 'GET' | 'POST' = 'GET'
  ): Promise<string> => {
    const { body } = await request(url + path, { dispatcher, headers, method })
    return await body.text()
  }
  const stored = async (path: string, variants: number): Promise<void> => {
    await until(async () => (await responses.get(url + path))?.length === variants)
  }

  t.equal(await ask('/vary', { 'accept-language': 'en' }), 'en 1')
  await stored('/vary', 1)
  t.equal(await ask('/vary', { 'accept-language': 'fr' }), 'fr 2')
  await stored('/vary', 2)
  t.strictSame(
    [await ask('/vary', { 'accept-language': 'fr' }), await ask('/vary', { 'accept-language': 'en' })],
    ['fr 2', 'en 1']
  )
  t.match((await responses.entry(`${url}/vary`))!.expiresAt, Date)
  await ask('/vary', {}, 'POST')
  await until(async () => !await responses.has(`${url}/vary`))
  t.equal(await ask('/vary', { 'accept-language': 'en' }), 'en 4', 'a POST invalidates the cached responses')

  const many = Array.from({ length: 40 }, (_, i) => 'x'.repeat(500) + i)
  for (const language of many) await ask('/vary', { 'accept-language': language })
  await until(async () => (await responses.get(`${url}/vary`))!.length > 5)
  t.ok((await responses.get(`${url}/vary`))!.length <= 16, 'the oldest variants are dropped')

  const before = hits.length
  await ask('/large')
  await ask('/large')
  t.equal(hits.length, before + 2, 'a response that does not fit is not cached')
  const long = `/${'long'.repeat(1000)}`
  await ask(long)
  await until(async () => await responses.size() === 2)
  const count = hits.length
  await ask(long)
  t.equal(hits.length, count)

  const codes: unknown[] = []
  await store.close()
  t.match(await ask('/vary'), /^undefined/, 'the server answers')
  cache.on('error', (error: { code: string }) => { codes.push(error.code) })
  t.match(await ask('/vary', {}, 'POST'), /^undefined/)
  await ask('/vary')
  await until(() => codes.length > 1)
  t.ok(codes.every(code => code === 'STORE_CLOSED'))
})

t.test('unstorage: the driver supports items, bases, raw values, ttls and mounts', async t => {
  const store = memory(t)
  const driver: Driver = unstorageDriver({ store, collection: 'cache', ttl: 1000 })
  const storage = createStorage({ driver: unstorageDriver({ store }) })
  storage.mount('cache', driver)
  await storage.setItem('a:b', { c: ['é'] })
  await storage.setItem('a:text', 'green')
  await storage.setItemRaw('a:raw', Buffer.from([0, 255, 128]))
  t.strictSame(
    [await storage.getItem('a:b'), await storage.getItem('a:text'), await storage.getItem('none')],
    [{ c: ['é'] }, 'green', null]
  )
  t.same(Buffer.from((await storage.getItemRaw('a:raw'))!), Buffer.from([0, 255, 128]))
  t.strictSame([await storage.hasItem('a:b'), await storage.hasItem('none')], [true, false])
  t.strictSame(
    await storage.getItems(['a:text', 'none']), [{ key: 'a:text', value: 'green' }, { key: 'none', value: null }]
  )
  await storage.setItem('ab', 1)
  t.strictSame((await storage.getKeys('a')).sort(), ['a:b', 'a:raw', 'a:text'])
  await storage.setMeta('a:b', { author: 'Ada' })
  t.match(await storage.getMeta('a:b'), { author: 'Ada' })
  await storage.removeItem('a:text')
  await unstorageDriver({ store }).clear('a:')
  t.strictSame(await storage.getKeys(), ['ab'])

  const items = store.collection('cache')
  for (const [ttl, least, most] of [[100, 40, 100], [Infinity, 1e11, Infinity], [undefined, 500, 1000]] as const) {
    await driver.setItem!('timed', '1', ttl === undefined ? {} : { ttl })
    const left = ((await items.entry('timed'))!.expiresAt!.getTime() - Date.now()) / 1000
    t.ok(left > least && left <= most, `${left} s`)
  }
  t.ok(((await driver.getMeta!('timed', {})) as { ttl: number }).ttl > 500)
  await storage.dispose()
  t.equal(await storage.getItem('ab'), 1, 'a store that was passed in stays open')
  await storage.clear()
  t.strictSame([await items.size(), await store.collection('unstorage').size()], [0, 0])
  const own = createStorage({ driver: unstorageDriver({ url: 'memory:' }) })
  await own.dispose()
  await t.rejects(own.getItem('a'), { code: 'STORE_CLOSED' })
  t.throws(() => unstorageDriver({ base: 'x' } as object), { code: 'STORE_OPTION_INVALID' })
})
