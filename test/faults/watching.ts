// Attack: watches are opened and left at every point of their life, a million of them; then very many keys are watched
// by a process that reads and by one that does not.
import assert from 'node:assert/strict'
import { NO_DEFAULTS } from '../../src/api/collection-calls.js'
import { Collection } from '../../src/api/collection.js'
import { countFeeds } from '../../src/api/feed.js'
import { MemoryEngine } from '../../src/engines/memory/engine.js'
import { Keyspace } from '../../src/engines/memory/keyspace.js'
import { createStore, type Store, type StoreOptions } from '../../src/index.js'
import { fork, type TestWorker } from '../support/cluster.js'
import { startServer } from '../support/redis.js'
import { until } from '../support/until.js'
import type { Attack, Figures } from './attack.js'
import { heap } from './heap.js'

const MOST = 1_000_000
const AT_ONCE = 500
/** Two replies of their maximum size. */
const MAX_BACKLOG = 2 * 256 * 1024

type Tools = Parameters<Parameters<TestWorker['run']>[0]>[0]

export const watching: Attack = async ({ rounds, secondsLeft, owner }) => {
  const figures: Figures = {}
  const most = Math.min(rounds, MOST)

  const keyspace = new Keyspace()
  const engine = new MemoryEngine(keyspace)
  const items = new Collection<number>(engine, 'watching', NO_DEFAULTS)
  figures['watches in one process'] = await openAndLeave({
    most,
    seconds: secondsLeft() / 3,
    visit: times => visit(items, times),
    measure: async () => heap()
  })
  assert.deepEqual([countFeeds(engine), keyspace.watches.waiters, keyspace.channels.size], [0, 0, 0])
  await engine.close()

  const store = createStore()
  const [worker, other] = await Promise.all([fork(owner), fork(owner)])
  figures['watches over the socket'] = await openAndLeave({
    most,
    seconds: secondsLeft() / 2,
    visit: times => worker.run(visitFromWorker, visit.toString(), times, {}),
    measure: async () => Math.max(heap(), await worker.run(heapOfWorker, HEAP))
  })
  await until(async () => await waitingCalls(store) === 0)

  Object.assign(figures, await manyKeys(store, worker, other, Math.min(MOST, 100 * rounds)))
  await until(async () => await waitingCalls(store) === 0)
  for (const { worker: child, exited } of [worker, other]) {
    child.disconnect()
    await exited
  }
  return figures
}

/** A process opens and leaves watches of a store in Redis; neither there nor in the process anything is left. */
export const watchingOfRedis: Attack = async ({ rounds, secondsLeft, owner }) => {
  const { options, redis } = await startServer(owner)
  const worker = await fork(owner)
  const watches = await openAndLeave({
    most: Math.min(rounds, MOST),
    seconds: secondsLeft(),
    visit: times => worker.run(visitFromWorker, visit.toString(), times, options),
    measure: async () => await worker.run(heapOfWorker, HEAP)
  })
  await until(async () => await redis.exists(...['armed', 'waiting', 'owned'].map(of => `strong-store:{c:watching}:${of}`)) === 0)
  worker.worker.disconnect()
  await worker.exited
  return { watches }
}

interface Repeated {
  most: number
  seconds: number
  visit (times: number): Promise<unknown>
  /** Size of the heap in KB. */
  measure (): Promise<number>
}

/** Neither heap nor handles may grow. */
async function openAndLeave ({ most, seconds, visit, measure }: Repeated): Promise<string> {
  for (let i = 0; i < Math.min(most, 10_000); i += AT_ONCE) {
    await visit(AT_ONCE) // compiles and creates what is made once
  }
  let before = await measure()
  for (let last = Infinity; last - before > 50; before = await measure()) last = before
  const handles = process.getActiveResourcesInfo().length
  const start = Date.now()
  let times = 0
  for (; times < most && Date.now() - start < seconds * 1000; times += AT_ONCE) await visit(AT_ONCE)
  const pace = Math.round(times / (Date.now() - start) * 1000)
  let grown = Infinity
  await until(async () => {
    grown = await measure() - before
    return grown < 1000 + times / 1000 && process.getActiveResourcesInfo().length <= handles
  }, 20).catch(() => {
    throw new Error(`${times} watches: heap ${grown} KB larger, ${process.getActiveResourcesInfo().join()}`)
  })
  return `${times}, ${pace} a second, heap ${grown} KB larger`
}

/** Opens watches and leaves each at another point. Sent to a worker as text. */
async function visit (items: Collection<number>, times: number): Promise<void> {
  await Promise.all(Array.from({ length: times }, async (_, i) => {
    const key = `key ${i % 50}`
    const controller = new AbortController()
    const watch = items.watch({ [i % 3 === 0 ? 'key' : 'prefix']: key, signal: controller.signal })
    switch (i % 7) {
      case 0: // it has never been read
        await watch.return()
        break
      case 1: // the signal has already aborted
        controller.abort()
        for await (const { type } of watch) if (type !== undefined) throw new Error(type)
        break
      case 2: // while its first event is on its way
        await Promise.all([watch.next(), watch.return()])
        break
      case 3: // at its first change
        for await (const { type } of watch) {
          if (type === 'ready') items.set(key, i).catch(() => {})
          else if (type !== 'set') break
          else if (i % 2 === 0) await items.del(key)
          else break
        }
        break
      case 4: { // while it waits
        while ((await watch.next()).value?.type !== 'ready');
        const next = watch.next()
        controller.abort()
        await next
        break
      }
      case 5: // by an exception
        await watch.next()
        await watch.throw(new Error('on purpose')).catch(() => {})
        break
      case 6: // after a reset
        for await (const { type } of items.watch({ key, since: 0 })) if (type === 'reset') break
    }
  }))
}

async function visitFromWorker (
  { store, strongStore, kept }: Tools, text: string, times: number, options: StoreOptions
): Promise<void> {
  const visited: Store = options.url === undefined ? store : kept.store ??= strongStore.createStore(options)
  // eslint-disable-next-line no-eval -- it comes from above
  await ((0, eval)(`(${text})`) as (items: object, times: number) => Promise<void>)(visited.collection('watching'), times)
}

const HEAP = new URL('./heap.js', import.meta.url).href

async function heapOfWorker (_: Tools, module: string): Promise<number> {
  return (await import(module) as { heap (): number }).heap()
}

async function waitingCalls (store: Store): Promise<number> {
  return (await store.stats()).connections!.reduce((sum, { waiting }) => sum + waiting, 0)
}

/**
 * One process watches all keys and does not read on, another one reads all of them and their changes, while they are
 * written and others make calls.
 */
async function manyKeys (store: Store, idle: TestWorker, reader: TestWorker, count: number): Promise<Figures> {
  const items = store.collection<number>('watching many')
  const write = async (value: number): Promise<void> => {
    for (let i = 0; i < count; i += 1000) {
      await items.setMany(Array.from({ length: 1000 }, (_, n) => [`key ${i + n}`, value]))
      await new Promise(resolve => { setImmediate(resolve) })
    }
  }
  await write(1)
  await idle.run(async ({ store, kept }) => {
    kept.watch = store.collection('watching many').watch({ prefix: 'key' })
    await kept.watch.next()
  })
  const reading = reader.run(read, count)
  const course = { isRead: false }
  reading.finally(() => { course.isRead = true }).catch(() => {})
  const figures = { calls: 0, backlog: 0 }
  const calling = (async () => {
    do {
      await idle.run(({ store }) => store.collection('watching many others').increment('calls'))
      const { connections } = await store.stats()
      figures.backlog = Math.max(figures.backlog, ...connections!.map(({ backlog }) => backlog))
      figures.calls++
    } while (!course.isRead)
  })()
  await write(2)
  await items.set('key end', 2)
  const { resets, events } = await reading
  await calling
  assert.ok(figures.backlog <= MAX_BACKLOG, `a connection had ${figures.backlog} bytes to read`)
  const left = await idle.run(async ({ kept }) => {
    await kept.watch.return()
    return (await kept.watch.next()).done as boolean
  })
  assert.ok(left)
  await items.clear()
  return {
    'keys watched': count,
    'events of the process that reads': `${events}, with ${resets} resets`,
    'calls of others meanwhile': figures.calls,
    'unread bytes of a connection at most': figures.backlog
  }
}

/** Reads until it knows all keys in their last state. */
async function read ({ store }: Tools, count: number): Promise<{ resets: number, events: number }> {
  const state = new Map<string, number>()
  let isReady = false
  let last = 0
  let resets = 0
  let events = 0
  for await (const event of store.collection<number>('watching many').watch({ prefix: 'key' })) {
    events++
    if (event.type === 'reset') {
      resets++
      isReady = false
      last = 0
      state.clear()
    } else if (event.type === 'ready') isReady = true
    else if (event.type !== 'set') throw new Error(event.type)
    else {
      if (state.get(event.key) !== 2 && event.value === 2) last++
      state.set(event.key, event.value)
    }
    if (isReady && last === count + 1) break
  }
  if (state.size !== count + 1) throw new Error(`${state.size} keys`)
  return { resets, events }
}
