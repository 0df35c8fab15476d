// How long a message, or a change that somebody watches, takes from one worker to another: two workers answer each
// other, and each has one half of every round.
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
const message = { text: 'x'.repeat(bytes - '{"text":""}'.length) }

if (cluster.isPrimary) await primary()
else await worker()

async function primary (): Promise<void> {
  const { address, cpu } = await serve({ bytes, operation: 'set' })
  const go = await forkWorkers<number[]>(2, { BENCH_ADDRESS: address })
  const used = cpu!()
  const rounds = (await go()).flat()
  const microseconds = (cpu!() - used) / rounds.length / 2
  const sorted = rounds.slice(rounds.length >> 1).map(milliseconds => milliseconds / 2).sort((a, b) => a - b)
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
    if (!isFirst) return []
    send()
    await sleep(2 * seconds * 1000) // the first half of the rounds is for warming up
    return rounds
  })
}
