// Time: the clock as everybody here reads it, the moments at which something ends, and the timer that sees to it.
import { performance } from 'node:perf_hooks'

/** Milliseconds that only grow: no change of the wall clock can end a key or a lease before its time. */
export type Time = () => number

/** The time, read once for many operations: whoever brings work calls `tick` first. Whole milliseconds. */
export class Clock {
  now = 0
  readonly #time: Time
  readonly #start: number

  constructor (time: Time = () => performance.now()) {
    this.#time = time
    this.#start = time()
    this.tick()
  }

  tick (): void {
    this.now = Math.floor(this.#time() - this.#start)
  }
}

/** A moment at which something ends, if it is still among the Deadlines then. */
export abstract class Deadline {
  /** Its place in the heap; -1 outside. */
  slot = -1
  constructor (public at: number) {}
  abstract due (): void
}

/** Deadlines, the next one first: a binary heap in which each knows its place, so that any can be taken out. */
export class Deadlines {
  #heap: Deadline[] = []
  /** Told when one is added that comes before all others; -Infinity: there is something to do now. */
  onearlier: ((at: number) => void) | undefined

  get next (): Deadline | undefined {
    return this.#heap[0]
  }

  add (deadline: Deadline): void {
    this.#heap.push(deadline)
    this.#up(deadline, this.#heap.length - 1)
    if (deadline.slot === 0) this.onearlier?.(deadline.at)
  }

  remove (deadline: Deadline): void {
    const slot = deadline.slot
    if (slot === -1) return
    deadline.slot = -1
    const last = this.#heap.pop()!
    if (last === deadline) return
    this.#up(last, slot)
    this.#down(last, last.slot)
  }

  #up (deadline: Deadline, slot: number): void {
    while (slot > 0) {
      const parent = (slot - 1) >> 1
      if (this.#heap[parent]!.at <= deadline.at) break
      this.#put(this.#heap[parent]!, slot)
      slot = parent
    }
    this.#put(deadline, slot)
  }

  #down (deadline: Deadline, slot: number): void {
    for (;;) {
      let child = 2 * slot + 1
      if (child >= this.#heap.length) break
      if (child + 1 < this.#heap.length && this.#heap[child + 1]!.at < this.#heap[child]!.at) child++
      if (this.#heap[child]!.at >= deadline.at) break
      this.#put(this.#heap[child]!, slot)
      slot = child
    }
    this.#put(deadline, slot)
  }

  #put (deadline: Deadline, slot: number): void {
    this.#heap[slot] = deadline
    deadline.slot = slot
  }
}

/** How long one slice of a sweep may take, and how many removals pass between two looks at the time. */
const SLICE = 0.5
const LOOK = 32

/** Tells a sweep when its slice is over. */
export class Budget {
  #steps = 0
  readonly #end: number
  constructor (readonly time: Time = () => performance.now()) {
    this.#end = time() + SLICE
  }

  /** One step of work is about to be done; true if it should wait for the next slice. */
  isSpent (): boolean {
    return ++this.#steps % LOOK === 0 && this.time() >= this.#end
  }
}

export interface Sweepable {
  readonly clock: Clock
  readonly deadlines: Deadlines
  /** Removes what is past its time until the slice is over; true if more is left. */
  sweep (budget: Budget): boolean
  /** Whether keys may go idle, which is found by looking, not by a deadline. */
  readonly idles: boolean
}

const IDLE_CHECK = 250 // ms between two looks for idle keys
const REST = 10 //       ms at least between two sweeps: deadlines close together are seen to in one

/** Runs the sweeps of a keyspace. Its timer keeps a process alive only while somebody waits for what it may bring. */
export class Sweeper {
  #isAwaited = false
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined
  #planned = Infinity
  readonly #swept: Sweepable

  constructor (swept: Sweepable) {
    this.#swept = swept
    swept.deadlines.onearlier = at => { this.wake(at) }
  }

  /** Sees to it that a sweep runs at `at`, or before. */
  wake (at: number): void {
    if (at >= this.#planned || this.#immediate !== undefined) return
    this.#planned = at
    if (at === -Infinity) {
      this.#runNext()
      return
    }
    clearTimeout(this.#timer)
    // Timers may fire a part of a millisecond early, and a deadline is past only after its millisecond.
    const delay = Math.max(REST, at - this.#swept.clock.now + 2)
    this.#timer = setTimeout(() => { this.#run() }, Math.min(delay, 2 ** 31 - 1))
    if (!this.#isAwaited) this.#timer.unref()
  }

  /** Says whether a call waits that a lease's end may answer. */
  setAwaited (isAwaited: boolean): void {
    if (isAwaited === this.#isAwaited) return
    this.#isAwaited = isAwaited
    for (const timer of [this.#timer, this.#immediate]) {
      if (isAwaited) timer?.ref()
      else timer?.unref()
    }
  }

  stop (): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
    this.#swept.deadlines.onearlier = undefined
  }

  /** In the next turn of the loop: what has come meanwhile goes first. */
  #runNext (): void {
    clearTimeout(this.#timer)
    this.#immediate = setImmediate(() => { this.#run() })
    if (!this.#isAwaited) this.#immediate.unref()
  }

  #run (): void {
    this.#immediate = undefined
    this.#planned = Infinity
    this.#swept.clock.tick()
    if (this.#swept.sweep(new Budget())) {
      this.#runNext()
      return
    }
    if (this.#swept.idles) this.wake(this.#swept.clock.now + IDLE_CHECK)
    const next = this.#swept.deadlines.next
    if (next !== undefined) this.wake(next.at)
  }
}
