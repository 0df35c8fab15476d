import cluster from 'node:cluster'
import { createStore } from 'strong-store'
await createStore().collection('c').set('key', 1)
cluster.setupPrimary({ exec: process.argv[2] })
cluster.fork()
