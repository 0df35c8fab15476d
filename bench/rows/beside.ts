// One worker gets small values, one at a time, while another one sets and gets a large value as fast as it can.
import cluster from 'node:cluster'
import { performance } from 'node:perf_hooks'
import { waitedForCore } from '../core.js'
import { rivals, type RivalName } from '../rivals/index.js'
import type { Client, Rival } from '../rivals/rival.js'
import { finish, forkWorkers, workWhenTold } from '../workers.js'

export interface BesideOptions {
  rival: RivalName
  /** The size of the large value; 0 if the other worker is idle. */
  bytes: number
  seconds: number
}

const { rival, bytes, seconds } = JSON.parse(process.argv[2]!) as BesideOptions
const { serve, client }: Rival = rivals[rival]
const SMALL = { text: 'x'.repeat(89) }
const WARM_UP = 1

interface Result {
  large: number
  latencies: number[]
  /** Latencies minus the times for which this process and the primary waited for a core. */
  onCore: number[]
}

if (cluster.isPrimary) await primary()
else await worker()

async function primary (): Promise<void> {
  const { address } = await serve({ bytes: 100, operation: 'get' })
  const results = await (await forkWorkers<Result>(2, { BENCH_ADDRESS: address }))()
  const latencies = results.flatMap(result => result.latencies).sort((a, b) => a - b)
  const onCore = results.flatMap(result => result.onCore).sort((a, b) => a - b)
  await finish({
    largePerSecond: results.reduce((sum, { large }) => sum + large, 0) / seconds,
    p50: at(latencies, 0.5),
    p99: at(latencies, 0.99),
    p99OnCore: at(onCore, 0.99),
    p999OnCore: at(onCore, 0.999),
    longest: at(latencies, 1),
    longestOnCore: at(onCore, 1)
  })
}

function at (sorted: number[], share: number): number | undefined {
  return sorted[Math.floor((sorted.length - 1) * share)]
}

async function worker (): Promise<void> {
  const asked = await client(process.env.BENCH_ADDRESS!)
  const run = cluster.worker!.id === 1 ? useLarge : getSmall
  await asked.set('small', SMALL)
  await run(asked, WARM_UP)
  workWhenTold(() => run(asked, seconds))
}

async function useLarge (client: Client, seconds: number): Promise<Result> {
  const value = { text: 'x'.repeat(Math.max(bytes - '{"text":""}'.length, 0)) }
  const end = performance.now() + seconds * 1000
  let large = 0
  if (bytes === 0) return { large, latencies: [], onCore: [] }
  for (; performance.now() < end; large += 2) {
    await client.set('large', value)
    await client.get('large')
  }
  return { large, latencies: [], onCore: [] }
}

async function getSmall (client: Client, seconds: number): Promise<Result> {
  const latencies: number[] = []
  const onCore: number[] = []
  const waited = (): number => waitedForCore() + waitedForCore(process.ppid)
  for (const end = performance.now() + seconds * 1000; performance.now() < end;) {
    const before = waited()
    const start = performance.now()
    await client.get('small')
    const latency = performance.now() - start
    latencies.push(latency)
    onCore.push(Math.max(0, latency - (waited() - before)))
  }
  return { large: 0, latencies, onCore }
}
