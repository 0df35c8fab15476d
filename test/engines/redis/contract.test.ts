// The contract with two clients of one server: Valkey, which is installed from npm, and redis-server if there is one.
import t from 'tap'
import { createStore, type StoreOptions } from '../../../src/index.js'
import { contract } from '../../contract/suite.js'
import { watching } from '../../contract/watching.js'
import { NO_REDIS, hasRedis, startServer, startValkey } from '../../support/redis.js'

function over (name: string, options: StoreOptions): void {
  for (const suite of [contract, watching]) {
    suite(t, `the redis engine with ${name}`, async () => {
      const a = createStore(options)
      const b = createStore(options)
      return { a, b, end: async () => { await Promise.all([a.close(), b.close()]) } }
    })
  }
}

over('valkey', await startValkey(t))
if (hasRedis) over('redis-server', (await startServer(t)).options) // for servers without functions, see rights.test.ts
else t.comment(`redis-server ${NO_REDIS}`)
