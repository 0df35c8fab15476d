import Fastify from 'fastify'
import strongStore from 'strong-store'
import { expect, test } from 'vitest'
test('an app', async () => {
  const app = Fastify()
  await app.register(strongStore, { url: 'memory:' })
  app.get('/', async request => ({ n: await request.store.collection('c').increment('key') }))
  expect((await app.inject('/')).json()).toEqual({ n: 1 })
  await app.close()
})
