// Splits long work into slices, so the process can do other work between them. Slices get longer under load.
import { performance } from 'node:perf_hooks'

const MIN_SLICE_MS = 1
/** Length of a slice, relative to the time the event loop has spent on everything else since the last one. */
const SHARE = 0.25

export class Slices {
  #end = performance.now() + MIN_SLICE_MS
  #stepsLeft: number

  /** The clock is read once per `stepsPerLook`. `isHurried`: whether not to wait for the next slice. */
  constructor (private readonly stepsPerLook: number, private readonly isHurried = () => false) {
    this.#stepsLeft = stepsPerLook
  }

  /** Called after each step: whether to wait for the next slice. */
  isOver (): boolean {
    if (--this.#stepsLeft > 0) return false
    this.#stepsLeft = this.stepsPerLook
    return performance.now() >= this.#end && !this.isHurried()
  }

  /** Resolves after the event loop has done its due work. */
  async next (): Promise<void> {
    const left = performance.now()
    await new Promise(resolve => { setImmediate(resolve) })
    const now = performance.now()
    this.#end = now + Math.max(MIN_SLICE_MS, (now - left) * SHARE)
  }
}
