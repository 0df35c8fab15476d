// How a request waits for a locked key: `Prefer: wait=N` (RFC 7240), not at all without it.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Collection } from '../src/api/collection.js'
import { storeForResponse } from '../src/web/request-scope.js'
import type { Store } from '../src/api/store.js'
import { preferencesOf } from './preferences.js'

/** `collection`: its values are JSON text, also those that are numbers. */
export type OnKey<T> = (collection: Collection<any>, key: string, timeout: number) => Promise<T>

export class PreferredWait {
  readonly #store: Store
  readonly #maxWait: number

  constructor (store: Store, maxWait: number) {
    this.#store = store
    this.#maxWait = maxWait
  }

  /** Does a call on the request's key. A client that hangs up loses its place in the queue, and a lock that is granted later. */
  async onKey<T> (request: FastifyRequest, reply: FastifyReply, call: OnKey<T>, locks = false): Promise<T> {
    const { collection: name, '*': key } = request.params as { collection: string, '*': string }
    const timeout = this.seconds(request, reply) ?? 0
    const store = timeout > 0 || locks ? storeForResponse(this.#store, reply.raw) : this.#store
    const collection = store.collection(name).text
    const result = await call(collection, key, timeout)
    if (locks) await turns() // a client that has hung up by now is seen to have before it is answered
    return result
  }

  /** Seconds that the client is ready to wait; undefined where it does not say. */
  seconds (request: FastifyRequest, reply: FastifyReply): number | undefined {
    const wanted = preferencesOf(request.headers.prefer).get('wait')
    if (wanted === undefined || !/^\d+$/.test(wanted)) return undefined
    const seconds = Math.min(Number(wanted), this.#maxWait)
    reply.header('preference-applied', `wait=${Math.ceil(seconds)}`)
    return seconds
  }
}

/** Lets everything that has arrived at this process be dealt with. */
async function turns (): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise(resolve => { setImmediate(resolve) })
}
