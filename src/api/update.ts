// Read, compute, write: under the lock of the key.
import { MIN_SECONDS, checkFunction, milliseconds } from '../core/validation.js'
import type { Codec } from '../core/value.js'
import type { CollectionCalls } from './collection-calls.js'
import type { KeyLock, LockRegistry } from './key-lock.js'
import { KNOWN, type GetOrSetOptions, type UpdateOptions, type WaitOptions } from './options.js'
import { checkOptions } from './requests.js'
import { runUpdate } from './update-context.js'

/** What `update` calls to compute the new value. */
export type Updater<T> = (value: T | undefined, lock: KeyLock<T>) => T | undefined | Promise<T | undefined>

/** `registry`: the set in which the lock is registered while it is held. */
export async function update<T> (
  calls: CollectionCalls, codec: Codec, key: string, fn: Updater<T>, options: UpdateOptions,
  registry: LockRegistry | undefined
): Promise<T | undefined> {
  checkFunction(fn, 'update(key, value => newValue)')
  const { ttl, durable } = options
  if (ttl !== undefined) milliseconds(ttl, 'ttl', MIN_SECONDS)
  const lock = await calls.acquire<T>(codec, key, options, KNOWN.update, registry)
  let value: T | undefined
  try {
    value = await runUpdate(lock, () => fn(lock.get(), lock))
    if (value !== undefined) lock.set(value, { ttl })
  } catch (error) {
    if (lock.held) await lock.release({ discard: true, confirm: false })
    throw error
  }
  if (!lock.isReleased) await lock.release({ durable })
  return value === undefined ? lock.get() : value
}

/** Not registered with the web request, because other processes wait for the value. */
export async function getOrSet<T> (
  calls: CollectionCalls, codec: Codec, key: string, fn: () => T | Promise<T>, options: GetOrSetOptions,
  get: (wait: WaitOptions) => Promise<T | undefined>
): Promise<T> {
  checkFunction(fn, 'getOrSet(key, () => value)')
  checkOptions(options, KNOWN.getOrSet)
  const { signal, timeout } = options
  const started = performance.now()
  const found = await get({ signal, timeout })
  if (found !== undefined) return found
  const elapsed = (performance.now() - started) / 1000
  const left = timeout === undefined || timeout === 0 ? timeout : Math.max(timeout - elapsed, MIN_SECONDS)
  const compute: Updater<T> = value => value === undefined ? fn() : undefined
  return await update(calls, codec, key, compute, { ...options, timeout: left }, undefined) as T
}
