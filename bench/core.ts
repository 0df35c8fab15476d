// What the system's scheduler does to this process.
import { openSync, readSync } from 'node:fs'

const SCHEDSTAT = '/proc/self/schedstat' // proc(5): nanoseconds on a core, nanoseconds of waiting for one, times it was given one
const text = Buffer.alloc(128)
let file: number | undefined

/** Milliseconds for which the main thread has waited for a core so far; NaN where the system does not tell. */
export function waitedForCore (): number {
  try {
    file ??= openSync(SCHEDSTAT, 'r')
    return Number(text.toString('latin1', 0, readSync(file, text, 0, text.length, 0)).split(' ')[1]) / 1e6
  } catch {
    return NaN
  }
}
