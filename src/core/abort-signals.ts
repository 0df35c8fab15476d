// One listener per AbortSignal, shared by all calls that use the signal: Node warns about a leak at the eleventh
// listener.

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
