// Counters: what an increment makes of a stored number, and of the time it has left.
import type { Request } from '../../core/engine.js'
import type { Bytes } from '../../core/value.js'

const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/
/** Milliseconds that a window may have grown to: some 35,000 years, which a date can still hold. */
const LONGEST = 2 ** 50

/**
 * The sum of a stored number, 0 if there is none, and what the request adds; undefined if it is none or the sum is
 * not finite.
 */
export function sum (text: Bytes | undefined, { number = 1, down }: Request<Bytes>): number | undefined {
  const written = text?.toString() ?? '0'
  if (!NUMBER.test(written)) return undefined
  const before = Number(written)
  const after = before + number
  if (!Number.isFinite(after)) return undefined
  return down && after < 0 ? Math.min(before, 0) : after
}

/** The time to live that a counter gets with its new sum; undefined where it keeps what it has. */
export function windowOf (isNew: boolean, sum: number, { ttl, limit, backoff }: Request<Bytes>): number | undefined {
  if (ttl === undefined) return undefined
  if (limit === undefined || sum <= limit) return isNew ? ttl : undefined
  const grown = backoff ? ttl * 2 ** (sum - limit - 1) : ttl
  return grown < LONGEST ? grown : LONGEST // also where it is no number at all, which no clock could compare
}
