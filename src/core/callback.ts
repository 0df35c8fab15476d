// From promises to callbacks.
import type { StoreError } from './errors.js'

/**
 * PendingCalls back with the outcome of a promise, from outside of it: what a callback throws is the process's to deal with.
 * Without a callback nobody is told.
 */
export function answer<V> (promise: Promise<V>, callback: (err: StoreError | null, value?: V) => void = () => {}): void {
  promise.then(value => { process.nextTick(callback, null, value) }, (error: StoreError) => { process.nextTick(callback, error) })
}
