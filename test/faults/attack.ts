// An attack is a function that throws if a guarantee is violated, and otherwise returns figures. The tests run each
// attack for a few rounds, `npm run soak` for minutes.

/** Cleans up after an attack; a tap test is one. */
export interface Owner {
  teardown (end: () => unknown): void
  threw (error: unknown): void
}

export interface Order {
  /** The source of all randomness. */
  seed: number
  /** The amount of work... */
  rounds: number
  /** ...unless the time is up earlier. */
  secondsLeft (): number
  owner: Owner
}

export type Figures = Record<string, number | string>

export type Attack = (order: Order) => Promise<Figures>

/** Median and 99th percentile of times in microseconds, formatted. */
export function quantiles (times: number[]): string {
  const sorted = times.slice().sort((a, b) => a - b)
  return [0.5, 0.99].map(share => Math.round(sorted[Math.floor((sorted.length - 1) * share)]!)).join('/')
}

/** Random numbers in [0, 1): xorshift, so a seed gives the same numbers everywhere. */
export function random (seed: number): () => number {
  let state = seed | 0 || 1
  const next = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
  for (let i = 0; i < 20; i++) next() // separates the sequences of adjacent seeds
  return next
}
