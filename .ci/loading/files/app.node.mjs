import assert from 'node:assert'
import { test } from 'node:test'
import Fastify from 'fastify'
import strongStore from 'strong-store'
test('an app', async () => {
  const app = Fastify()
  await app.register(strongStore, { url: 'memory:' })
  app.get('/', async request => ({ n: await request.store.collection('c').increment('key') }))
  assert.deepEqual((await app.inject('/')).json(), { n: 1 })
  await app.close()
})
