// Computes the result of an increment: the sum and the remaining time.
import type { Request } from '../../core/engine.js'
import type { Bytes, OwnBytes } from '../../core/value.js'

const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/
/** Digits of whole numbers that are all exact. */
const MAX_DIGITS = 15
/** Upper limit of a window with backoff, in milliseconds: about 35,000 years, still a valid date. */
const LONGEST = 2 ** 50

/**
 * The stored number, or 0 without one, plus the amount; undefined if the value is not a number or the sum is not
 * finite.
 */
export function sum (text: OwnBytes | undefined, { number = 1, down }: Request<Bytes>): number | undefined {
  const before = text === undefined ? 0 : numberOf(text)
  if (before === undefined) return undefined
  const after = before + number
  if (!Number.isFinite(after)) return undefined
  return down && after < 0 ? Math.min(before, 0) : after
}

function numberOf (text: OwnBytes): number | undefined {
  // Most are short and whole; the regular expression would cost a quarter of the call.
  if (typeof text === 'string' && text.length <= MAX_DIGITS) {
    let number = 0
    let at = 0
    for (let digit; at < text.length && (digit = text.charCodeAt(at) - 48) >= 0 && digit <= 9; at++) {
      number = number * 10 + digit
    }
    if (at === text.length && at > 0) return number
  }
  const written = text.toString()
  return NUMBER.test(written) ? Number(written) : undefined
}

/** The new ttl of a counter; undefined to keep the current one. */
export function windowOf (isNew: boolean, sum: number, { ttl, limit, backoff }: Request<Bytes>): number | undefined {
  if (ttl === undefined) return undefined
  if (limit === undefined || sum <= limit) return isNew ? ttl : undefined
  const grown = backoff ? ttl * 2 ** (sum - limit - 1) : ttl
  return grown < LONGEST ? grown : LONGEST // also if it is NaN, which cannot be compared
}
