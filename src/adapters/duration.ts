// Durations as other libraries give them: zero, negative, infinite and NaN ones included.
import { StoreError } from '../core/errors.js'
import { MIN_SECONDS } from '../core/validation.js'

/** Seconds, some 17,000 years: the longest time to live that a store takes. */
export const MAX_SECONDS = 2 ** 39

/** Milliseconds as the seconds that a store takes. What is too long, infinite or NaN never ends in the libraries' own stores: MAX_SECONDS. */
export function secondsOf (milliseconds: number): number {
  const seconds = milliseconds / 1000
  if (seconds < MIN_SECONDS) return MIN_SECONDS
  return seconds < MAX_SECONDS ? seconds : MAX_SECONDS
}

/** An option of an adapter, which may be Infinity. STORE_OPTION_INVALID. */
export function checkSeconds (seconds: unknown, option: string): number {
  if (typeof seconds === 'number' && seconds >= MIN_SECONDS) return seconds
  throw new StoreError('STORE_OPTION_INVALID', `invalid ${option}: expected seconds, ${MIN_SECONDS} at least, got ${String(seconds)}`)
}
