// What is missing is computed by one process while the others wait: a read that finds nothing takes the lock of its key, and what is stored
// under it releases it.
import type { Collection } from '../api/collection.js'
import type { KeyLock } from '../api/key-lock.js'

export class Misses {
  readonly #keys: Collection<unknown>
  readonly #lease: number
  /** Of this process, by key. */
  readonly #locks = new Map<string, KeyLock>()

  constructor (keys: Collection<unknown>, lease: number) {
    this.#keys = keys
    this.#lease = lease
  }

  /** Resolves with undefined where it is for the caller to compute. */
  async get (name: string): Promise<unknown> {
    const found = await this.#keys.get(name)
    if (found !== undefined) return found
    const lock = await this.#keys.acquire(name, { lease: this.#lease })
    const value = lock.get()
    if (value !== undefined) {
      await lock.release()
      return value
    }
    this.#locks.set(name, lock)
    lock.signal.addEventListener('abort', () => { if (this.#locks.get(name) === lock) this.#locks.delete(name) }, { once: true })
  }

  /** The lock under which a key is to be written, if it was missed by this process: its writer releases it. */
  take (name: string): KeyLock | undefined {
    const lock = this.#locks.get(name)
    this.#locks.delete(name)
    return lock?.held === true ? lock : undefined
  }
}
