// Computes the result of an increment: the sum and the remaining time.
import type { Request } from '../../core/engine.js'
import type { Bytes } from '../../core/value.js'

const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/
/** Upper limit of a window with backoff, in milliseconds: about 35,000 years, still a valid date. */
const LONGEST = 2 ** 50

/**
 * The stored number, or 0 without one, plus the amount; undefined if the value is not a number or the sum is not
 * finite.
 */
export function sum (text: Bytes | undefined, { number = 1, down }: Request<Bytes>): number | undefined {
  const written = text?.toString() ?? '0'
  if (!NUMBER.test(written)) return undefined
  const before = Number(written)
  const after = before + number
  if (!Number.isFinite(after)) return undefined
  return down && after < 0 ? Math.min(before, 0) : after
}

/** The new ttl of a counter; undefined to keep the current one. */
export function windowOf (isNew: boolean, sum: number, { ttl, limit, backoff }: Request<Bytes>): number | undefined {
  if (ttl === undefined) return undefined
  if (limit === undefined || sum <= limit) return isNew ? ttl : undefined
  const grown = backoff ? ttl * 2 ** (sum - limit - 1) : ttl
  return grown < LONGEST ? grown : LONGEST // also if it is NaN, which cannot be compared
}
