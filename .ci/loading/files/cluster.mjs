import cluster from 'node:cluster'
import { createStore } from 'strong-store'
if (cluster.isPrimary) cluster.fork()
else {
  console.log('worker', await createStore().collection('c').increment('key'))
  process.disconnect()
}
