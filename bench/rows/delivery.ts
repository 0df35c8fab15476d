// How long a message, or a change of a watched key, takes from one worker to another: two workers play ping-pong, and a
// sample is half a round trip.
import cluster from 'node:cluster'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { rivals, type RivalName } from '../rivals/index.js'
import type { Rival } from '../rivals/rival.js'
import { finish, forkWorkers, workWhenTold } from '../workers.js'

export interface DeliveryOptions {
  rival: RivalName
  by: 'channel' | 'watch'
  bytes: number
  seconds: number
}

const { rival, by, bytes, seconds } = JSON.parse(process.argv[2]!) as DeliveryOptions
const { serve, client }: Rival = rivals[rival]
/** Seconds until V8 has compiled the hot code. */
const WARM_UP = 2
const message = { text: 'x'.repeat(bytes - '{"text":""}'.length) }

interface Result {
  /** Including the warm-up. */
  count: number
  /** In milliseconds. */
  rounds: number[]
}

if (cluster.isPrimary) await primary()
else await worker()

async function primary (): Promise<void> {
  const { address, cpu } = await serve({ bytes, operation: 'set' })
  const go = await forkWorkers<Result>(2, { BENCH_ADDRESS: address })
  const used = cpu!()
  const results = await go()
  const microseconds = (cpu!() - used) / results.reduce((sum, { count }) => sum + count, 0) / 2
  const sorted = results.flatMap(({ rounds }) => rounds).map(milliseconds => milliseconds / 2).sort((a, b) => a - b)
  await finish({
    microseconds,
    p50: sorted[sorted.length >> 1],
    p99: sorted[Math.floor(sorted.length * 0.99)]
  })
}

async function worker (): Promise<void> {
  const { set, watch, publish, subscribe } = await client(process.env.BENCH_ADDRESS!)
  const isFirst = cluster.worker!.id === 1
  const [mine, other] = isFirst ? ['first', 'second'] : ['second', 'first']
  const rounds: number[] = []
  let start = 0
  const send = (): void => {
    start = performance.now()
    const sent = by === 'channel' ? publish!(other!, message) : set(other!, message)
    sent.catch(error => { throw error })
  }
  const received = (): void => {
    if (isFirst) rounds.push(performance.now() - start)
    send()
  }
  await (by === 'channel' ? subscribe!(mine!, received) : watch!(mine!, received))
  workWhenTold(async () => {
    if (!isFirst) return { count: 0, rounds: [] } satisfies Result
    send()
    await sleep(WARM_UP * 1000)
    const first = rounds.length
    await sleep(seconds * 1000)
    return { count: rounds.length, rounds: rounds.slice(first) } satisfies Result
  })
}
