import { createStore } from 'strong-store'
createStore().collection('c').increment('key').then(n => { console.log('bundle', n) })
