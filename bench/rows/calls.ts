// Calls, or locks, from workers that keep a fixed number of them in flight.
import cluster from 'node:cluster'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { rivals, type RivalName } from '../rivals/index.js'
import { ownCpu, type Client, type Rival } from '../rivals/rival.js'
import { finish, forkWorkers, workWhenTold } from '../workers.js'

export interface CallsOptions {
  rival: RivalName
  /** 'lock' acquires and releases uncontended locks, 'hot lock' one lock that all workers contend for. */
  operation: 'get' | 'set' | '99/1' | '95/5' | '80/20' | 'lock' | 'hot lock'
  workers: number
  inFlight: number
  bytes: number
  keys: number
  seconds: number
  /** Each worker watches all keys. */
  watched?: boolean
}

const options = JSON.parse(process.argv[2]!) as CallsOptions
const { rival, operation, workers, inFlight, bytes, keys, seconds, watched } = options
const { serve, client }: Rival = rivals[rival]
const value = { text: 'x'.repeat(bytes - '{"text":""}'.length) }
// Seconds until V8 has compiled the hot code. With a contended lock, each worker makes fewer calls per second.
const WARM_UP = operation === 'hot lock' ? 4 : 0.7
let events = 0 // received by the watch of this worker

interface Result {
  calls: number
  cpu: number
  events: number
  latencies: number[]
}

if (cluster.isPrimary) await primary()
else await worker()

async function primary (): Promise<void> {
  const { address, cpu } = await serve({ bytes, operation })
  const go = await forkWorkers<Result>(workers, { BENCH_ADDRESS: address })
  const used = cpu?.()
  const start = performance.now()
  const results = await go()
  const elapsed = performance.now() - start
  const calls = results.reduce((sum, result) => sum + result.calls, 0)
  const latencies = results.flatMap(result => result.latencies).sort((a, b) => a - b)
  await finish({
    callsPerSecond: calls / elapsed * 1000,
    microseconds: used === undefined ? undefined : (cpu!() - used) / calls,
    clientMicroseconds: results.reduce((sum, result) => sum + result.cpu, 0) / calls,
    megabytesPerSecond: calls * bytes / elapsed / 1000,
    eventsPerCall: results.reduce((sum, result) => sum + result.events, 0) / calls / workers,
    p50: latencies[latencies.length >> 1],
    p99: latencies[Math.floor(latencies.length * 0.99)]
  })
}

async function worker (): Promise<void> {
  const asked = await client(process.env.BENCH_ADDRESS!)
  await fill(asked)
  if (watched === true) await asked.watch!('k', () => { events++ })
  await run(asked, WARM_UP)
  workWhenTold(() => run(asked, seconds))
}

/** Each worker writes its part of the keys. */
async function fill (client: Client): Promise<void> {
  const part = Math.ceil(keys / workers)
  const first = (cluster.worker!.id - 1) * part
  for (let i = first; i < Math.min(keys, first + part);) {
    const batch: Array<Promise<unknown>> = []
    for (const end = Math.min(keys, first + part, i + inFlight); i < end; i++) batch.push(client.set(keyAt(i), value))
    await Promise.all(batch)
  }
}

async function run (client: Client, seconds: number): Promise<Result> {
  let isOver = false
  const cpu = ownCpu()
  const eventsBefore = events
  const end = performance.now() + seconds * 1000
  const latencies: number[] = []
  let calls = 0
  const loop = async (_: unknown, lane: number): Promise<void> => {
    const once = caller(client, lane)
    while (!isOver) {
      const isTimed = calls++ % 16 === 0
      const start = isTimed ? performance.now() : 0
      await once()
      if (!isTimed) continue
      const now = performance.now()
      latencies.push(now - start)
      isOver ||= now > end // the timer cannot fire if calls do not yield to the event loop
    }
  }
  const over = sleep(seconds * 1000).then(() => { isOver = true })
  await Promise.all([over, ...Array.from({ length: inFlight }, loop)])
  return { calls, cpu: ownCpu() - cpu, events: events - eventsBefore, latencies: latencies.slice(0, 20_000) }
}

function caller (client: Client, lane: number): () => Promise<unknown> {
  // A prime step visits all keys. Workers start at different keys, and lanes far apart: otherwise they would all wait
  // for the first key that a cache does not have yet, and from then on request the same keys at the same time.
  let at = (lane * Math.ceil(keys / inFlight) * 7919 + process.pid * 104_729) % keys
  const next = (): string => keyAt(at = (at + 7919) % keys)
  let calls = lane
  /** One of `every` calls is a set. */
  const mixed = (every: number) => () => calls++ % every === 0 ? client.set(next(), value) : client.get(next())
  switch (operation) {
    case 'get': return () => client.get(next())
    case 'set': return () => client.set(next(), value)
    case '99/1': return mixed(100)
    case '95/5': return mixed(20)
    case '80/20': return mixed(5)
    case 'lock': return () => lockOnce(client, `lock-${process.pid}-${lane}`)
    case 'hot lock': return () => lockOnce(client, 'hot')
  }
}

async function lockOnce (client: Client, key: string): Promise<void> {
  const release = await client.lock!(key)
  await release()
}

function keyAt (i: number): string {
  return `k${1_000_000 + i}`
}
