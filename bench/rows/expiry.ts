// How a sweep affects its process: many keys go idle at once while others arrive.
import cluster from 'node:cluster'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { createStore } from '../../src/index.js'
import { Keyspace } from '../../src/engines/memory/keyspace.js'
import { waitedForCore } from '../core.js'
import { longest, watchGc, type Pause } from '../gc.js'
import { finish, forkWorkers, workWhenTold } from '../workers.js'

export interface ExpiryOptions {
  expires: boolean
  keys: number
  /** Keys that arrive during the sweep, per second. */
  perSecond: number
  seconds: number
}

const { expires, keys, perSecond, seconds } = JSON.parse(process.argv[2]!) as ExpiryOptions
const IDLE = 1 // seconds
const BATCH = 10 // ms between two batches of arriving keys
const value = { text: 'x'.repeat(89) }

if (cluster.isPrimary) await finish(await primary())
else await worker()

async function primary (): Promise<object> {
  const store = createStore('cluster:')
  const slices: Array<Pause & { waited: number }> = []
  const sweep: Keyspace['sweep'] = Reflect.get(Keyspace.prototype, 'sweep')
  Keyspace.prototype.sweep = function (budget) {
    const waited = waitedForCore()
    const start = performance.now()
    const isOver = sweep.call(this, budget)
    slices.push({ start, duration: performance.now() - start, waited: waitedForCore() - waited })
    return isOver
  }
  const go = await forkWorkers(1)
  globalThis.gc!()
  const gcs = watchGc()
  const delays = watchDelays()
  if (expires) await store.collection('bench').configure({ expireKeys: IDLE })
  await go()
  const found = delays()
  const pauses = await gcs()
  const durations = found.map(({ duration }) => duration).sort((a, b) => a - b)
  return {
    removed: (await store.stats()).expired,
    longestSlice: longest(slices),
    longestSliceOnCore: longest(slices.map(({ start, duration, waited }) => ({ start, duration: duration - waited }))),
    delay999: durations[Math.floor(durations.length * 0.999)],
    longestDelay: durations.at(-1),
    longestWithoutGc: longest(lessGc(found, pauses)),
    longestGc: longest(pauses)
  }
}

/**
 * How late each of a series of 1 ms timers fired. Unlike monitorEventLoopDelay, this has the time of each delay, which
 * is needed to subtract garbage collections.
 */
function watchDelays (): () => Pause[] {
  const delays: Pause[] = []
  let start = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    delays.push({ start: start + 1, duration: Math.max(0, now - start - 1) })
    start = now
  }, 1)
  return () => {
    clearInterval(timer)
    return delays
  }
}

/** Subtracts garbage collections from delays. */
function lessGc (times: Pause[], pauses: Pause[]): Pause[] {
  return times.map(({ start, duration }) => {
    const end = start + duration
    const collecting = pauses.reduce((sum, pause) => {
      return sum + Math.max(0, Math.min(end, pause.start + pause.duration) - Math.max(start, pause.start))
    }, 0)
    return { start, duration: duration - collecting }
  })
}

async function worker (): Promise<void> {
  const collection = createStore('cluster:').collection('bench')
  for (let i = 0; i < keys;) {
    const batch: Array<Promise<unknown>> = []
    for (const end = Math.min(keys, i + 1000); i < end; i++) batch.push(collection.set(`first-${i}`, value))
    await Promise.all(batch)
  }
  workWhenTold(async () => {
    const start = performance.now()
    let sent = 0
    for (let elapsed = 0; elapsed < seconds * 1000; elapsed = performance.now() - start) {
      for (; sent < (elapsed / 1000) * perSecond; sent++) {
        collection.set(`next-${sent}`, value, { confirm: false }).catch(() => {})
      }
      await sleep(BATCH)
    }
  })
}
