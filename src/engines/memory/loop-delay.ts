// Measures the event loop delay of this process in fixed windows, so that concurrent readers do not affect each other.
import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks'
import type { LoopDelay } from '../../core/stats.js'

/** Milliseconds between samples, a compromise with overhead. Included in the delays that Node reports. */
const RESOLUTION = 20
const WINDOW = 60_000

let histogram: IntervalHistogram | undefined
let last: LoopDelay | undefined

/** Starts measuring, until the process exits. */
function watch (): IntervalHistogram {
  if (histogram !== undefined) return histogram
  const started = histogram = monitorEventLoopDelay({ resolution: RESOLUTION })
  started.enable()
  setInterval(() => {
    last = read(started)
    started.reset()
  }, WINDOW).unref()
  return started
}

/** Of the last full minute, or of the first minute so far. The first call starts measuring and returns undefined. */
export function loopDelay (): LoopDelay | undefined {
  return last ?? read(watch())
}

function read (histogram: IntervalHistogram): LoopDelay | undefined {
  if (histogram.count === 0) return undefined
  const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION)
  return { mean: late(histogram.mean), p99: late(histogram.percentile(99)), max: late(histogram.max) }
}
