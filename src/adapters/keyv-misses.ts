// Lets one process compute a missing value while the others wait: a read that finds no value locks its key, and
// storing the value releases the lock.
import type { Collection } from '../api/collection.js'
import type { KeyLock } from '../api/key-lock.js'

export class Misses {
  readonly #keys: Collection<unknown>
  readonly #lease: number
  /** The locks that this process holds, by key. */
  readonly #locks = new Map<string, KeyLock>()

  constructor (keys: Collection<unknown>, lease: number) {
    this.#keys = keys
    this.#lease = lease
  }

  /** Resolves with undefined if the caller is to compute the value. */
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
    lock.signal.addEventListener('abort', () => {
      if (this.#locks.get(name) === lock) this.#locks.delete(name)
    }, { once: true })
  }

  /**
   * Takes the lock of a key that this process has read without finding a value. The caller writes the key and releases
   * the lock.
   */
  take (name: string): KeyLock | undefined {
    const lock = this.#locks.get(name)
    this.#locks.delete(name)
    return lock?.held === true ? lock : undefined
  }
}
