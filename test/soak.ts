// `npm run soak -- --minutes N [--only NAME] [--seed S]`: runs the fault tests for the given time. Prints what each of
// them did, and fails if a guarantee was violated.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { createStore } from '../src/index.js'
import type { Attack, Figures } from './faults/attack.js'
import { expiry } from './faults/expiry.js'
import { http } from './faults/http.js'
import { http2 } from './faults/http2.js'
import { keyspace } from './faults/keyspace.js'
import { killing, killingOfHttp, killingOfRedis, killingOverUnix } from './faults/killing.js'
import { leaks, leaksOfHttp, leaksOfRedis } from './faults/leaks.js'
import {
  linearizability, linearizabilityOfBesetRedis, linearizabilityOfData, linearizabilityOfHttp,
  linearizabilityOfHttpWorkers, linearizabilityOfNear, linearizabilityOfNearOverUnix, linearizabilityOfRedis,
  linearizabilityOfRedisCluster, linearizabilityOverUnix
} from './faults/linearizability.js'
import { NO_ROOT, hasRoot, otherUsers } from './faults/other-users.js'
import { overload, overloadOfHttp, overloadOfRedis, overloadOverUnix } from './faults/overload.js'
import { peers, peersOverUnix } from './faults/peers.js'
import { quiet, quietOfRedis } from './faults/quiet.js'
import { stopping, stoppingOfRedis } from './faults/stopping.js'
import { takeover } from './faults/takeover.js'
import { versions } from './faults/versions.js'
import { watching, watchingOfHttp, watchingOfRedis } from './faults/watching.js'
import { NO_REDIS, hasRedis } from './support/redis.js'

const REDIS: Record<string, Attack> = hasRedis
  ? {
      'linearizability-redis': linearizabilityOfRedis,
      'killing-redis': killingOfRedis,
      'linearizability-redis-beset': linearizabilityOfBesetRedis,
      'linearizability-redis-cluster': linearizabilityOfRedisCluster,
      'leaks-redis': leaksOfRedis,
      'overload-redis': overloadOfRedis,
      'watching-redis': watchingOfRedis,
      'stopping-redis': stoppingOfRedis,
      'quiet-redis': quietOfRedis
    }
  : {}
const ATTACKS: Record<string, Attack> = {
  keyspace,
  linearizability,
  'linearizability-unix': linearizabilityOverUnix,
  'linearizability-near': linearizabilityOfNear,
  'linearizability-near-unix': linearizabilityOfNearOverUnix,
  'linearizability-data': linearizabilityOfData,
  'linearizability-http': linearizabilityOfHttp,
  'linearizability-http-workers': linearizabilityOfHttpWorkers,
  ...REDIS,
  peers,
  'peers-unix': peersOverUnix,
  killing,
  'killing-unix': killingOverUnix,
  'killing-http': killingOfHttp,
  takeover,
  overload,
  'overload-unix': overloadOverUnix,
  'overload-http': overloadOfHttp,
  leaks,
  'leaks-http': leaksOfHttp,
  watching,
  'watching-http': watchingOfHttp,
  stopping,
  expiry,
  http,
  http2,
  quiet,
  versions,
  ...hasRoot ? { 'other-users': otherUsers } : {}
}
/** The share of the time that each attack gets; 1 by default. */
const SHARES: Record<string, number> = {
  linearizability: 2, peers: 2, killing: 5, overload: 4, 'overload-unix': 4, 'overload-http': 4, leaks: 8, watching: 8
}
const shareOf = (name: string): number => SHARES[name] ?? 1

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '5' }, only: { type: 'string' }, seed: { type: 'string' } }
})
const { only } = values
const seed = Number(values.seed ?? Date.now() % 2 ** 31)
const chosen = Object.entries(ATTACKS).filter(([name]) => only === undefined || name === only)
const secondsEach = Number(values.minutes) * 60 / chosen.reduce((sum, [name]) => sum + shareOf(name), 0)
if (!(secondsEach > 0 && secondsEach < Infinity)) {
  throw new Error(`usage: npm run soak -- --minutes N [--only ${Object.keys(ATTACKS).join('|')}] [--seed S]`)
}

/** Runs an attack in this process. Returns whether the guarantees held. */
async function run (name: string, attack: Attack, seconds: number): Promise<boolean> {
  const ends: Array<() => unknown> = []
  const start = Date.now()
  let figures: Figures | undefined
  try {
    figures = await attack({
      seed,
      rounds: Number.MAX_SAFE_INTEGER,
      secondsLeft: () => seconds - (Date.now() - start) / 1000,
      owner: { teardown: end => { ends.unshift(end) }, threw: error => { throw error } }
    })
  } catch (error) {
    console.error(error)
  }
  for (const end of ends) await end()
  console.log(`\n${name}: ${figures === undefined ? 'FAILED' : 'held'}, ${Math.round((Date.now() - start) / 1000)} s`)
  for (const [what, figure] of Object.entries(figures ?? {})) console.log(`  ${what}: ${figure}`)
  return figures !== undefined
}

/** Runs an attack in another process, so that a crash of Node.js ends only this attack. */
async function runApart (name: string, seconds: number): Promise<boolean> {
  const args = ['--minutes', String(seconds / 60), '--only', name, '--seed', String(seed)]
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...args], { stdio: 'inherit' })
  const [code, signal] = await once(child, 'exit') as [number | null, NodeJS.Signals | null]
  if (signal !== null) console.log(`\n${name}: CRASHED with ${signal}`)
  return code === 0
}

if (values.seed === undefined) console.log(`${values.minutes} minutes, --seed ${seed}`)
if (only === undefined && !hasRoot) console.log(`other-users ${NO_ROOT}`)
if (only === undefined && !hasRedis) console.log(`attacks on Redis: ${NO_REDIS}`)
const failures: string[] = []
for (const [name, attack] of chosen) {
  const seconds = secondsEach * shareOf(name)
  const hasHeld = only === undefined ? await runApart(name, seconds) : await run(name, attack, seconds)
  if (!hasHeld) failures.push(name)
}
if (only === undefined) console.log(failures.length === 0 ? '\nall held' : `\nfailed: ${failures.join(', ')}`)
else await createStore().close()
process.exitCode = failures.length === 0 ? 0 : 1
