// graphql-subscriptions: events for the subscribers of all processes.
import { PubSubEngine } from 'graphql-subscriptions'
import { pickStore, type PickOptions, type Store } from '../api/store.js'
import type { ChannelEvent, Subscription } from '../api/channel.js'
import { StoreError } from '../core/errors.js'

export interface PubSubOptions extends PickOptions {
  /** The prefix of the channels; the rest of their name is that of the event. Default 'graphql:'. */
  prefix?: string | undefined
  /**
   * Called when a subscriber has missed messages, with the event and their number, Infinity if unknown. Default: none.
   */
  onmissed?: ((event: string, missed: number) => void) | undefined
}

/**
 * A PubSubEngine over channels. Payloads are sent as JSON, `undefined` as null. They arrive at most once, and those of
 * one process arrive in order.
 */
export class StorePubSub extends PubSubEngine {
  readonly #store: Store
  readonly #isOwn: boolean
  readonly #prefix: string
  readonly #onmissed: PubSubOptions['onmissed']
  readonly #subscriptions = new Map<number, Subscription>()
  #ids = 0

  /** STORE_OPTION_INVALID. */
  constructor (options: PubSubOptions = {}) {
    super()
    const { prefix = 'graphql:', onmissed, ...where } = options
    if (typeof prefix !== 'string') throw new StoreError('STORE_OPTION_INVALID', 'prefix must be a string')
    this.#store = pickStore(where)
    this.#isOwn = where.store === undefined && !this.#store.isShared
    this.#prefix = prefix
    this.#onmissed = onmissed
  }

  /** Rejects as `Channel.publish` does. */
  async publish (event: string, payload: unknown): Promise<void> {
    await this.#store.channel(this.#prefix + event).publish(payload ?? null)
  }

  /** Resolves with the id for `unsubscribe` once the subscription is registered. */
  async subscribe (event: string, onMessage: (payload: any) => unknown): Promise<number> {
    const subscription = this.#store.channel(this.#prefix + event).subscribe()
    await subscription.ready
    const id = ++this.#ids
    this.#subscriptions.set(id, subscription)
    this.#read(event, subscription, onMessage).catch((error: StoreError) => {
      this.#subscriptions.delete(id)
      if (error.code !== 'STORE_CLOSED') process.emitWarning(error)
    })
    return id
  }

  unsubscribe (id: number): void {
    const subscription = this.#subscriptions.get(id)
    this.#subscriptions.delete(id)
    subscription?.return().catch(() => {})
  }

  /** Ends all subscriptions, and the store unless it was passed in or is shared. */
  async close (): Promise<void> {
    for (const id of [...this.#subscriptions.keys()]) this.unsubscribe(id)
    if (this.#isOwn) await this.#store.close()
  }

  async #read (
    event: string, subscription: AsyncIterable<ChannelEvent<unknown>>, onMessage: (payload: unknown) => unknown
  ): Promise<void> {
    for await (const { message, missed } of subscription) {
      // An exception of a listener does not end the subscription: it is an uncaught exception.
      if (missed === undefined) queueMicrotask(() => { onMessage(message) })
      else this.#onmissed?.(event, missed)
    }
  }
}
