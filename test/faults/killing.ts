// Attack: workers are killed while they hold locks, wait and write. They must leave no state, and others must
// continue.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { createStore, type LockInfo, type Store, type StoreOptions } from '../../src/index.js'
import { TOKEN, serveAdmin } from '../support/admin.js'
import { fork, type TestWorker } from '../support/cluster.js'
import { fill, startServer } from '../support/redis.js'
import { until } from '../support/until.js'
import { random, type Attack, type Order, type Owner } from './attack.js'
import { heap } from './heap.js'
import { serverOf } from './peers.js'
import { serveStore } from './store-process.js'

const MOST = 1000
const LANES = 2
const LOCKS = 5

interface Life { worker: TestWorker, end (): Promise<void> }

interface Place {
  /** How others connect to the store. */
  options: StoreOptions
  /** How many other processes are connected to it. Not over HTTP, where each has many connections. */
  peers? (): number | Promise<number>
}

export const killing = over(async () => ({ options: {}, peers: () => serverOf(globalThis).peers }))

export const killingOfRedis = over(async owner => {
  const { options, redis } = await startServer(owner)
  await fill(redis)
  const channels = async (): Promise<number> => (await redis.pubsub('CHANNELS', 'strong-store:*') as string[]).length
  return { options: { ...options, redis: { life: 2 } }, peers: async () => await channels() - 1 }
})

export const killingOverUnix = over(async owner => {
  const { options, peers } = await serveStore(owner)
  return { options, peers: async () => await peers() - 1 } // this process is one of them
})

/** Locks of killed processes last until their lease expires. */
export const killingOfHttp = over(async owner => {
  const store = createStore('memory:')
  owner.teardown(() => store.close())
  const { origin } = await serveAdmin(owner, store, { maxLease: 3 }, { keepAliveTimeout: 5000 })
  return { options: { url: `${origin}/_store/v1`, token: TOKEN } }
})

function over (open: (owner: Owner) => Promise<Place>): Attack {
  return async order => await attack(order, await open(order.owner))
}

async function attack ({ seed, rounds, secondsLeft, owner }: Order, { options, peers }: Place): ReturnType<Attack> {
  const store = createStore(options)
  owner.teardown(() => options.url !== undefined && store.close())
  const next = random(seed)
  const survivor = await fork(owner)
  const figures = { rounds: 0, 'file descriptors before': 0, after: 0, 'heap before, KB': 0, 'heap after, KB': 0 }

  /** Runs and kills one worker; returns the next one. */
  const round = async (life: Life, name: string): Promise<Life> => {
    const { worker } = life
    const jobs = store.collection<number>(name)
    const locks = async (): Promise<LockInfo[]> => (await store.locks()).filter(({ collection }) => collection === name)
    const mine = await jobs.acquire('wanted')
    await worker.run(live, options, name, LOCKS)
    const theirs = survivor.run(take, options, name, LOCKS)
    await until(async () => (await locks()).filter(({ waiters }) => waiters > 0).length === LOCKS + 1, 30)
    if (next() < 0.5) await new Promise(resolve => { setTimeout(resolve, next() * 10) })
    worker.kill('SIGKILL')
    // The next worker starts right after the kill.
    const [another] = await Promise.all([begin(owner), worker.exited])
    assert.deepEqual(await theirs, Array(LOCKS).fill('before'), 'waiters get the locks, without uncommitted changes')
    await until(async () => (await locks()).length === 1, 30)
    await until(async () => (await locks())[0]!.waiters === 0, 30)
    await mine.release()
    assert.equal(await jobs.get('wanted'), undefined, 'waiting calls of killed processes have no effect')
    if (peers !== undefined) await until(async () => await peers() <= 1 + LANES, 30)
    await life.end()
    await jobs.clear()
    return another
  }

  const lanes = await Promise.all(
    Array.from({ length: LANES }, async (_, i) => ({ name: `killing ${i}`, life: await begin(owner) }))
  )
  const all = async (most: number): Promise<void> => {
    await Promise.all(lanes.map(async lane => {
      while (figures.rounds < most && secondsLeft() > 0) {
        figures.rounds++
        lane.life = await round(lane.life, lane.name)
      }
    }))
  }
  await all(6) // warms up everything that is compiled or created once
  Object.assign(figures, { 'file descriptors before': descriptors(), 'heap before, KB': heap() })
  await all(Math.min(rounds, MOST))
  assert.deepEqual(await store.locks(), [])
  for (const { name } of lanes) assert.equal(await store.collection(name).size(), 0)
  // Connections of HTTP stay open while they are idle.
  await until(() => (figures.after = descriptors()) <= figures['file descriptors before'], 20).catch(() => {
    throw new Error(`${figures.after} descriptors are open; before, there were ${figures['file descriptors before']}`)
  })
  figures['heap after, KB'] = heap()
  const grown = figures['heap after, KB'] - figures['heap before, KB']
  assert.ok(grown < 1000 + figures.rounds, `the heap has grown by ${grown} KB in ${figures.rounds} rounds`)
  await Promise.all([...lanes.map(({ life }) => life.worker), survivor].map(async ({ worker, exited }) => {
    worker.disconnect()
    await exited
  }))
  return figures
}

/** A worker that is not referenced after it has exited. */
async function begin (owner: Owner): Promise<Life> {
  const ends: Array<() => unknown> = []
  const worker = await fork({ threw: owner.threw, teardown: end => { ends.push(end) } })
  return { worker, end: async () => { for (const end of ends) await end() } }
}

type Tools = Parameters<Parameters<TestWorker['run']>[0]>[0]

/** Holds locks, waits for one in several ways, and keeps calls in flight. */
async function live ({ strongStore, kept }: Tools, options: StoreOptions, name: string, count: number): Promise<void> {
  kept.store ??= strongStore.createStore(options)
  const jobs = kept.store.collection(name)
  kept.locks = []
  for (let i = 0; i < count; i++) {
    await jobs.set(`held ${i}`, 'before')
    const lock = await jobs.acquire(`held ${i}`)
    lock.set('never')
    kept.locks.push(lock)
  }
  kept.waits = [
    jobs.acquire('wanted'), jobs.set('wanted', 1), jobs.increment('wanted'), jobs.get('wanted'),
    jobs.acquire('wanted', { timeout: 100 })
  ]
  const busy = async (): Promise<void> => {
    for (;;) await Promise.all([jobs.increment('busy'), jobs.set('large', 'x'.repeat(50_000)), jobs.get('large')])
  }
  kept.busy = [busy(), busy()]
}

async function take (
  { strongStore, kept }: Tools, options: StoreOptions, name: string, count: number
): Promise<unknown[]> {
  const store: Store = (kept.store ??= strongStore.createStore(options))
  const locks = await Promise.all(Array.from({ length: count }, (_, i) => store.collection(name).acquire(`held ${i}`)))
  for (const lock of locks) await lock.release()
  return locks.map(lock => lock.get())
}

function descriptors (): number {
  return process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0
}
