// The contract over HTTP, with two servers that share a store, as two workers do, and a client of each.
import t from 'tap'
import { createStore } from '../../../src/index.js'
import { TOKEN, serveAdmin } from '../../support/admin.js'
import { contract } from '../../contract/suite.js'
import { watching } from '../../contract/watching.js'

for (const suite of [contract, watching]) {
  suite(t, 'the http engine', async () => {
    const store = createStore('memory:')
    const [a, b] = await Promise.all([1, 2].map(async () => {
      const { origin } = await serveAdmin(t, store)
      return createStore({ url: `${origin}/_store/v1`, token: TOKEN })
    }))
    return { a: a!, b: b!, end: async () => { await Promise.all([a!.close(), b!.close(), store.close()]) } }
  })
}
