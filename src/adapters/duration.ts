// Durations as other libraries give them: zero, negative, infinite and NaN ones included.
import { MIN_SECONDS } from '../core/validation.js'

/** Seconds, some 17,000 years: the longest time to live that a store takes. */
export const MAX_SECONDS = 2 ** 39

/** Milliseconds as the seconds that a store takes. What is too long, infinite or NaN never ends in the libraries' own stores: MAX_SECONDS. */
export function secondsOf (milliseconds: number): number {
  const seconds = milliseconds / 1000
  if (seconds < MIN_SECONDS) return MIN_SECONDS
  return seconds < MAX_SECONDS ? seconds : MAX_SECONDS
}
