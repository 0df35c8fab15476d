const assert = require('node:assert')
const { createStore } = require('strong-store')
it('required', async () => {
  await createStore().collection('c').set('key', 1)
  assert.equal(await createStore().collection('c').get('key'), 1)
})
