// The one queue of work that is due at some time: leases that run out, the locks of callers that have disconnected,
// keys that expire, are evicted or were cleared, collections to forget. Whoever has such work schedules a task; `run`
// does what is due, in slices of bounded time. Tasks somebody may be waiting for come first.
import { performance } from 'node:perf_hooks'
import type { Clock, Time } from './clock.js'
import { Heap, type HeapNode } from './heap.js'

const SLICE_MS = 0.5
/** How many steps pass between two looks at the time. */
const STEPS_PER_LOOK = 32

/** How much may be done in one slice. */
export class Budget {
  #steps = 0
  #isSpent = false
  readonly #end: number
  constructor (readonly time: Time = () => performance.now()) {
    this.#end = time() + SLICE_MS
  }

  /** Counts steps that were done; true if the rest has to wait for the next slice. */
  isSpent (steps = 1): boolean {
    this.#steps += steps
    if (this.#steps < STEPS_PER_LOOK) return this.#isSpent
    this.#steps = 0
    this.#isSpent ||= this.time() >= this.#end
    return this.#isSpent
  }
}

export interface Task extends HeapNode {
  /** Whether a call may be waiting for it; if not, it only frees memory. */
  readonly isUrgent: boolean
  /** Does what is due, as far as the budget goes. Returns when to run again: now, if work is left. */
  run (budget: Budget): number | undefined
}

export class Agenda {
  readonly #urgent = new Heap<Task>()
  readonly #other = new Heap<Task>()
  readonly #clock: Clock
  /** Called when a task is scheduled before all others. */
  onearlier: ((time: number) => void) | undefined

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** When the next task is due; Infinity where there is none. */
  get next (): number {
    return Math.min(this.#urgent.time, this.#other.time)
  }

  /** Whether a call may be waiting for a scheduled task: an urgent one, or one that is due, as a clear is. */
  get isAwaited (): boolean {
    return this.#urgent.time !== Infinity || this.#other.time <= this.#clock.now
  }

  /** Has the task run at that time, or earlier if it was going to. */
  schedule (task: Task, time: number): void {
    const heap = this.#heapOf(task)
    if (task.slot !== -1) {
      if (heap.timeOf(task) <= time) return
      heap.remove(task)
    }
    const isFirst = time < this.next
    heap.add(task, time)
    if (isFirst) this.onearlier?.(time)
  }

  cancel (task: Task): void {
    if (task.slot !== -1) this.#heapOf(task).remove(task)
  }

  /** Runs the tasks that are due until the budget is spent; true if more is due. */
  run (budget: Budget): boolean {
    for (let task; (task = this.#due()) !== undefined;) {
      this.cancel(task)
      const again = task.run(budget)
      if (again !== undefined) this.schedule(task, again)
      if (budget.isSpent()) return this.#due() !== undefined
    }
    return false
  }

  #due (): Task | undefined {
    const { now } = this.#clock
    if (this.#urgent.time <= now) return this.#urgent.first
    return this.#other.time <= now ? this.#other.first : undefined
  }

  #heapOf ({ isUrgent }: Task): Heap<Task> {
    return isUrgent ? this.#urgent : this.#other
  }
}
