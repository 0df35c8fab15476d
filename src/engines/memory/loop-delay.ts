// How late the event loop of this process is: in windows of time, so that nobody's look changes what another sees.
import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks'
import type { LoopDelay } from '../../core/stats.js'

/** Milliseconds between two samples: more often costs more. Node counts them in. */
const RESOLUTION = 20
const WINDOW = 60_000

let histogram: IntervalHistogram | undefined
let last: LoopDelay | undefined

/** Begins to measure, for as long as the process runs. */
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

/** Of the last full minute, or of the first one so far; undefined at the first look, with which it begins. */
export function loopDelay (): LoopDelay | undefined {
  return last ?? read(watch())
}

function read (histogram: IntervalHistogram): LoopDelay | undefined {
  if (histogram.count === 0) return undefined
  const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION)
  return { mean: late(histogram.mean), p99: late(histogram.percentile(99)), max: late(histogram.max) }
}
