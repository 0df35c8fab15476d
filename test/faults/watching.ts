// Attack: up to a million watches are opened and ended at every stage; then very many keys are watched by a process
// that reads and by one that does not.
import assert from 'node:assert/strict'
import { NO_DEFAULTS } from '../../src/api/collection-calls.js'
import { Collection } from '../../src/api/collection.js'
import { countFeeds } from '../../src/api/feed.js'
import { MemoryEngine } from '../../src/engines/memory/engine.js'
import { Keyspace } from '../../src/engines/memory/keyspace.js'
import { Store } from '../../src/api/store.js'
import { createStore, type StoreOptions } from '../../src/index.js'
import { TOKEN, serveAdmin } from '../support/admin.js'
import { fork, type TestWorker } from '../support/cluster.js'
import { startServer } from '../support/redis.js'
import { until } from '../support/until.js'
import { random, type Attack, type Figures, type Order, type Owner } from './attack.js'
import { heap } from './heap.js'

const MOST = 1_000_000
const AT_ONCE = 500
/** Two replies of their maximum size. */
const MAX_BACKLOG = 2 * 256 * 1024

type Tools = Parameters<Parameters<TestWorker['run']>[0]>[0]

/** The store under attack. */
interface Place {
  /** Used by this process, which has the keys. */
  store: Store
  /** Used by other processes. */
  options: StoreOptions
  /** The number of waiting calls. */
  waiting (): number | Promise<number>
  /** Ends all connections. */
  drop? (): void
}

export const watching: Attack = async order => {
  const { rounds, secondsLeft } = order
  const keyspace = new Keyspace()
  const engine = new MemoryEngine(keyspace)
  const items = new Collection<number>(engine, 'watching', NO_DEFAULTS)
  const visited = await openAndLeave({
    most: Math.min(rounds, MOST),
    seconds: secondsLeft() / 3,
    visit: times => visit(items, times, false),
    measure: async () => heap()
  })
  assert.deepEqual([countFeeds(engine), keyspace.watches.waiters, keyspace.channels.size], [0, 0, 0])
  await engine.close()
  const store = createStore()
  const waiting = async (): Promise<number> => {
    return (await store.stats()).connections!.reduce((sum, { waiting }) => sum + waiting, 0)
  }
  return { 'watches in one process': visited, ...await attack(order, { store, options: {}, waiting }) }
}

/** With lost connections. */
export const watchingOfHttp: Attack = async order => await attack(order, await serveHttp(order.owner))

async function serveHttp (owner: Owner): Promise<Place> {
  const keyspace = new Keyspace()
  const store = new Store(new MemoryEngine(keyspace), NO_DEFAULTS)
  owner.teardown(() => store.close())
  const { origin, drop } = await serveAdmin(owner, store, {}, { keepAliveTimeout: 5000 })
  const options = { url: `${origin}/_store/v1`, token: TOKEN }
  return { store, options, waiting: () => keyspace.watches.waiters, drop }
}

async function attack ({ seed, rounds, secondsLeft, owner }: Order, place: Place): ReturnType<Attack> {
  const [worker, other] = await Promise.all([fork(owner), fork(owner)])
  for (const { run } of [worker, other]) await run(openStore, place.options)
  const figures: Figures = {}
  const next = random(seed)
  figures['watches over a connection'] = await openAndLeave({
    most: Math.min(rounds, MOST),
    seconds: secondsLeft() / 2,
    visit: async times => {
      const visited = worker.run(visitFromWorker, visit.toString(), times, place.drop !== undefined)
      const dropping = setTimeout(() => place.drop?.(), next() * 500)
      await visited
      clearTimeout(dropping)
    },
    measure: async () => Math.max(heap(), await worker.run(heapOfWorker, HEAP))
  })
  await until(async () => await place.waiting() === 0)

  Object.assign(figures, await manyKeys(place, worker, other, Math.min(MOST, 100 * rounds)))
  await until(async () => await place.waiting() === 0)
  for (const { worker: child, exited } of [worker, other]) {
    child.disconnect()
    await exited
  }
  return figures
}

/** A process opens and ends watches of a store in Redis: nothing may be left, neither there nor in the process. */
export const watchingOfRedis: Attack = async ({ rounds, secondsLeft, owner }) => {
  const { options, redis } = await startServer(owner)
  const worker = await fork(owner)
  await worker.run(openStore, options)
  const watches = await openAndLeave({
    most: Math.min(rounds, MOST),
    seconds: secondsLeft(),
    visit: times => worker.run(visitFromWorker, visit.toString(), times, false),
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
    await visit(AT_ONCE) // compiles and creates what is created only once
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

/** Opens watches and ends them at different stages. `isLossy`: connections may be lost. Sent to a worker as text. */
async function visit (items: Collection<number>, times: number, isLossy: boolean): Promise<void> {
  const leave = async (i: number): Promise<void> => {
    const key = `key ${i % 50}`
    const controller = new AbortController()
    const watch = items.watch({ [i % 3 === 0 ? 'key' : 'prefix']: key, signal: controller.signal })
    switch (i % 7) {
      case 0: // before the first read
        await watch.return()
        break
      case 1: // with a signal that has already aborted
        controller.abort()
        for await (const { type } of watch) if (type !== undefined) throw new Error(type)
        break
      case 2: // before the first event has arrived
        await Promise.all([watch.next(), watch.return()])
        break
      case 3: // at the first change
        for await (const { type } of watch) {
          if (type === 'ready') items.set(key, i).catch(() => {})
          else if (type !== 'set') break
          else if (i % 2 === 0) await items.del(key)
          else break
        }
        break
      case 4: { // while it waits for a change
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
  }
  await Promise.all(Array.from({ length: times }, (_, i) => leave(i).catch((error: { code: string }) => {
    if (!isLossy || !/^STORE_(DISCONNECTED|UNREACHABLE)$/.test(error.code)) throw error
  })))
}

function openStore ({ strongStore, kept }: Tools, options: StoreOptions): void {
  kept.store = strongStore.createStore(options)
}

async function visitFromWorker ({ kept }: Tools, text: string, times: number, isLossy: boolean): Promise<void> {
  // eslint-disable-next-line no-eval -- the text of a function above
  const visit = (0, eval)(`(${text})`) as (items: object, times: number, isLossy: boolean) => Promise<void>
  await visit(kept.store.collection('watching'), times, isLossy)
}

const HEAP = new URL('./heap.js', import.meta.url).href

async function heapOfWorker (_: Tools, module: string): Promise<number> {
  return (await import(module) as { heap (): number }).heap()
}

/**
 * While all keys are written and others make calls, one process watches them without reading, and another one reads all
 * keys and changes.
 */
async function manyKeys (
  { store, drop }: Place, idle: TestWorker, reader: TestWorker, count: number
): Promise<Figures> {
  const items = store.collection<number>('watching many')
  const write = async (value: number): Promise<void> => {
    for (let i = 0; i < count; i += 1000) {
      await items.setMany(Array.from({ length: 1000 }, (_, n) => [`key ${i + n}`, value]))
      await new Promise(resolve => { setImmediate(resolve) })
    }
  }
  await write(1)
  await idle.run(async ({ kept }) => {
    kept.watch = kept.store.collection('watching many').watch({ prefix: 'key' })
    await kept.watch.next()
  })
  const reading = reader.run(read, count)
  const course = { isRead: false }
  reading.finally(() => { course.isRead = true }).catch(() => {})
  const figures = { calls: 0, backlog: 0 }
  const calling = (async () => {
    do {
      await idle.run(({ kept }) => kept.store.collection('watching many others').increment('calls')).catch(error => {
        if (drop === undefined) throw error
      })
      const { connections = [] } = await store.stats()
      figures.backlog = Math.max(figures.backlog, ...connections.map(({ backlog }) => backlog))
      figures.calls++
    } while (!course.isRead)
  })()
  await write(2)
  drop?.()
  await items.set('key end', 2)
  const { resets, events } = await reading
  await calling
  assert.ok(figures.backlog <= MAX_BACKLOG, `a connection had ${figures.backlog} unread bytes`)
  const left = await idle.run(async ({ kept }) => {
    await kept.watch.return()
    return (await kept.watch.next()).done as boolean
  })
  assert.ok(left)
  await items.clear()
  return {
    'keys watched': count,
    'events of the process that reads': `${events}, with ${resets} resets`,
    'calls of others': figures.calls,
    'maximum unread bytes of a connection': figures.backlog
  }
}

/** Reads until it has the last state of all keys. */
async function read ({ kept }: Tools, count: number): Promise<{ resets: number, events: number }> {
  const state = new Map<string, number>()
  let isReady = false
  let last = 0
  let resets = 0
  let events = 0
  for await (const event of (kept.store as Store).collection<number>('watching many').watch({ prefix: 'key' })) {
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
