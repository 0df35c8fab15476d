import assert from 'node:assert'
import Fastify from 'fastify'
import strongStore from 'strong-store'
it('imported', async () => {
  const app = Fastify()
  await app.register(strongStore)
  app.get('/', async request => ({ value: await request.store.collection('c').get('key') }))
  assert.deepEqual((await app.inject('/')).json(), { value: 1 })
  await app.close()
})
