// Statistics of the store since the page was opened, for plots of the last quarter of an hour.
import type { Api } from './api.js'

const SAMPLE_INTERVAL_MS = 2000
const WINDOW_MS = 15 * 60_000
const WAIT_MS = 10_000
const READS = ['get', 'entry', 'peek', 'head']
const WRITES = ['set', 'del', 'touch', 'increment']
const LOCKS = ['acquire', 'release', 'renew', 'break']

export interface Connection {
  name: string
  locks: number
  waiting: number
  backlog: number
}

export interface Stats {
  collections: number
  keys: number
  bytes: number
  locks: number
  waiters: number
  reads: number
  writes: number
  expired: number
  evicted: number
  maxValueBytes: number
  processes?: number
  connections?: Connection[]
  uptime?: number
  calls?: Record<string, number>
  waited?: number
  loopDelay?: { mean: number, p99: number, max: number }
  memory?: { rss: number, heap: number }
  data?: { lag: number, errors: number, bytes: number }
}

/** What plots show: figures, and rates per second since the sample before. */
export interface Sample {
  at: number
  /** Undefined if the store did not answer: a gap. */
  values: Record<string, number> | undefined
}

export class Sampler {
  readonly samples: Sample[] = []
  stats: Stats | undefined
  /** Called after each sample. */
  onsample: (() => void) | undefined
  readonly #api: Api
  #last: { at: number, stats: Stats } | undefined
  #timer: number | undefined
  #isRunning = false

  constructor (api: Api) {
    this.#api = api
  }

  start (): void {
    if (this.#isRunning) return
    this.#isRunning = true
    this.#next()
  }

  stop (): void {
    this.#isRunning = false
    clearTimeout(this.#timer)
    this.samples.length = 0
    this.#last = this.stats = undefined
  }

  #next (): void {
    this.#sample().catch(() => { this.#add(undefined) }).finally(() => {
      if (this.#isRunning) this.#timer = setTimeout(() => { this.#next() }, document.hidden ? WAIT_MS : SAMPLE_INTERVAL_MS)
    })
  }

  async #sample (): Promise<void> {
    const asked = performance.now()
    const stats = await this.#api.json<Stats>('stats')
    if (!this.#isRunning) return
    const at = Date.now()
    const last = this.#last
    this.#last = { at, stats }
    this.stats = stats
    const { keys, bytes, locks, waiters, processes, loopDelay, memory } = stats
    const values: Record<string, number | undefined> = {
      keys, bytes, locks, waiters, processes, trip: performance.now() - asked, p99: loopDelay?.p99, max: loopDelay?.max, rss: memory?.rss, heap: memory?.heap
    }
    // Counters start again with the process that has the store.
    if (last !== undefined && at > last.at && (stats.uptime ?? 1) >= (last.stats.uptime ?? 0)) {
      const seconds = (at - last.at) / 1000
      const rate = (counter: (stats: Stats) => number): number => Math.max(0, counter(stats) - counter(last.stats)) / seconds
      const sum = (ops: string[]) => ({ calls = {} }: Stats): number => ops.reduce((sum, op) => sum + (calls[op] ?? 0), 0)
      values.expired = rate(({ expired }) => expired)
      values.evicted = rate(({ evicted }) => evicted)
      values.readRate = rate(stats.calls === undefined ? ({ reads }) => reads : sum(READS))
      values.writeRate = rate(stats.calls === undefined ? ({ writes }) => writes : sum(WRITES))
      if (stats.calls !== undefined) values.lockRate = rate(sum(LOCKS))
      if (stats.waited !== undefined) values.waited = rate(({ waited }) => waited!)
    }
    this.#add(Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Record<string, number>)
  }

  #add (values: Sample['values']): void {
    if (!this.#isRunning) return
    const at = Date.now()
    if (values === undefined) this.#last = undefined
    this.samples.push({ at, values })
    while (this.samples[0]!.at < at - WINDOW_MS) this.samples.shift()
    this.onsample?.()
  }
}
