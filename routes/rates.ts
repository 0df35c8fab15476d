// Rates of collections, from two readings of their counters.
import type { FastifyReply } from 'fastify'
import { Type } from '@sinclair/typebox'
import { offAbort, onAbort } from '../src/core/abort-signals.js'
import type { CollectionStats } from '../src/core/stats.js'
import { Timer } from '../src/core/timer.js'
import { onClose } from '../src/web/transport.js'

const COUNTERS = ['reads', 'writes', 'expired', 'evicted'] as const

type Rates = Record<typeof COUNTERS[number], number>

const rate = (description: string): ReturnType<typeof Type.Number> => Type.Number({ minimum: 0, description })

/** The query parameter. */
export const over = Type.Optional(Type.Number({
  minimum: 0.1, maximum: 60, description: 'Seconds over which rates are measured: the response takes that long'
}))
export const rates = Type.Optional(Type.Object({
  reads: rate('Reads'), writes: rate('Writes'), expired: rate('Expired keys'), evicted: rate('Evicted keys')
}, { description: 'Per second, if `over` was given' }))

/** The second of two readings, with rates. Returns early if the client disconnects or the server stops. */
export async function withRates (
  reply: Pick<FastifyReply, 'raw'>, stopping: AbortSignal, seconds: number, look: () => Promise<CollectionStats[]>
): Promise<Array<CollectionStats & { rates: Rates }>> {
  const before = new Map((await look()).map(stats => [stats.name, stats]))
  const started = performance.now()
  await new Promise<void>(resolve => {
    const timer = new Timer()
    const end = (): void => {
      timer.stop()
      offAbort(stopping, end)
      resolve()
    }
    timer.start(seconds * 1000, end)
    onAbort(stopping, end)
    onClose(reply.raw, end)
    if (stopping.aborted) end()
  })
  const after = await look()
  const elapsed = (performance.now() - started) / 1000
  return after.map(stats => ({ ...stats, rates: ratesOf(before.get(stats.name), stats, elapsed) }))
}

/** Counters start again with a collection that was forgotten. */
function ratesOf (before: CollectionStats | undefined, after: CollectionStats, seconds: number): Rates {
  return Object.fromEntries(
    COUNTERS.map(counter => [counter, Math.max(0, after[counter] - (before?.[counter] ?? 0)) / seconds])
  ) as Rates
}
