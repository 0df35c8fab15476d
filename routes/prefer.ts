// `Prefer: wait=N` (RFC 7240): how long a request waits for a locked key. Without it, a request does not wait.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Collection } from '../src/api/collection.js'
import type { Store } from '../src/api/store.js'
import { offAbort, onAbort } from '../src/core/abort-signals.js'
import { StoreError } from '../src/core/errors.js'
import { RequestScope, storeForResponse } from '../src/web/request-scope.js'
import { preferencesOf } from './preferences.js'

/** Why calls that wait fail when the app closes. */
export const CLOSING = 'the server is closing'

/** The values of `collection` are JSON text. */
export type OnKey<T> = (collection: Collection<any>, key: string, timeout: number) => Promise<T>

export class PreferredWait {
  readonly #store: Store
  readonly #maxWait: number
  readonly #stopping: AbortSignal

  constructor (store: Store, maxWait: number, stopping: AbortSignal) {
    this.#store = store
    this.#maxWait = maxWait
    this.#stopping = stopping
  }

  /**
   * Calls the store with the request's key. If the client disconnects, cancels the wait and releases a late grant. If
   * the app closes, a call that waits fails with STORE_DISCONNECTED.
   */
  async onKey<T> (request: FastifyRequest, reply: FastifyReply, call: OnKey<T>, locks = false): Promise<T> {
    const { collection: name, '*': key } = request.params as { collection: string, '*': string }
    const timeout = this.seconds(request, reply) ?? 0
    const store = timeout > 0 || locks ? storeForResponse(this.#store, reply.raw) : this.#store
    const collection = store.collection(name).text
    const result = timeout > 0
      ? await this.#untilStopped(reply, call(collection, key, timeout))
      : await call(collection, key, timeout)
    if (locks) await turns() // so that a disconnect is seen before the response is sent
    return result
  }

  async #untilStopped<T> (reply: FastifyReply, result: Promise<T>): Promise<T> {
    const stop = (): void => { RequestScope.of(reply.raw).cancelWaits() }
    onAbort(this.#stopping, stop)
    if (this.#stopping.aborted) stop()
    try {
      return await result
    } catch (error) {
      const isStopped = this.#stopping.aborted && (error as StoreError).code === 'STORE_ABORTED'
      throw isStopped ? new StoreError('STORE_DISCONNECTED', CLOSING) : error
    } finally {
      offAbort(this.#stopping, stop)
    }
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
