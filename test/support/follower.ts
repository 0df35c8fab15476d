// Watchers that rebuild the state of a collection from events, and random changes for them to follow.
import type { Collection, EventStream, StoreError, WatchEvent, WatchOptions } from '../../src/index.js'
import { random } from '../faults/attack.js'
import { until } from './until.js'

/** Follows a watch, and checks that versions never decrease. */
export class Follower {
  readonly state = new Map<string, unknown>()
  readonly #versions = new Map<string, number>()
  #events: EventStream<WatchEvent<unknown>> | undefined
  #revision: number | undefined
  #isReady = false
  resets = 0
  errors: unknown[] = []
  /** Reading pauses until this resolves. */
  stall: Promise<void> | undefined

  constructor (readonly collection: Collection<any>, readonly options: WatchOptions) {}

  start (): void {
    // Before 'ready', the listing is incomplete, so the watch cannot continue from it.
    const since = this.#isReady ? this.#revision : undefined
    if (since === undefined) this.state.clear()
    this.#events = this.collection.watch({ ...this.options, since })
    const events = this.#events
    this.#follow(events).catch((error: unknown) => {
      // A watch that has never reached the store ends with this error.
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

  /** Resolves when its state equals that of the store, or when it has failed. */
  async arrives (): Promise<void> {
    await until(async () => {
      if (this.errors.length > 0) return true
      const state = await this.#read().catch(() => undefined) // after a lost connection, the next call may fail too
      return state?.size === this.state.size && [...state].every(([key, value]) => {
        return this.state.has(key) && this.state.get(key) === value
      })
    }, 30)
  }

  async #read (): Promise<Map<string, unknown>> {
    const { key: one, prefix = '', values } = this.options
    const state = new Map<string, unknown>()
    for await (const [key, value] of this.collection.entries()) {
      if (one === undefined ? key.startsWith(prefix) : key === one) state.set(key, values === false ? undefined : value)
    }
    return state
  }
}

export interface Course {
  seed: number
  steps: number
  /** Number of keys in an occasional bulk write. */
  many: number
  /** Disconnects all clients. */
  cut (): unknown
  /** Makes the store lose all keys. */
  replace (): unknown
}

/**
 * Changes a collection at random while followers read, pause and restart. Then each of them must reach the state of the
 * store, whatever it has missed.
 */
export async function follow (
  items: Collection<any>, followers: readonly Follower[], { seed, steps, many, cut, replace }: Course
): Promise<void> {
  const next = random(seed)
  const below = (n: number): number => Math.floor(next() * n)
  const pick = <T> (list: readonly T[]): T => list[below(list.length)]!
  const keys = Array.from({ length: 20 }, (_, i) => `${'ab'[i % 2]}${i}`)
  const ignore = (): void => {} // a failed call has written nothing
  for (const follower of followers) follower.start()
  for (let step = 0; step < steps; step++) {
    const key = pick(keys)
    const what = below(1000)
    if (what < 600) items.set(key, step).catch(ignore)
    else if (what < 700) items.del(key).catch(ignore)
    else if (what < 760) items.set(key, step, { ttl: (1 + below(10)) / 1000 }).catch(ignore)
    else if (what < 800) items.update(key, () => step).catch(ignore)
    else if (what < 820) items.clear({ prefix: pick(['', 'a', 'b1']) }).catch(ignore)
    else if (what < 830) items.configure({ maxKeys: pick([0, 5, 15]) }).catch(ignore)
    else if (what < 833) items.setMany(Array.from({ length: many }, (_, i) => [`a many ${i}`, step])).catch(ignore)
    else if (what < 848) await cut()
    else if (what < 850) await replace()
    else if (what < 900) {
      const follower = pick(followers)
      let go!: () => void
      follower.stall = new Promise(resolve => { go = resolve })
      setTimeout(go, below(50))
    } else if (what < 920) {
      const follower = pick(followers)
      await follower.stop()
      follower.start()
    }
    if (next() < 0.3) await new Promise(resolve => { setImmediate(resolve) })
    if (next() < 0.03) await new Promise(resolve => { setTimeout(resolve, below(10)) })
  }
  for (const key of ['a3', 'b7']) await until(() => items.set(key, 'last').then(() => true, () => false))
  for (const follower of followers) {
    await follower.arrives()
    if (follower.errors.length > 0) throw new AggregateError(follower.errors, 'a watch failed')
    await follower.stop()
  }
}
