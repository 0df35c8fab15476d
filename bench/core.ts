// How long a process waits for a CPU core.
import { openSync, readSync } from 'node:fs'

const text = Buffer.alloc(128)
const files = new Map<number, number>()

/** Total milliseconds that the main thread of a process has waited for a core; NaN if the system does not report it. */
export function waitedForCore (pid = process.pid): number {
  try {
    let file = files.get(pid)
    // proc(5): nanoseconds on a core, nanoseconds of waiting for one, number of time slices
    if (file === undefined) files.set(pid, file = openSync(`/proc/${pid}/schedstat`, 'r'))
    return Number(text.toString('latin1', 0, readSync(file, text, 0, text.length, 0)).split(' ')[1]) / 1e6
  } catch {
    return NaN
  }
}
