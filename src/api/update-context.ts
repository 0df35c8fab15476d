// Tracks which keys the running code is updating, through the `update` and `getOrSet` calls it was called from.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Engine, Request } from '../core/engine.js'
import { shared } from '../core/shared.js'
import type { OwnedLock } from './key-lock.js'

interface Frame {
  readonly lock: OwnedLock
  /** The update that this one is nested in. */
  readonly outer: Frame | undefined
}

const updates = shared('updates.1', () => ({ frames: new AsyncLocalStorage<Frame>(), running: 0 }))

/** Runs `fn` as the function of an update that holds `lock`. */
export async function runUpdate<T> (lock: OwnedLock, fn: () => T | Promise<T>): Promise<T> {
  updates.running++
  try {
    return await updates.frames.run({ lock, outer: updates.frames.getStore() }, fn)
  } finally {
    // While the AsyncLocalStorage is enabled, promises cost about twice as much on Node 20 and 22.
    if (--updates.running === 0) updates.frames.disable()
  }
}

/** The lock of an enclosing update that a call made now would wait for: a deadlock. */
export function updateHolding (engine: Engine, request: Request): OwnedLock | undefined {
  if (updates.running === 0) return undefined
  for (let frame = updates.frames.getStore(); frame !== undefined; frame = frame.outer) {
    if (frame.lock.isInWayOf(engine, request)) return frame.lock
  }
  return undefined
}
