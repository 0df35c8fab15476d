// strong-store-cluster (2013): callbacks, and a message on the cluster's IPC channel for each call.
import { load, ownCpu, type Rival } from './rival.js'

type Callback<T = void> = (error: Error | null, value: T) => void

interface Lock {
  release (callback: Callback): void
}

interface Original {
  collection (name: string): {
    get (key: string, callback: Callback<unknown>): void
    set (key: string, value: unknown, callback: Callback): void
    acquire (key: string, callback: Callback<Lock>): void
  }
}

export const original: Rival = {
  async serve () {
    load('strong-store-cluster')
    return { address: '', cpu: ownCpu }
  },
  async client () {
    const collection = load<Original>('strong-store-cluster').collection('bench')
    return {
      get: key => promised(callback => { collection.get(key, callback) }),
      set: (key, value) => promised(callback => { collection.set(key, value, callback) }),
      lock: async key => {
        const lock = await promised<Lock>(callback => { collection.acquire(key, callback) })
        return () => promised(callback => { lock.release(callback) })
      }
    }
  }
}

function promised<T> (call: (callback: Callback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, value) => { if (error == null) resolve(value); else reject(error) })
  })
}
