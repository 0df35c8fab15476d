import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import strongStore, { Store, createStore, strongStore as named } from '../../src/index.js'
import { requestScope, type Application } from '../support/request-scope.js'

const application: Application = async (store, routes) => {
  const app = Fastify()
  await app.register(strongStore, { store })
  for (const [path, handler] of Object.entries(routes)) {
    app.get(path, async (request, reply) => {
      const body = await handler(request.store, reply.raw)
      return reply.code(reply.raw.statusCode).send(body)
    })
  }
  await app.ready()
  return (request, response) => { app.routing(request, response) }
}

await requestScope(t, 'Fastify', application)

/** An app that is closed at the end of the test. */
function fastify (t: { teardown (fn: () => unknown): void }): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

t.test('app.store and req.store are one store, everywhere in the app', async t => {
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

t.test('app.inject ends a request as a client does', async t => {
  const app = fastify(t)
  await app.register(strongStore, { url: 'memory:', admin: { auth: false } })
  app.post('/:key', async request => {
    const { key } = request.params as { key: string }
    const lock = await request.store.collection('c').acquire(key)
    lock.set('set')
    if (key === 'failed') throw new Error('on purpose')
    return 'done'
  })
  await app.inject({ method: 'POST', url: '/good' })
  await app.inject({ method: 'POST', url: '/failed' })
  t.strictSame(await app.store.collection('c').getMany(['good', 'failed']), ['set', undefined])
  t.equal((await app.inject({ method: 'POST', url: '/_store/v1/collections/c/locks/taken' })).statusCode, 201)
  t.match(await app.store.locks(), [{ key: 'taken' }], 'a lock that the client knows of stays')
})

t.test('without options it is the store of the cluster, which app.close leaves alone', async t => {
  const app = fastify(t)
  await app.register(strongStore)
  t.equal(app.store, createStore())
  await app.close()
  await createStore().collection('c').set('key', 1)
  await createStore().close()
})

t.test('a store of its own ends with the app, a given one does not', async t => {
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

t.test('a second registration is refused', async t => {
  const app = fastify(t)
  await app.register(strongStore, { url: 'memory:' })
  await t.rejects(async () => await app.register(strongStore, { url: 'memory:' }), {
    code: 'STORE_OPTION_INVALID', message: /register strong-store once/
  })
})

t.test('bad options are refused, with what is wrong with them', async t => {
  for (const [options, message] of [
    [{ store: {} }, /store must be what createStore gives/],
    [{ store: createStore('memory:'), url: 'memory:' }, /there can be no url/],
    [{ url: 'mysql://localhost' }, /there is no store at "mysql:\/\/localhost"/],
    [{ adress: 'x' }, /there is no option "adress"; there are url/],
    [{ connectTimeout: 0 }, /connectTimeout must be a number of seconds/],
    [{ url: 'memory:', maxValueBytes: 2 ** 40 }, /maxValueBytes can be 33554432 at most/]
  ] as const) {
    const app = fastify(t)
    await t.rejects(async () => await app.register(strongStore, options as object), { code: 'STORE_OPTION_INVALID', message })
  }
})
