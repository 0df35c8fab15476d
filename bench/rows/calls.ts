// One measurement in a process of its own: a primary, its workers, calls for a while; prints the figures as JSON.
// node calls.js RIVAL WORKERS IN_FLIGHT SHARE_OF_SETS VALUE_BYTES SECONDS
import cluster from 'node:cluster'
import { performance } from 'node:perf_hooks'
import { rivals } from '../clients.js'

const [rival, workers, inFlight, sets, bytes, seconds] = process.argv.slice(2) as [string, ...string[]]
const { serve, client } = rivals[rival]!
const value = { text: 'x'.repeat(Math.max(0, Number(bytes) - 11)) } // 11 for {"text":""} and a little
const KEYS = Array.from({ length: 1000 }, (_, i) => `key-${1000 + i}`)

if (cluster.isPrimary) await primary()
else await worker()

async function primary (): Promise<void> {
  const address = await serve(value)
  const forks = Array.from({ length: Number(workers) }, () => cluster.fork({ BENCH_ADDRESS: address }))
  const all = (type: string): Promise<unknown[]> => Promise.all(forks.map(fork => new Promise(resolve => {
    fork.on('message', (message: { type?: string, data?: unknown }) => { if (message.type === type) resolve(message.data) })
  })))
  const done = all('done')
  await all('ready')
  const cpu = process.cpuUsage()
  const start = performance.now()
  for (const fork of forks) fork.send('go')
  const results = await done as Array<{ calls: number, latencies: number[] }>
  const used = process.cpuUsage(cpu)
  const elapsed = performance.now() - start
  const calls = results.reduce((sum, result) => sum + result.calls, 0)
  const latencies = results.flatMap(result => result.latencies).sort((a, b) => a - b)
  console.log(JSON.stringify({
    callsPerSecond: calls / elapsed * 1000,
    primaryMicroseconds: (used.user + used.system) / calls,
    p50: latencies[latencies.length >> 1],
    p99: latencies[Math.floor(latencies.length * 0.99)]
  }))
  for (const fork of forks) fork.kill('SIGKILL')
  process.exit()
}

async function worker (): Promise<void> {
  const calls = await client(process.env.BENCH_ADDRESS!)
  for (const key of KEYS) await calls.set(key, value)
  await measure(calls, 0.3)
  process.on('message', () => {
    measure(calls, Number(seconds)).then(data => process.send!({ type: 'done', data }), error => { throw error })
  })
  process.send!({ type: 'ready' })
}

async function measure (client: Awaited<ReturnType<typeof rivals[string]['client']>>, seconds: number): Promise<unknown> {
  const end = performance.now() + seconds * 1000
  const share = Number(sets)
  const latencies: number[] = []
  let calls = 0
  let isOver = false
  const loop = async (): Promise<void> => {
    for (let i = 0; !isOver; i++) {
      const key = KEYS[calls % KEYS.length]!
      const isTimed = calls++ % 16 === 0
      const start = isTimed ? performance.now() : 0
      if (calls % 100 < share) await client.set(key, value)
      else await client.get(key)
      if (!isTimed) continue
      const now = performance.now()
      latencies.push(now - start)
      isOver ||= now > end
    }
  }
  await Promise.all(Array.from({ length: Number(inFlight) }, loop))
  return { calls, latencies: latencies.slice(0, 20_000) }
}
