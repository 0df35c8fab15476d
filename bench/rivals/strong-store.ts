// What this project makes, over the engines there are.
import { createStore } from '../../src/index.js'
import { ownCpu, type Client, type Rival } from './rival.js'

function client (url: string): Client {
  const collection = createStore(url).collection('bench')
  return {
    get: key => collection.get(key),
    set: (key, value) => collection.set(key, value),
    lock: async key => {
      const lock = await collection.acquire(key)
      return () => lock.release()
    }
  }
}

export const clusterStore: Rival = {
  async serve () {
    createStore('cluster:')
    return { address: '', cpu: ownCpu }
  },
  client: async () => client('cluster:')
}

/** No crossing at all: each worker has a keyspace of its own. */
export const memoryStore: Rival = {
  serve: async () => ({ address: '', cpu: undefined }),
  client: async () => client('memory:')
}
