// Attack: a worker with many locks in many collections is killed, or leases and keys end, while nobody calls the store.
// All waiters and watchers must be notified without a later call.
import assert from 'node:assert/strict'
import { createStore, type KeyLock, type Store, type StoreOptions } from '../../src/index.js'
import { fork, type TestWorker } from '../support/cluster.js'
import { startServer } from '../support/redis.js'
import { random, type Attack, type Order, type Owner } from './attack.js'
import { serveStore } from './store-process.js'

interface Plan {
  options: StoreOptions
  collections: string[]
  /** Number of locks per collection. */
  locks: number
  /** Number of keys with a ttl per collection. */
  keys: number
  /** The lease of the locks, in seconds; undefined if they end with their worker. */
  lease: number | undefined
  ttl: number
}

/** A store in a separate process, because this process is never quiet. */
export const quiet = over(serveStore)
export const quietOfRedis = over(startServer)

function over (begin: (owner: Owner) => Promise<{ options: StoreOptions }>): Attack {
  return async order => await attack(order, (await begin(order.owner)).options)
}

async function attack ({ seed, rounds, secondsLeft, owner }: Order, options: StoreOptions): ReturnType<Attack> {
  const next = random(seed)
  const upTo = (most: number): number => 1 + Math.floor(next() * most)
  const figures = { rounds: 0, locks: 0, keys: 0, 'most collections': 0 }
  const store = createStore(options)
  owner.teardown(() => store.close())
  const survivor = await fork(owner)
  while (figures.rounds < rounds && secondsLeft() > 0) {
    const round = figures.rounds++
    const count = upTo(next() < 0.5 ? 5 : 1000)
    const plan: Plan = {
      options,
      collections: Array.from({ length: count }, (_, i) => `quiet ${round} ${i}`),
      locks: Math.ceil(upTo(2000) / count),
      keys: Math.ceil(upTo(5000) / count),
      lease: next() < 0.3 ? 2 : undefined,
      ttl: 0.05 + next()
    }
    const holder = await fork(owner)
    assert.equal(await holder.run(hold, plan), count * plan.locks)
    const told = survivor.run(wait, plan)
    await survivor.run(async ({ kept }) => { await kept.waiting })
    if (plan.lease === undefined) holder.kill('SIGKILL')
    assert.deepEqual(
      await told, Array(count * plan.locks).fill('before'), 'every waiter is served, without uncommitted changes'
    )
    await exit(holder)
    assert.deepEqual(await store.locks(), [])
    assert.equal((await store.stats()).keys, 0, 'no key is left')
    figures.locks += count * plan.locks
    figures.keys += count * plan.keys
    figures['most collections'] = Math.max(figures['most collections'], count)
  }
  await exit(survivor)
  return figures
}

async function exit ({ worker, exited }: TestWorker): Promise<void> {
  if (worker.isConnected()) worker.disconnect()
  await exited
}

type Tools = Parameters<Parameters<TestWorker['run']>[0]>[0]

/** Acquires all locks and changes the locked values. */
async function hold ({ strongStore, kept }: Tools, { options, collections, locks, lease }: Plan): Promise<number> {
  const store = strongStore.createStore(options)
  const all = await Promise.all(collections.flatMap(name => Array.from({ length: locks }, async (_, i) => {
    const jobs = store.collection<string>(name)
    await jobs.set(`locked ${i}`, 'before')
    const lock = await jobs.acquire(`locked ${i}`, lease === undefined ? {} : { lease })
    lock.set('never')
    return lock
  })))
  kept.locks = all
  return all.length
}

/** Waits for every lock, and for the last key of every collection to expire. Resolves with the locked values. */
async function wait (
  { strongStore, kept }: Tools, { options, collections, locks, keys, ttl }: Plan
): Promise<unknown[]> {
  const store: Store = kept.store ??= strongStore.createStore(options)
  const ends: Array<Promise<void>> = []
  const served: Array<Promise<KeyLock<string>>> = []
  kept.waiting = Promise.all(collections.map(async name => {
    const jobs = store.collection<string>(name)
    for (let i = 0; i < locks; i++) served.push(jobs.acquire(`locked ${i}`))
    const watch = jobs.watch({ key: 'last' })
    await watch.next() // 'ready'
    await jobs.setMany(Array.from({ length: keys }, (_, i) => [`ending ${i}`, 'x'] as const), { ttl })
    await jobs.set('last', 'x', { ttl: ttl + 0.1 })
    ends.push((async () => {
      for await (const { type } of watch) if (type === 'expired') return
    })())
  }))
  await kept.waiting
  const [all] = await Promise.all([Promise.all(served), Promise.all(ends)])
  const values = all.map(lock => lock.get())
  // Only after all are served, so that no call comes in between.
  await Promise.all(all.map(async lock => {
    lock.del()
    await lock.release()
  }))
  return values
}
