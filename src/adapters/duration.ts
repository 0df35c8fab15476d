// Durations as other libraries pass them, including zero, negative, infinite and NaN.
import { StoreError } from '../core/errors.js'
import { MIN_SECONDS } from '../core/validation.js'

/** The longest time to live that a store accepts, about 17,000 years. */
export const MAX_SECONDS = 2 ** 39

/**
 * Converts milliseconds to the seconds that a store accepts. Too long, infinite and NaN durations become MAX_SECONDS,
 * as they never end in the libraries' own stores.
 */
export function secondsOf (milliseconds: number): number {
  const seconds = milliseconds / 1000
  if (seconds < MIN_SECONDS) return MIN_SECONDS
  return seconds < MAX_SECONDS ? seconds : MAX_SECONDS
}

/** Checks an option in seconds, which may be Infinity. STORE_OPTION_INVALID. */
export function checkSeconds (seconds: unknown, option: string): number {
  if (typeof seconds === 'number' && seconds >= MIN_SECONDS) return seconds
  throw new StoreError('STORE_OPTION_INVALID', `invalid ${option}: expected seconds, at least ${MIN_SECONDS}, ` +
    `got ${String(seconds)}`)
}
