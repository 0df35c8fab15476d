import t from 'tap'
import { createStore } from '../../../src/index.js'
import { contract } from '../../contract/suite.js'
import { watching } from '../../contract/watching.js'

for (const suite of [contract, watching]) {
  suite(t, 'the memory engine', async () => {
    const store = createStore('memory:')
    return { a: store, b: store, end: () => store.close() }
  })
}
