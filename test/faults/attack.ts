// What an attack is: a function that throws when a promise does not hold, and says in figures what it has done. The
// tests run each for a few rounds, `npm run soak` for minutes.

/** What an attack starts and who ends it; a tap test is one. */
export interface Owner {
  teardown (end: () => unknown): void
  threw (error: unknown): void
}

export interface Order {
  /** All that is random comes from it. */
  seed: number
  /** How much is to be done... */
  rounds: number
  /** ...unless time is over before. */
  secondsLeft (): number
  owner: Owner
}

export type Figures = Record<string, number | string>

export type Attack = (order: Order) => Promise<Figures>

/** Of some times in microseconds, for people: median and 99th percentile. */
export function quantiles (times: number[]): string {
  const sorted = times.slice().sort((a, b) => a - b)
  return [0.5, 0.99].map(share => Math.round(sorted[Math.floor((sorted.length - 1) * share)]!)).join('/')
}

/** Numbers from 0 to below 1: xorshift, so that a seed gives the same ones everywhere. */
export function random (seed: number): () => number {
  let state = seed | 0 || 1
  const next = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
  for (let i = 0; i < 20; i++) next() // seeds that are neighbours part
  return next
}
