// Splits long work into slices, so the process can do other work between them. Slices get longer under load.
import { performance } from 'node:perf_hooks'

export const MIN_SLICE_MS = 1
/** Length of a slice, relative to the time the event loop has spent on everything else since the last one. */
const SHARE = 0.25

/** Resolves after the event loop has done its due work, with the time at which the next slice ends. */
export async function nextSlice (): Promise<number> {
  const left = performance.now()
  await new Promise(resolve => { setImmediate(resolve) })
  const now = performance.now()
  return now + Math.max(MIN_SLICE_MS, (now - left) * SHARE)
}
