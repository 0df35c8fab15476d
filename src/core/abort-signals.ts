// One listener per AbortSignal, shared by all calls that use the signal: Node warns about a leak at the eleventh
// listener.
import { StoreError } from './errors.js'

class Listeners extends Set<() => void> {
  handleEvent (): void {
    for (const fn of this) fn()
  }
}

const listening = new WeakMap<AbortSignal, Listeners>()

/** Calls `fn` when the signal aborts. Does nothing if it has already aborted. */
export function onAbort (signal: AbortSignal, fn: () => void): void {
  let listeners = listening.get(signal)
  if (listeners === undefined) {
    listening.set(signal, listeners = new Listeners())
    signal.addEventListener('abort', listeners)
  }
  listeners.add(fn)
}

export function offAbort (signal: AbortSignal, fn: () => void): void {
  const listeners = listening.get(signal)
  if (listeners?.delete(fn) !== true || listeners.size > 0) return
  listening.delete(signal)
  signal.removeEventListener('abort', listeners)
}

/** The items of a source. Throws STORE_ABORTED as soon as the signal aborts, also while the source has none. */
export async function * untilAborted<T> (
  source: AsyncIterable<T> | Iterable<T>, signal?: AbortSignal
): AsyncGenerator<T> {
  if (signal === undefined) return yield * source
  let stop: ((error: StoreError) => void) | undefined
  const abort = (): void => { stop?.(new StoreError('STORE_ABORTED', undefined, { cause: signal.reason })) }
  onAbort(signal, abort)
  const chunks = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
  try {
    for (;;) {
      // Not Promise.race: the promise of the signal would keep a reaction for each item.
      const { done, value } = await new Promise<IteratorResult<T>>((resolve, reject) => {
        stop = reject
        if (signal.aborted) abort()
        else Promise.resolve(chunks.next()).then(resolve, reject)
      })
      if (done === true) return
      yield value
    }
  } finally {
    offAbort(signal, abort)
    // Not awaited: a generator answers only after the chunk that it is waiting for.
    Promise.resolve().then(() => chunks.return?.()).catch(() => {})
  }
}
