// What the keyspace requires of the code that saves its state.
import { Reply, type Request } from '../../core/engine.js'
import type { Bytes } from '../../core/value.js'
import type { Bounds } from './bounds.js'
import type { Caller } from './lock.js'
import type { DataStats } from '../../core/stats.js'

export interface Durability {
  /** Calls back when all changes made so far are on disk, or with true if they could not be written. */
  whenSafe (done: (hasFailed: boolean) => void): void
  /** Called after the options of a collection have changed. */
  configured (collection: string, wasKept: boolean): void
  stats (): DataStats
}

/** Replies immediately, or, for a durable change, when it is on disk. */
export function answer (
  durability: Durability | undefined, { bounds }: { readonly bounds: Bounds }, request: Request<Bytes>,
  caller: Caller, id: number, reply: Reply<Bytes>
): void {
  const isImmediate = durability === undefined || id === 0 || reply.code !== undefined || !isDurable(request, bounds)
  if (isImmediate) caller.answer(id, reply)
  else durability.whenSafe(hasFailed => { caller.answer(id, hasFailed ? new Reply('STORE_NOT_DURABLE') : reply) })
}

function isDurable ({ op, durable }: Request<Bytes>, bounds: Bounds): boolean {
  return (durable || bounds.durable) && (op === 'set' || op === 'del' || op === 'increment')
}
