// Sends the calls of a collection to its engine, with the store's defaults and within the scope of a web request.
import {
  mayWait, type AbortScope, type Engine, type Op, type Reply, type Request, type Series
} from '../core/engine.js'
import { StoreError } from '../core/errors.js'
import { about } from '../core/pending-calls.js'
import type { Codec } from '../core/value.js'
import { KeyLock, type LockRegistry } from './key-lock.js'
import { KNOWN, type AcquireOptions, type DelOptions, type WaitOptions } from './options.js'
import { requestOf, withLease, withWrite, type Defaults } from './requests.js'
import { updateHolding } from './update-context.js'

/** The waits and locks of a web request. They end with the request. */
export interface Scope extends AbortScope {
  readonly locks: LockRegistry
  /**
   * Locks held by `update`. They are released without the handler, so other calls of the request may wait for them.
   */
  readonly updates: LockRegistry
}

export const NO_DEFAULTS: Defaults = { timeout: undefined, lease: undefined }

export class CollectionCalls {
  constructor (
    readonly engine: Engine, readonly name: string, readonly defaults: Defaults, readonly scope: Scope | undefined
  ) {}

  request (op: Op, key: string, options?: WaitOptions, known: readonly string[] = KNOWN.wait): Request {
    return requestOf(op, this.name, key, options, known, this.defaults, this.scope)
  }

  /** Throws STORE_DEADLOCK if the call would wait for a lock that cannot be released before it returns. */
  send (request: Request): Promise<Reply> {
    const lock = this.scope?.locks.inWayOf(this.engine, request) ?? updateHolding(this.engine, request)
    if (lock !== undefined && mayWait(request)) {
      const advice = `release the lock of ${JSON.stringify(lock.key)} first, or use its get, set and del`
      throw new StoreError('STORE_DEADLOCK', `${about(request)}; ${advice}`)
    }
    return this.engine.call(request)
  }

  /** Rejects instead of throwing. */
  call (op: Op, key: string, wait?: WaitOptions, series?: Series): Promise<Reply> {
    try {
      const request = this.request(op, key, wait)
      request.series = series
      return this.send(request)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Not async, so that confirmed and unconfirmed writes settle after the same number of microtasks. */
  write (request: Request, options: DelOptions): Promise<Reply | undefined> {
    withWrite(request, options)
    if (options.confirm !== false) return this.send(request)
    this.engine.post(request)
    return Promise.resolve(undefined)
  }

  async acquire<T> (
    codec: Codec, key: string, options: AcquireOptions, known: readonly string[], registry: LockRegistry | undefined
  ): Promise<KeyLock<T>> {
    const request = withLease(this.request('acquire', key, options, known), options, this.defaults)
    const lock = new KeyLock<T>(this.engine, codec, request, await this.send(request), registry)
    if (this.scope?.aborted === true) {
      await lock.release({ discard: true, confirm: false })
      throw new StoreError('STORE_ABORTED', 'the web request that acquired the lock has ended')
    }
    return lock
  }
}
