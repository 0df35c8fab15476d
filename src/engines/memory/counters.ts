// Counters of a keyspace, for monitoring.
import type { Op } from '../../core/engine.js'
import type { StoreErrorCode } from '../../core/errors.js'
import { WAITS } from '../../core/stats.js'

type Uncounted = 'scan' | 'dump' | 'size' | 'clear' | 'configure' | 'collections' | 'locks' | 'lock' | 'stats' |
  'ping' | 'watch' | 'publish' | 'subscribe'
type Counted = Exclude<Op, Uncounted>

/** Plain fields. Incrementing one by a constant name takes a nanosecond, by a computed name thirty. */
class CallCounts implements Record<Counted, number> {
  get = 0
  entry = 0
  peek = 0
  head = 0
  set = 0
  del = 0
  touch = 0
  increment = 0
  acquire = 0
  release = 0
  renew = 0
  break = 0
}

export class Counters {
  /** Answered calls on single keys, with any outcome. */
  readonly calls = new CallCounts()
  /** Calls that failed, by code. */
  readonly refused: Partial<Record<Counted, Partial<Record<StoreErrorCode, number>>>> = {}
  /** Wait time histogram: one bucket per entry of WAITS and one for longer waits; the sum is in seconds. */
  readonly waits: number[] = Array(WAITS.length + 1).fill(0)
  waited = 0
  /** Of near caches. Changes that waited for revocations, and for how long together, in seconds. */
  readonly near = { hits: 0, copies: 0, revocations: 0, waits: 0, waited: 0 }
  /** Totals over all collections, including dropped ones. */
  readonly totals = { keys: 0, bytes: 0, locks: 0, waiters: 0, reads: 0, writes: 0, expired: 0, evicted: 0 }
  /** The sum over all keys of the length of their collection's name. */
  nameBytes = 0

  refuse (op: Op, code: StoreErrorCode): void {
    const codes = this.refused[op as Counted] ??= {}
    codes[code] = (codes[code] ?? 0) + 1
  }

  /** Counts a wait of `duration` milliseconds. */
  wait (duration: number): void {
    const seconds = duration / 1000
    const place = WAITS.findIndex(bound => seconds <= bound)
    this.waits[place === -1 ? WAITS.length : place]!++
    this.waited += seconds
  }
}
