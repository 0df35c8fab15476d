// The memory of a key when there are very many, and the garbage collections of the process that has them.
import cluster from 'node:cluster'
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { longest, watchGc } from '../gc.js'
import { rivals } from '../rivals/index.js'
import { load, type Rival } from '../rivals/rival.js'
import { serveRedis, type IoredisModule } from '../rivals/redis.js'
import { VALUE_BYTES, flat, keyAt, value } from '../sample.js'
import { finish, forkWorkers, workWhenTold } from '../workers.js'

export interface MemoryOptions {
  store: 'strong-store' | 'strong-store-cluster' | 'Map' | 'Redis'
  keys: number
  /** Seconds of 80/20 gets and sets once the store is full. */
  seconds: number
}

const { store, keys, seconds } = JSON.parse(process.argv[2]!) as MemoryOptions
const IN_FLIGHT = 256
const rival: Rival = rivals[store === 'Map' || store === 'Redis' ? 'Redis, ioredis' : store]

if (cluster.isPrimary) await finish(await (store === 'Map' ? map() : served()))
else await worker()

interface Memory {
  used: number
  resident: number
}

async function map (): Promise<object> {
  const before = ownMemory()
  const map = new Map<string, string>()
  for (let i = 0; i < keys; i++) map.set(flat(keyAt(i)), flat(JSON.stringify(value)))
  const figures = perKey(before, ownMemory())
  map.clear() // keeps the map alive until here
  return figures
}

async function served (): Promise<object> {
  const redis = store === 'Redis' ? await serveRedis() : undefined
  const { address } = redis ?? await rival.serve({ bytes: VALUE_BYTES, operation: 'set' })
  const memory = redis === undefined ? async () => ownMemory() : await redisMemory(redis.address, redis.pid)
  const before = await memory()
  const filled = watchGc()
  const go = await forkWorkers(1, { BENCH_ADDRESS: address })
  const whileFilling = await filled()
  const figures = perKey(before, await memory())
  const full = watchGc()
  await go()
  const whileFull = await full()
  if (redis !== undefined) return figures
  return {
    ...figures,
    longestFilling: longest(whileFilling),
    longest: longest(whileFull),
    share: whileFull.reduce((sum, { duration }) => sum + duration, 0) / seconds / 10
  }
}

async function worker (): Promise<void> {
  const client = await rival.client(process.env.BENCH_ADDRESS!)
  for (let i = 0; i < keys;) {
    const batch: Array<Promise<unknown>> = []
    for (const end = Math.min(keys, i + IN_FLIGHT); i < end; i++) batch.push(client.set(keyAt(i), value))
    await Promise.all(batch)
  }
  workWhenTold(async () => {
    const end = performance.now() + seconds * 1000
    let calls = 0
    const next = (): string => keyAt((calls * 7919) % keys)
    await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
      while (performance.now() < end) await (calls++ % 5 === 0 ? client.set(next(), value) : client.get(next()))
    }))
  })
}

function perKey (before: Memory, after: Memory): object {
  return { bytesPerKey: (after.used - before.used) / keys, residentPerKey: (after.resident - before.resident) / keys }
}

function ownMemory (): Memory {
  for (let i = 0; i < 3; i++) globalThis.gc!()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { used: heapUsed + external, resident: rss }
}

async function redisMemory (path: string, pid: number): Promise<() => Promise<Memory>> {
  const client = new (load<IoredisModule>('ioredis').Redis)({ path })
  return async () => ({
    used: Number((await client.info('memory')).match(/used_memory:(\d+)/)![1]),
    resident: Number(readFileSync(`/proc/${pid}/status`, 'latin1').match(/VmRSS:\s+(\d+)/)![1]) * 1024
  })
}
