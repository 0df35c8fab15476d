// Calls a store in another process over a message channel.
import { StoreError, type Store, type StoreErrorCode } from '../../src/index.js'
import type { Peer, PeerCollection, PeerLock } from './suite.js'

export interface Channel {
  send (message: Message): void
  onmessage: ((message: Message) => void) | undefined
}

/** A call or its result. `target`: the name of a collection, the number of a lock, or null for the store itself. */
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

/** Executes calls from the other end on `store`. */
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
      if (method === 'then') return undefined // otherwise a promise could not resolve to it
      return (...args: unknown[]) => new Promise((resolve, reject) => {
        calls.set(++ids, { resolve, reject })
        channel.send({ contract: 'call', id: ids, target, method: String(method), args })
      })
    }
  })
  const store = proxy(null) as Peer
  return { collection: name => proxy(name) as PeerCollection, locks: () => store.locks() }
}
