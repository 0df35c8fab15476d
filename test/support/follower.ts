// A watcher of a collection that keeps what it is told.
import type { Collection, EventStream, StoreError, WatchEvent, WatchOptions } from '../../src/index.js'
import { until } from './until.js'

/** Follows a watch, and checks that no version goes back. */
export class Follower {
  readonly state = new Map<string, unknown>()
  readonly #versions = new Map<string, number>()
  #events: EventStream<WatchEvent<unknown>> | undefined
  #revision: number | undefined
  #isReady = false
  resets = 0
  errors: unknown[] = []
  /** Pauses before it reads on. */
  stall: Promise<void> | undefined

  constructor (readonly collection: Collection<any>, readonly options: WatchOptions) {}

  start (): void {
    // What was listed before 'ready' is incomplete, and so is no state to continue from.
    const since = this.#isReady ? this.#revision : undefined
    if (since === undefined) this.state.clear()
    this.#events = this.collection.watch({ ...this.options, since })
    const events = this.#events
    this.#follow(events).catch((error: unknown) => {
      // A watch that has never reached the store ends with this.
      if ((error as StoreError).code !== 'STORE_UNREACHABLE') this.errors.push(error)
      else if (this.#events === events) this.start()
    })
  }

  async stop (): Promise<void> {
    await this.#events!.return()
  }

  async #follow (events: EventStream<WatchEvent<unknown>>): Promise<void> {
    for await (const event of events) {
      if (event.type === 'reset') {
        this.resets++
        this.#isReady = false
        this.state.clear()
      } else if (event.type === 'ready') {
        this.#isReady = true
        this.#revision = event.revision
      } else {
        const before = this.#versions.get(event.key) ?? 0
        if (event.version < before) throw new Error(`version ${event.version} of ${event.key} after ${before}`)
        this.#versions.set(event.key, event.version)
        if (event.type === 'set') this.state.set(event.key, event.value)
        else this.state.delete(event.key)
        if (this.#isReady) this.#revision = event.revision
      }
      await this.stall
      if (this.#events !== events) return
    }
  }

  /** Resolves when what it was told is what there is, or when it has failed. */
  async arrives (seconds = 20): Promise<void> {
    const { key: one, prefix = '', values } = this.options
    await until(async () => {
      if (this.errors.length > 0) return true
      const state = new Map<string, unknown>()
      for await (const [key, value] of this.collection.entries()) {
        if (one === undefined ? key.startsWith(prefix) : key === one) state.set(key, values === false ? undefined : value)
      }
      return state.size === this.state.size && [...state].every(([key, value]) => {
        return this.state.has(key) && this.state.get(key) === value
      })
    }, seconds)
  }
}
