import { createRequire } from 'node:module'
import { StoreError, createStore } from 'strong-store'
const required = createRequire(import.meta.url)('strong-store')
await createStore().collection('c').set('key', 1)
const value = await required.createStore().collection('c').get('key')
console.log(process.version, 'both', value, new required.StoreError('STORE_FULL') instanceof StoreError)
