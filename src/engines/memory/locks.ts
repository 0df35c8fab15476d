// All locks of a keyspace.
import type { Request } from '../../core/engine.js'
import { append, remove } from '../../core/linked-list.js'
import type { Bytes } from '../../core/value.js'
import type { Collection } from './collection.js'
import type { Context } from './context.js'
import { Lock, type Caller } from './lock.js'

export class Locks {
  /** The oldest: the first of a linked list. */
  first: Lock | undefined
  /** Number of grants so far. */
  grants = 0
  readonly #context: Context
  readonly #onexpired: (lock: Lock) => void

  /** `onexpired`: called when a lease expires. */
  constructor (context: Context, onexpired: (lock: Lock) => void) {
    this.#context = context
    this.#onexpired = onexpired
  }

  /** Creates a lock without a holder. */
  make (collection: Collection, key: string): Lock {
    const entry = collection.find(key)
    if (entry !== undefined) collection.lock(entry)
    const lock = new Lock(collection, key, this.#context.revision, this.#onexpired)
    collection.addLock(lock)
    this.first = append(this.first, lock)
    return lock
  }

  /** `epoch`: the base of fences. */
  grant (lock: Lock, request: Request<Bytes>, caller: Caller, epoch: number): void {
    const { agenda, clock } = this.#context
    lock.grant(request, caller, epoch + ++this.grants, clock.now)
    lock.setLease(agenda, clock.now, request.lease)
  }

  delete (collection: Collection, lock: Lock): void {
    collection.unlock(lock.key)
    collection.deleteLock(lock)
    this.first = remove(this.first!, lock)
  }
}
