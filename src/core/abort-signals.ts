// One listener per AbortSignal, shared by all calls that use the signal: Node warns about a leak at the eleventh
// listener. An Aborter takes any number.
import type { Abortion } from './engine.js'
import { StoreError } from './errors.js'

/** An AbortController and its signal in one, at a fraction of the cost, for waits that only this package ends. */
export class Aborter implements Abortion {
  aborted = false
  readonly reason = undefined
  readonly #listeners = new Set<() => void>()

  abort (): void {
    if (this.aborted) return
    this.aborted = true
    for (const fn of this.#listeners) fn()
    this.#listeners.clear()
  }

  add (fn: () => void): void {
    this.#listeners.add(fn)
  }

  delete (fn: () => void): void {
    this.#listeners.delete(fn)
  }
}

class Listeners extends Set<() => void> {
  handleEvent (): void {
    for (const fn of this) fn()
  }
}

const listening = new WeakMap<AbortSignal, Listeners>()

/** Calls `fn` when the signal aborts. Does nothing if it has already aborted. */
export function onAbort (signal: AbortSignal | Abortion, fn: () => void): void {
  if ('add' in signal) {
    signal.add(fn)
    return
  }
  let listeners = listening.get(signal)
  if (listeners === undefined) {
    listening.set(signal, listeners = new Listeners())
    signal.addEventListener('abort', listeners)
  }
  listeners.add(fn)
}

export function offAbort (signal: AbortSignal | Abortion, fn: () => void): void {
  if ('add' in signal) {
    signal.delete(fn)
    return
  }
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
    // Not awaited: a generator would settle only after the chunk that it is waiting for.
    Promise.resolve().then(() => chunks.return?.()).catch(() => {})
  }
}
