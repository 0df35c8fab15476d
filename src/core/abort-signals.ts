// AbortSignals, with one listener each however many calls wait with the same one: Node warns of a leak from the
// eleventh on.

class Listeners extends Set<() => void> {
  handleEvent (): void {
    for (const fn of this) fn()
  }
}

const listening = new WeakMap<AbortSignal, Listeners>()

/** Calls `fn` when the signal aborts; one that has aborted already does not. */
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
