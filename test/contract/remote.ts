// A store in another process, driven over a channel of messages: calls there, results and error codes back.
import { StoreError, type Store, type StoreErrorCode } from '../../src/index.js'
import type { Peer, PeerCollection, PeerLock } from './suite.js'

export interface Channel {
  send (message: Message): void
  onmessage: ((message: Message) => void) | undefined
}

/** A call (with `target`: a collection's name, or the number of a lock), or its result. */
export interface Message {
  contract: 'call' | 'result'
  id: number
  target?: string | number | null
  method?: string
  args?: unknown[]
  value?: unknown
  lock?: number
  error?: { code: StoreErrorCode, message: string }
}

/** Has `store` driven from the other end. */
export function offer (store: Store, channel: Channel): void {
  const locks: PeerLock[] = []
  channel.onmessage = ({ contract, id, target, method, args = [] }) => {
    if (contract !== 'call') return
    const object = (target === null
      ? store
      : typeof target === 'string'
        ? store.collection(target)
        : locks[target!]) as object as Record<string, (...args: unknown[]) => unknown>
    Promise.resolve().then(() => object[method!]!(...args)).then(value => {
      if (method !== 'acquire') channel.send({ contract: 'result', id, value })
      else channel.send({ contract: 'result', id, lock: locks.push(value as PeerLock) - 1 })
    }, ({ code, message }: StoreError) => { channel.send({ contract: 'result', id, error: { code, message } }) })
  }
}

/** The store that is offered at the other end. */
export function remote (channel: Channel): Peer {
  const calls = new Map<number, { resolve (value: unknown): void, reject (error: Error): void }>()
  let ids = 0
  channel.onmessage = ({ contract, id, value, lock, error }) => {
    const call = calls.get(id)
    if (contract !== 'result' || call === undefined) return
    calls.delete(id)
    if (error !== undefined) call.reject(new StoreError(error.code, error.message))
    else call.resolve(lock === undefined ? value : proxy(lock))
  }
  const proxy = (target: string | number | null): object => new Proxy({}, {
    get: (_, method) => {
      if (method === 'name') return target
      if (method === 'then') return undefined // a lock is the result of a promise, but none itself
      return (...args: unknown[]) => new Promise((resolve, reject) => {
        calls.set(++ids, { resolve, reject })
        channel.send({ contract: 'call', id: ids, target, method: String(method), args })
      })
    }
  })
  const store = proxy(null) as Peer
  return { collection: name => proxy(name) as PeerCollection, locks: () => store.locks() }
}
