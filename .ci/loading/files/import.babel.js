import { createStore } from 'strong-store'
import { KeyvStore } from 'strong-store/keyv'
test('imported', async () => {
  const store = createStore('memory:')
  expect(await store.collection('c').increment('key')).toBe(1)
  expect(typeof KeyvStore).toBe('function')
  await store.close()
})
