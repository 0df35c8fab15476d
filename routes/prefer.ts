// `Prefer: wait=N` (RFC 7240): how long a request waits for a locked key. Without it, a request does not wait.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Collection } from '../src/api/collection.js'
import { storeForResponse } from '../src/web/request-scope.js'
import type { Store } from '../src/api/store.js'
import { preferencesOf } from './preferences.js'

/** The values of `collection` are JSON text. */
export type OnKey<T> = (collection: Collection<any>, key: string, timeout: number) => Promise<T>

export class PreferredWait {
  readonly #store: Store
  readonly #maxWait: number

  constructor (store: Store, maxWait: number) {
    this.#store = store
    this.#maxWait = maxWait
  }

  /** Calls the store with the request's key. If the client disconnects, cancels the wait and releases a late grant. */
  async onKey<T> (request: FastifyRequest, reply: FastifyReply, call: OnKey<T>, locks = false): Promise<T> {
    const { collection: name, '*': key } = request.params as { collection: string, '*': string }
    const timeout = this.seconds(request, reply) ?? 0
    const store = timeout > 0 || locks ? storeForResponse(this.#store, reply.raw) : this.#store
    const collection = store.collection(name).text
    const result = await call(collection, key, timeout)
    if (locks) await turns() // so that a disconnect is seen before the response is sent
    return result
  }

  /** The client's preference in seconds, limited to maxWait; undefined if there is none. */
  seconds (request: FastifyRequest, reply: FastifyReply): number | undefined {
    const wanted = preferencesOf(request.headers.prefer).get('wait')
    if (wanted === undefined || !/^\d+$/.test(wanted)) return undefined
    const seconds = Math.min(Number(wanted), this.#maxWait)
    reply.header('preference-applied', `wait=${Math.ceil(seconds)}`)
    return seconds
  }
}

/** Resolves after the events that are pending in this process. */
async function turns (): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise(resolve => { setImmediate(resolve) })
}
