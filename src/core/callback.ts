// Adapts promises to callbacks.
import type { StoreError } from './errors.js'

/**
 * Calls back with the outcome of a promise on the next tick, so an error thrown by the callback is an uncaught
 * exception and not a rejection. Without a callback, the outcome is ignored.
 */
export function answer<V> (
  promise: Promise<V>, callback: (err: StoreError | null, value?: V) => void = () => {}
): void {
  promise.then(
    value => { process.nextTick(callback, null, value) },
    (error: StoreError) => { process.nextTick(callback, error) }
  )
}

/** The same without a value. */
export function settle (promise: Promise<unknown>, callback: (err: StoreError | null) => void = () => {}): void {
  promise.then(() => { process.nextTick(callback, null) }, error => { process.nextTick(callback, error) })
}
