// Long work of a process that has other things to do: in slices, which get longer where everything else takes long.
import { performance } from 'node:perf_hooks'

export const MIN_SLICE_MS = 1
/** What a slice may take of the time that the event loop has taken for all else since the last one. */
const SHARE = 0.25

/** Resolves, when the event loop has done what was due, with the time at which the next slice ends. */
export async function nextSlice (): Promise<number> {
  const left = performance.now()
  await new Promise(resolve => { setImmediate(resolve) })
  const now = performance.now()
  return now + Math.max(MIN_SLICE_MS, (now - left) * SHARE)
}
