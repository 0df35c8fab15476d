const Fastify = require('fastify')
const expressSession = require('express-session')
const { collection, createStore, strongStore, StoreError } = require('strong-store')
const { SessionStore } = require('strong-store/session')
test('an app with a store of its own', async () => {
  for (let i = 0; i < 20; i++) {
    const app = Fastify()
    app.register(strongStore, { url: 'memory:' })
    app.get('/', async request => ({ n: await request.store.collection('c').increment('key') }))
    expect((await app.inject('/')).json()).toEqual({ n: 1 })
    await app.close()
  }
})
test('the store of the process', async () => {
  await new Promise(resolve => { collection('c').set('key', 1, resolve) })
  expect(await collection('c').promises.get('key')).toBe(1)
  await expect(createStore().collection('c').get(1)).rejects.toThrow(StoreError)
  await createStore().close()
})
test('sessions', async () => {
  for (let i = 0; i < 20; i++) {
    const store = new SessionStore({ locking: true })
    expressSession({ store, secret: 's', resave: false, saveUninitialized: false })
    await new Promise(resolve => { store.set('sid', { cookie: {} }, resolve) })
    const session = await new Promise(resolve => { store.get('sid', (_error, found) => { resolve(found) }) })
    expect(session).toEqual({ cookie: {} })
  }
  await createStore().close()
})
