// Attack: more calls than the store's process can handle. Memory must stay bounded, excess calls must be rejected with
// an error code, nothing may be lost, and other processes must be served normally afterwards.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createStore, type Store, type StoreOptions } from '../../src/index.js'
import { fork, type TestWorker } from '../support/cluster.js'
import { quantiles, random, type Attack, type Order, type Owner } from './attack.js'
import { fill, limitedServer } from '../support/redis.js'
import { heap } from './heap.js'
import { serveOverHttp, serveStore } from './store-process.js'

const BOUND = 8 * 2 ** 20

/** The store under attack. */
interface Place {
  options: StoreOptions
  /** Memory of its process in bytes. */
  memory (): number
  /** Memory used by its data, in KB. */
  used (): number
  /** Calls that wait for a locked key are bounded per process, together with its other calls, not per key. */
  isBoundedByProcess?: boolean
}

export const overload = over(async () => ({ options: {}, memory: () => process.memoryUsage().rss, used: heap }))

export const overloadOverUnix = over(async owner => {
  const { options, memory } = await serveStore(owner)
  return { options, memory, used: () => memory() / 1000 }
})

export const overloadOfHttp = over(async owner => {
  const { options, memory } = await serveOverHttp(owner)
  return { options, memory, used: () => memory() / 1000 }
})

/** With only the permissions listed in docs/redis.md, among data of another application. */
export const overloadOfRedis = over(async owner => {
  const { options, redis } = await limitedServer(owner, 'functions')
  await fill(redis)
  const pid = /process_id:(\d+)/.exec(await redis.info('server'))![1]!
  const memory = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
  return { options, memory, used: () => memory() / 1000, isBoundedByProcess: true }
})

function over (open: (owner: Owner) => Promise<Place>): Attack {
  return async order => await attack(order, await open(order.owner))
}

async function attack (
  { seed, rounds, secondsLeft, owner }: Order, { options, memory, used, isBoundedByProcess }: Place
): ReturnType<Attack> {
  const store = createStore(options)
  owner.teardown(() => options.url !== undefined && store.close())
  const [loud, other] = await Promise.all([fork(owner), fork(owner)])
  for (const worker of [loud, other]) {
    await worker.run(({ strongStore, kept }, options) => {
      kept.store = strongStore.createStore(options)
    }, options)
  }
  const next = random(seed)
  await other.run(latency, 500)
  const before = await other.run(latency, 500)
  const during: number[] = []
  const figures = { rounds: 0, calls: 0, refused: 0 }
  let most = 0
  const watch = setInterval(() => { most = Math.max(most, memory()) }, 20)
  owner.teardown(() => { clearInterval(watch) })
  const isShort = rounds === 1
  const half = isShort ? 0 : secondsLeft() / 2
  while (figures.rounds < rounds && secondsLeft() > half) {
    figures.rounds++
    // Half a million calls take long on a slow machine.
    for (const flood of isShort ? [bytes, waits] : [bytes, calls, waits]) {
      if (flood === waits && isBoundedByProcess === true) continue
      const lock = flood === waits ? await store.collection('overload').acquire('locked') : undefined
      const course = { isOver: false }
      const ended = loud.run(flood)
      ended.finally(() => { course.isOver = true }).catch(() => {})
      const served = (async () => { do during.push(...await other.run(latency, 5)); while (!course.isOver) })()
      if (lock !== undefined) {
        await loud.run(({ kept }) => kept.store.collection('overload').get('behind them'))
        await lock.release()
      }
      const outcome = await ended
      await served
      assert.deepEqual(outcome.codes, ['STORE_OVERLOADED'], 'excess calls are rejected, and no others')
      assert.equal(outcome.released, true, 'releases are not rejected')
      assert.ok(outcome.done > 0 && outcome.refused > 0)
      figures.calls += outcome.done + outcome.refused
      figures.refused += outcome.refused
    }
    assert.deepEqual(await store.locks(), [])
    await store.collection('overload').clear()
  }
  clearInterval(watch)
  const after = await other.run(latency, 500)

  // A collection that is always full.
  const filling = Date.now()
  const full = store.collection('overload full')
  await full.configure({ maxBytes: BOUND })
  const empty = used()
  let written = 0
  let least = BOUND
  const isDone = (): boolean => written >= 5 * BOUND && (isShort || secondsLeft() <= 0)
  do {
    const writes: Array<Promise<unknown>> = []
    for (let i = 0; i < 2000; i++) {
      const size = Math.floor(next() * 2000)
      writes.push(full.set(`key ${Math.floor(next() * 50_000)}`, 'x'.repeat(size)))
      written += size
    }
    await Promise.all(writes)
    const { bytes } = (await store.collections()).find(({ name }) => name === 'overload full')!
    assert.ok(bytes <= BOUND, `${bytes} bytes exceed the bound of ${BOUND}`)
    if (written > 4 * BOUND) least = Math.min(least, bytes)
  } while (!isDone())
  assert.ok(least > 0.95 * BOUND, `only ${least} bytes of ${BOUND} are used`)
  const seconds = (Date.now() - filling) / 1000
  const real = used() - empty
  await full.clear()
  for (const { worker, exited } of [loud, other]) {
    worker.disconnect()
    await exited
  }
  return {
    ...figures,
    'memory of the store at most, MB': Math.round(most / 1e6),
    'calls of others, median/p99 µs, before': quantiles(before),
    'calls of others, during': quantiles(during),
    'calls of others, after': quantiles(after),
    'written to a full collection, MB': Math.round(written / 1e6),
    'in seconds': Math.round(seconds),
    'used part of its bound, %': `${Math.round(least / BOUND * 1000) / 10} to 100`,
    'bytes of memory per byte of the bound': Math.round(real * 1000 / BOUND * 100) / 100
  }
}

type Tools = Parameters<Parameters<TestWorker['run']>[0]>[0]
interface Outcome { done: number, refused: number, codes: string[], released: boolean }

/** Sends 300 MiB at once while a lock is held. */
async function bytes ({ kept }: Tools): Promise<Outcome> {
  const overload = (kept.store as Store).collection('overload')
  const lock = await overload.acquire('mine')
  const value = 'x'.repeat(2 ** 20 - 2)
  const writes = Array.from({ length: 300 }, (_, i) => overload.set(`key ${i % 20}`, value))
  const released = lock.release()
  const outcomes = await Promise.allSettled(writes)
  await released
  const codes = outcomes.flatMap(outcome => {
    return outcome.status === 'rejected' ? [(outcome.reason as { code: string }).code] : []
  })
  const free = await overload.tryAcquire('mine')
  await free?.release()
  return {
    done: writes.length - codes.length, refused: codes.length, codes: [...new Set(codes)], released: free !== undefined
  }
}

/** Sends slightly more than half a million calls at once. */
async function calls ({ kept }: Tools): Promise<Outcome> {
  const overload = (kept.store as Store).collection('overload')
  const lock = await overload.acquire('mine')
  let done = 0
  const codes: string[] = []
  const all: Array<Promise<unknown>> = []
  for (let i = 0; i < 530_000; i++) {
    all.push(
      overload.has('key').then(
        () => {
          done++
        },
        (error: { code: string }) => {
          codes.push(error.code)
        }
      )
    )
  }
  const released = lock.release({ confirm: false })
  await Promise.all(all)
  await released
  const free = await overload.tryAcquire('mine')
  await free?.release()
  return { done, refused: codes.length, codes: [...new Set(codes)], released: free !== undefined }
}

/** Sends more values than may wait for a locked key. */
async function waits ({ kept }: Tools): Promise<Outcome> {
  const value = 'x'.repeat(2 ** 20 - 2)
  const outcomes = await Promise.allSettled(
    Array.from({ length: 80 }, () => (kept.store as Store).collection('overload').set('locked', value))
  )
  const codes = outcomes.flatMap(outcome =>
    outcome.status === 'rejected' ? [(outcome.reason as { code: string }).code] : []
  )
  return { done: outcomes.length - codes.length, refused: codes.length, codes: [...new Set(codes)], released: true }
}

async function latency ({ kept }: Tools, calls: number): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < calls; i++) {
    const start = process.hrtime.bigint()
    await kept.store.collection('overload others').get('key')
    times.push(Number(process.hrtime.bigint() - start) / 1000)
  }
  return times
}
