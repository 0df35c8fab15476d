import t from 'tap'
import { createStore } from '../src/index.js'
import { contract } from './contract/suite.js'
import { NO_REDIS, hasRedis, startServer } from './redis.js'

if (!hasRedis) {
  t.plan(0, NO_REDIS)
} else {
  const server = await startServer(t)
  contract(t, 'the redis engine, over two connections,', async () => {
    const a = createStore(server.options)
    const b = createStore(server.options)
    return { a, b, end: async () => { await Promise.all([a.close(), b.close()]) } }
  })
}
