const Fastify = require('fastify')
const { collection, createStore, strongStore, StoreError } = require('strong-store')
test('an app over a store of its own', async () => {
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
