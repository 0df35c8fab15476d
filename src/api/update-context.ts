// Which keys the running code updates: those of the `update` and `getOrSet` whose function has called it.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Engine, Request } from '../core/engine.js'
import type { OwnedLock } from './key-lock.js'

interface Frame {
  readonly lock: OwnedLock
  /** Of an update around this one. */
  readonly outer: Frame | undefined
}

const frames = new AsyncLocalStorage<Frame>()
let running = 0

/** Runs `fn`, which works under `lock`. */
export async function runUpdate<T> (lock: OwnedLock, fn: () => T | Promise<T>): Promise<T> {
  running++
  try {
    return await frames.run({ lock, outer: frames.getStore() }, fn)
  } finally {
    // As long as it is enabled, every promise of the process costs about twice as much on Node 20 and 22.
    if (--running === 0) frames.disable()
  }
}

/** The lock for which a call that is made now would wait, held by an update that waits for the call. */
export function updateHolding (engine: Engine, request: Request): OwnedLock | undefined {
  if (running === 0) return undefined
  for (let frame = frames.getStore(); frame !== undefined; frame = frame.outer) {
    if (frame.lock.isInWayOf(engine, request)) return frame.lock
  }
  return undefined
}
