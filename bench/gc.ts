// The garbage collections of this process.
import { PerformanceObserver } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Pause {
  /** On the clock of performance.now(). */
  start: number
  /** In milliseconds. */
  duration: number
}

/** Starts recording pauses. The returned function stops and, once the last pause was reported, resolves with them. */
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
