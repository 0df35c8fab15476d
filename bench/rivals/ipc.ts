// Other stores that keep keys in the primary. Each sends a message on the cluster's IPC channel for each call.
import { load, ownCpu, type Rival } from './rival.js'

interface SharedMemory {
  get (key: string): Promise<unknown>
  set (key: string, value: unknown): Promise<unknown>
  getLock (key: string): Promise<string>
  releaseLock (key: string, id: string): Promise<unknown>
}

export const clusterSharedMemory: Rival = {
  async serve () {
    load('cluster-shared-memory')
    return { address: '', cpu: ownCpu }
  },
  async client () {
    const memory = load<SharedMemory>('cluster-shared-memory')
    return {
      get: key => memory.get(key),
      set: (key, value) => memory.set(key, value),
      lock: async key => {
        const id = await memory.getLock(key)
        return () => memory.releaseLock(key, id)
      }
    }
  }
}

interface Memored {
  read (key: string, callback: (error: Error | null, value: unknown) => void): void
  store (key: string, value: unknown, callback: (error: Error | null) => void): void
}

export const memored: Rival = {
  async serve () {
    load('memored')
    return { address: '', cpu: ownCpu }
  },
  async client () {
    const memored = load<Memored>('memored')
    return {
      get: key => new Promise((resolve, reject) => {
        memored.read(key, (error, value) => { if (error == null) resolve(value); else reject(error) })
      }),
      set: (key, value) => new Promise<void>((resolve, reject) => {
        memored.store(key, value, error => { if (error == null) resolve(); else reject(error) })
      })
    }
  }
}

interface LruCache {
  getObject (key: string): Promise<unknown>
  setObject (key: string, value: unknown): Promise<unknown>
}

interface LruCacheModule {
  init (): void
  getInstance (options: object): Promise<LruCache>
}

export const lruCacheForClusters: Rival = {
  async serve () {
    load<LruCacheModule>('lru-cache-for-clusters-as-promised').init()
    return { address: '', cpu: ownCpu }
  },
  async client () {
    // By default, it treats a call without a reply after 100 ms as a miss.
    const cache = await load<LruCacheModule>('lru-cache-for-clusters-as-promised').getInstance({
      max: 2e6, timeout: 60_000, failsafe: 'reject'
    })
    return {
      get: key => cache.getObject(key),
      set: (key, value) => cache.setObject(key, value)
    }
  }
}
