// Statistics of the store in the last 15 minutes, for plots: the server's history, then the page's own samples.
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

interface Figures {
  keys: number
  bytes: number
  locks: number
  waiters: number
  reads: number
  writes: number
  expired: number
  evicted: number
  processes?: number
  uptime?: number
  calls?: Record<string, number>
  waited?: number
  loopDelay?: { mean: number, p99: number, max: number }
  memory?: { rss: number, heap: number }
}

export interface Stats extends Figures {
  collections: number
  maxValueBytes: number
  connections?: Connection[]
  data?: { lag: number, errors: number, bytes: number }
}

interface History {
  samples: Array<{ age: number, figures?: Figures }>
}

/** A sample: statistics, and rates per second since the previous sample. */
export interface Sample {
  at: number
  /** Undefined if the store did not reply: a gap. */
  values: Record<string, number> | undefined
}

export class Sampler {
  readonly samples: Sample[] = []
  stats: Stats | undefined
  /** The reason why the latest sample is missing. */
  error: unknown
  readonly #api: Api
  #last: { at: number, stats: Figures } | undefined
  #stopping = new AbortController()

  constructor (api: Api) {
    this.#api = api
  }

  start (): void {
    this.stop()
    this.#stopping = new AbortController()
    this.#run(this.#stopping.signal).catch(() => {})
  }

  stop (): void {
    this.#stopping.abort()
    this.samples.length = 0
    this.#last = this.stats = this.error = undefined
  }

  async #run (signal: AbortSignal): Promise<void> {
    // The history covers the whole store only. Without it, the plots begin now.
    if (this.#api.access!.collections === undefined) {
      const { samples } = await this.#api.json<History>('history', signal).catch(() => ({ samples: [] }))
      for (const { age, figures } of samples) this.#add(Date.now() - age * 1000, figures)
    }
    while (!signal.aborted) {
      const asked = performance.now()
      let stats: Stats | undefined
      let error: unknown
      try {
        stats = await this.#api.json<Stats>('stats', signal)
      } catch (failure) {
        error = failure
      }
      if (signal.aborted) return
      this.error = error
      if (stats !== undefined) this.stats = stats
      this.#add(Date.now(), stats, performance.now() - asked)
      await new Promise(resolve => { setTimeout(resolve, document.hidden ? WAIT_MS : SAMPLE_INTERVAL_MS) })
    }
  }

  #add (at: number, stats: Figures | undefined, trip?: number): void {
    const { samples } = this
    samples.push({ at, values: stats && this.#valuesOf(at, stats, trip) })
    this.#last = stats && { at, stats }
    while (samples[0]!.at < at - WINDOW_MS) samples.shift()
  }

  #valuesOf (at: number, stats: Figures, trip: number | undefined): Record<string, number> {
    const { keys, bytes, locks, waiters, processes, loopDelay, memory } = stats
    const values: Record<string, number | undefined> = {
      keys,
      bytes,
      locks,
      waiters,
      processes,
      trip,
      p99: loopDelay?.p99,
      max: loopDelay?.max,
      rss: memory?.rss,
      heap: memory?.heap
    }
    const last = this.#last
    // Counters restart with the process that has the store.
    if (last !== undefined && at > last.at && (stats.uptime ?? 1) >= (last.stats.uptime ?? 0)) {
      const seconds = (at - last.at) / 1000
      const rate = (counter: (stats: Figures) => number): number =>
        Math.max(0, counter(stats) - counter(last.stats)) / seconds
      const sum =
        (ops: string[]) =>
          ({ calls = {} }: Figures): number =>
            ops.reduce((sum, op) => sum + (calls[op] ?? 0), 0)
      values.expired = rate(({ expired }) => expired)
      values.evicted = rate(({ evicted }) => evicted)
      values.readRate = rate(stats.calls === undefined ? ({ reads }) => reads : sum(READS))
      values.writeRate = rate(stats.calls === undefined ? ({ writes }) => writes : sum(WRITES))
      if (stats.calls !== undefined) values.lockRate = rate(sum(LOCKS))
      if (stats.waited !== undefined) values.waited = rate(({ waited }) => waited!)
    }
    return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Record<
      string,
      number
    >
  }
}
