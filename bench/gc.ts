// The garbage collections of this process.
import { PerformanceObserver } from 'node:perf_hooks'

export interface Pause {
  /** As of performance.now(). */
  start: number
  /** Milliseconds. */
  duration: number
}

/** Collects pauses from now on; the function gives what there is so far. */
export function watchGc (): () => Pause[] {
  const pauses: Pause[] = []
  const add = (entries: Array<{ startTime: number, duration: number }>): void => {
    for (const { startTime, duration } of entries) pauses.push({ start: startTime, duration })
  }
  const observer = new PerformanceObserver(list => { add(list.getEntries()) })
  observer.observe({ entryTypes: ['gc'] })
  return () => {
    add(observer.takeRecords())
    return pauses
  }
}

export function longest (pauses: Pause[]): number {
  return Math.max(0, ...pauses.map(({ duration }) => duration))
}
