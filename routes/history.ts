// Statistics of the last 15 minutes, for the plots of the admin page. Each process that serves the page collects its
// own, so that a page can show them as soon as it opens.
import { performance } from 'node:perf_hooks'
import { Type } from '@sinclair/typebox'
import type { StoreStats } from '../src/core/stats.js'
import { Timer } from '../src/core/timer.js'
import type { Store } from '../src/api/store.js'
import type { Admin } from './app.js'
import { Stats } from './health.js'
import { FAILURES } from './schemas.js'

const INTERVAL_MS = 10_000
const WINDOW_MS = 15 * 60_000
/** If statistics are sums over collections, as in Redis, each collection delays the next sample by this much. */
const MS_PER_COLLECTION = 10

/** The plotted values. */
const FIGURES = [
  'keys', 'bytes', 'locks', 'waiters', 'reads', 'writes', 'expired', 'evicted', 'processes', 'memory', 'uptime',
  'calls', 'waited', 'loopDelay'
] as const

type Figures = Pick<StoreStats, typeof FIGURES[number]>

export class History {
  readonly #store: Pick<Store, 'stats' | 'isClosed'>
  readonly #now: () => number
  readonly #timer = new Timer()
  #samples: Array<{ at: number, figures: Figures | undefined }> = []
  #isStopped = false

  constructor (store: Pick<Store, 'stats' | 'isClosed'>, now: () => number = () => performance.now()) {
    this.#store = store
    this.#now = now
    this.#timer.setReferenced(false)
  }

  start (): void {
    this.#wait(INTERVAL_MS)
  }

  stop (): void {
    this.#isStopped = true
    this.#timer.stop()
  }

  /** Oldest first. Without `figures`, the store did not reply. */
  read (): Array<{ age: number, figures?: Figures }> {
    const now = this.#now()
    return this.#samples.filter(({ at }) => at >= now - WINDOW_MS).map(({ at, figures }) => {
      return { age: (now - at) / 1000, ...figures === undefined ? {} : { figures } }
    })
  }

  #wait (delay: number): void {
    if (this.#isStopped || this.#store.isClosed) return
    this.#timer.start(delay, () => { this.#sample().then(delay => { this.#wait(delay) }, () => {}) })
  }

  /** Resolves with the time until the next sample. */
  async #sample (): Promise<number> {
    const asked = this.#now()
    const stats = await this.#store.stats().catch(() => undefined)
    const now = this.#now()
    const oldest = this.#samples.findIndex(({ at }) => at >= now - WINDOW_MS)
    this.#samples.splice(0, oldest === -1 ? this.#samples.length : oldest)
    if (stats === undefined || now - asked > INTERVAL_MS) this.#samples.push({ at: asked, figures: undefined })
    if (stats === undefined) return INTERVAL_MS
    const figures = Object.fromEntries(FIGURES.map(name => [name, stats[name]])) as unknown as Figures
    this.#samples.push({ at: now, figures })
    return stats.uptime === undefined ? Math.max(INTERVAL_MS, stats.collections * MS_PER_COLLECTION) : INTERVAL_MS
  }
}

export function historyRoute ({ app, store }: Admin): void {
  const history = new History(store)
  app.addHook('onReady', async () => { history.start() })
  app.addHook('onClose', async () => { history.stop() })
  app.get('/history', {
    schema: {
      operationId: 'readHistory',
      summary: 'Show statistics of the last 15 minutes',
      description: 'As seen by the process that answers, since it was started: a sample every ten seconds, in Redis ' +
        'at longer intervals if there are more than a thousand collections. Only if the option `page` is not false, ' +
        'and not for scoped tokens.',
      tags: ['health'],
      response: {
        200: Type.Object({
          samples: Type.Array(Type.Object({
            age: Type.Number({ minimum: 0, description: 'Seconds since it was taken' }),
            figures: Type.Optional(
              Type.Pick(Stats, FIGURES, { description: 'As in `/stats`; absent if the store did not answer' })
            )
          }), { maxItems: 100, description: 'The oldest first' })
        }),
        ...FAILURES
      }
    }
  }, async () => ({ samples: history.read() }))
}
