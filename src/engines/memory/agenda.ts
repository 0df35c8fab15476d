// The queue of timed work: expiring leases, locks of disconnected callers, keys to expire, evict or clear, and empty
// collections to drop. Tasks are scheduled here, and `run` executes the due ones in slices of bounded time, urgent
// tasks first.
import { performance } from 'node:perf_hooks'
import type { Clock, Time } from './clock.js'
import { Heap, type HeapNode } from './heap.js'

export const SLICE_MS = 0.5
/** The clock is read once per this number of steps. */
const STEPS_PER_LOOK = 32

/** Limits the work of one slice. */
export class Budget {
  #steps = 0
  #isSpent = false
  readonly #end: number
  constructor (readonly time: Time = () => performance.now(), milliseconds = SLICE_MS) {
    this.#end = time() + milliseconds
  }

  /** Counts finished steps. True if the rest has to wait for the next slice. */
  isSpent (steps = 1): boolean {
    this.#steps += steps
    if (this.#steps < STEPS_PER_LOOK) return this.#isSpent
    this.#steps = 0
    this.#isSpent ||= this.time() >= this.#end
    return this.#isSpent
  }
}

export interface Task extends HeapNode {
  /** Whether calls may be waiting for the task. Otherwise it only frees memory. */
  readonly isUrgent: boolean
  /** Does the due work within the budget. Returns when to run again: now, if work is left. */
  run (budget: Budget): number | undefined
}

const TASKS = { at: (task: Task) => task }

export class Agenda {
  readonly #urgent = new Heap<Task>(TASKS)
  readonly #other = new Heap<Task>(TASKS)
  readonly #clock: Clock
  /** Called when a task is scheduled before all others, or when `isAwaited` becomes true. */
  onscheduled: ((time: number) => void) | undefined

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** When the next task is due; Infinity if there is none. */
  get next (): number {
    return Math.min(this.#urgent.time, this.#other.time)
  }

  /** Whether a call may be waiting for a task: an urgent one, or one that is due, such as a clear. */
  get isAwaited (): boolean {
    return this.#urgent.time !== Infinity || this.#other.time <= this.#clock.now
  }

  /** Schedules the task for that time, unless it is due earlier already. */
  schedule (task: Task, time: number): void {
    const heap = this.#heapOf(task)
    if (task.slot !== -1) {
      if (heap.timeOf(task) <= time) return
      heap.remove(task)
    }
    const { next, isAwaited } = this
    heap.add(task, time)
    if (time < next || isAwaited !== this.isAwaited) this.onscheduled?.(time)
  }

  cancel (task: Task): void {
    if (task.slot !== -1) this.#heapOf(task).remove(task)
  }

  /** Runs the due tasks until the budget is spent. True if more are due. */
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
