import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'
import strongStore, { Store, createStore, strongStore as named } from '../../src/index.js'
import { overHttp1, overHttp2, requestScope, type Application } from '../support/request-scope.js'

const applicationOver = (isHttp2: boolean): Application => async (t, store, routes) => {
  const app = isHttp2 ? Fastify({ http2: true }) as unknown as FastifyInstance : Fastify()
  await app.register(strongStore, { store })
  for (const [path, handler] of Object.entries(routes)) {
    app.get(path, async (request, reply) => {
      const body = await handler(request.store, reply.raw)
      if (body === undefined) return
      return reply.code(reply.raw.statusCode).send(body)
    })
  }
  if (isHttp2) {
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })
    t.teardown(() => { app.server.close() })
    return overHttp2(t, origin)
  }
  await app.ready()
  return await overHttp1(t, (request, response) => { app.routing(request, response) })
}

await requestScope(t, 'Fastify', applicationOver(false))
await requestScope(t, 'Fastify over HTTP/2', applicationOver(true))

/** An app that is closed at the end of the test. */
function fastify (t: { teardown (fn: () => unknown): void }): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

t.test('app.store and req.store use one store throughout the app', async t => {
  const app = fastify(t)
  await app.register(named, { url: 'memory:' })
  t.ok(app.store instanceof Store)
  await app.register(async child => {
    t.equal(child.store, app.store)
    child.get('/', async request => {
      t.not(request.store, app.store)
      t.equal(request.store, request.store)
      return await request.store.collection('c').increment('n')
    })
  }, { prefix: '/child' })
  t.equal((await app.inject('/child')).body, '1')
  t.equal(await app.store.collection('c').get('n'), 1)
})

t.test('changes are committed before the reply, however it is sent', async t => {
  const app = fastify(t)
  await app.register(strongStore, { url: 'memory:', admin: { auth: false } })
  const jobs = app.store.collection('c')
  let streamed: Readable | undefined
  const hold = async (request: FastifyRequest, key: string): Promise<void> => {
    ;(await request.store.collection('c').acquire(key)).set('set')
  }
  app.setErrorHandler((error: Error & { code?: string, statusCode?: number }, _, reply) => {
    return reply.code(error.statusCode ?? 500).send({ code: error.code })
  })
  app.addHook('preHandler', async request => { if (request.url === '/hook') await hold(request, 'hook') })
  app.get('/good', async request => { await hold(request, 'good'); return 'done' })
  app.get('/failed', async request => { await hold(request, 'failed'); throw new Error('on purpose') })
  app.get('/missing', async request => {
    await hold(request, 'missing')
    throw Object.assign(new Error('no such thing'), { statusCode: 404 })
  })
  app.get('/hook', () => { throw Object.assign(new Error('no such thing'), { statusCode: 404 }) })
  app.get('/sent', async (request, reply) => { await hold(request, 'sent'); reply.send('sent') })
  app.get('/callback', (request, reply) => { hold(request, 'callback').then(() => { reply.send('called') }, t.threw) })
  app.get('/lost', async (request, reply) => {
    await hold(request, 'lost')
    await jobs.breakLock('lost')
    streamed = Readable.from(['a', 'b'])
    return reply.header('content-length', 2).send(streamed)
  })
  app.get('/stream', async (request, reply) => {
    await hold(request, 'stream')
    return reply.send(Readable.from(['a', 'b']))
  })
  app.get('/hijacked', async (request, reply) => {
    await hold(request, 'hijacked')
    reply.hijack()
    setImmediate(() => { reply.raw.end('raw') })
  })
  const get = async (url: string): Promise<[number, string]> => {
    const { statusCode, body } = await app.inject(url)
    return [statusCode, body]
  }
  t.strictSame(await get('/good'), [200, 'done'])
  t.equal((await get('/failed'))[0], 500)
  t.equal((await get('/missing'))[0], 404)
  t.equal((await get('/hook'))[0], 404)
  t.strictSame(await get('/sent'), [200, 'sent'], 'sent once, although the handler returns nothing')
  t.strictSame(await get('/callback'), [200, 'called'])
  t.strictSame(await get('/lost'), [409, '{"code":"STORE_LOCK_LOST"}'], 'the error handler of the app answers')
  t.equal(streamed!.destroyed, true)
  t.strictSame(await get('/stream'), [200, 'ab'])
  t.strictSame(await get('/hijacked'), [200, 'raw'])
  t.strictSame(
    await jobs.getMany(['good', 'failed', 'missing', 'hook', 'sent', 'callback', 'lost', 'stream', 'hijacked'], {
      timeout: 0
    }),
    ['set', undefined, undefined, undefined, 'set', 'set', undefined, 'set', 'set']
  )
  t.equal((await app.inject({ method: 'POST', url: '/_store/v1/collections/c/locks/taken' })).statusCode, 201)
  t.match(await app.store.locks(), [{ key: 'taken' }], 'a lock whose token the client has received is kept')
})

t.test('without options, app.store is the store of the cluster, which app.close does not close', async t => {
  const app = fastify(t)
  await app.register(strongStore)
  t.equal(app.store, createStore())
  await app.close()
  await createStore().collection('c').set('key', 1)
  await createStore().close()
})

t.test('the app closes its own store, but not one that was passed in', async t => {
  const own = fastify(t)
  await own.register(strongStore, { url: 'memory:' })
  await own.close()
  await t.rejects(own.store.collection('c').get('key'), { code: 'STORE_CLOSED' })
  const store = createStore('memory:')
  const borrowing = fastify(t)
  await borrowing.register(strongStore, { store })
  await borrowing.close()
  await store.collection('c').get('key')
  await store.close()
})

t.test('a second registration is rejected', async t => {
  const app = fastify(t)
  await app.register(strongStore, { url: 'memory:' })
  await t.rejects(async () => await app.register(strongStore, { url: 'memory:' }), {
    code: 'STORE_OPTION_INVALID', message: /register strong-store once/
  })
})

t.test('invalid options are rejected with the reason', async t => {
  for (const [options, message] of [
    [{ store: {} }, /expected a store made by createStore/],
    [{ store: createStore('memory:'), url: 'memory:' }, /store cannot be combined with url/],
    [{ url: 'mysql://localhost' }, /invalid url "mysql:\/\/localhost"/],
    [{ adress: 'x' }, /unknown option "adress"; expected one of url/],
    [{ connectTimeout: 0 }, /connectTimeout must be a number of seconds/],
    [{ url: 'memory:', maxValueBytes: 2 ** 40 }, /maxValueBytes must be at most 33554432/]
  ] as const) {
    const app = fastify(t)
    await t.rejects(async () => await app.register(strongStore, options as object), {
      code: 'STORE_OPTION_INVALID', message
    })
  }
})
