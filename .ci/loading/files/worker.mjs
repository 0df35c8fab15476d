import { createStore } from 'strong-store'
createStore().collection('c').get('key').then(value => {
  console.log('bundled worker sees', value)
  process.disconnect()
})
