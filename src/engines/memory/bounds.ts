// The idle time and the limits of a collection.

/** The options set by `configure`; 0 means no limit. Immutable. */
export interface Bounds {
  /** Milliseconds without use after which a key expires. */
  readonly idle: number
  readonly maxKeys: number
  readonly maxBytes: number
  /** Whether a full collection evicts its least recently used keys. Otherwise it rejects writes. */
  readonly evict: boolean
  /** Whether the keys are written to disk, if the store has one. */
  readonly keep: boolean
  /** Whether a change is acknowledged only once it is on disk. */
  readonly durable: boolean
  /** Milliseconds for which other processes may use copies of values under one lease. */
  readonly near: number
  /** Keys last used before this time had expired before the idle time was changed. */
  readonly goneBefore: number
}

/** A process that does not react delays changes for as long. */
export const MAX_NEAR_MS = 1000

export const UNBOUNDED: Bounds = Object.freeze({
  idle: 0,
  maxKeys: 0,
  maxBytes: 0,
  evict: true,
  keep: true,
  durable: false,
  near: 0,
  goneBefore: 0
})

export function isOver ({ maxKeys, maxBytes }: Bounds, keys: number, bytes: number): boolean {
  return (maxKeys > 0 && keys > maxKeys) || (maxBytes > 0 && bytes > maxBytes)
}
