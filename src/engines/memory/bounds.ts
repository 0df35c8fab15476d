// How long the keys of a collection stay, and how many fit.

/** What `configure` sets; 0 stands for no limit. Never changed, but replaced. */
export interface Bounds {
  /** Milliseconds without use after which a key goes. */
  readonly idle: number
  readonly maxKeys: number
  readonly maxBytes: number
  /** Make room by dropping the least recently used keys; if not, refuse what does not fit. */
  readonly evict: boolean
  /** Whether its keys are written to disk, where there is one. */
  readonly keep: boolean
  /** Whether each change is answered when it is on the disk. */
  readonly durable: boolean
  /** Keys that were not used since had gone idle before the idle time was changed. */
  readonly goneBefore: number
}

export const UNBOUNDED: Bounds = Object.freeze({
  idle: 0,
  maxKeys: 0,
  maxBytes: 0,
  evict: true,
  keep: true,
  durable: false,
  goneBefore: 0
})

export function isOver ({ maxKeys, maxBytes }: Bounds, keys: number, bytes: number): boolean {
  return (maxKeys > 0 && keys > maxKeys) || (maxBytes > 0 && bytes > maxBytes)
}
