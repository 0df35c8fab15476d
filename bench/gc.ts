// The garbage collections of this process.
import { PerformanceObserver } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Pause {
  /** As of performance.now(). */
  start: number
  /** Milliseconds. */
  duration: number
}

/** Collects pauses from now on; the function stops it, and gives them once the last of them has been reported. */
export function watchGc (): () => Promise<Pause[]> {
  const pauses: Pause[] = []
  const observer = new PerformanceObserver(list => {
    for (const { startTime, duration } of list.getEntries()) pauses.push({ start: startTime, duration })
  })
  observer.observe({ entryTypes: ['gc'] })
  return async () => {
    await sleep(10)
    observer.disconnect()
    return pauses
  }
}

export function longest (pauses: Pause[]): number {
  return Math.max(0, ...pauses.map(({ duration }) => duration))
}
