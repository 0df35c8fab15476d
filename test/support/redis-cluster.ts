// A real Redis Cluster on loopback ports.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { StoreOptions } from '../../src/index.js'
import type { Owner } from '../faults/attack.js'
import { freePort } from './ports.js'
import { until } from './until.js'

export interface TestNode {
  port: number
  redis: Redis
  child: ChildProcess
  kill (): Promise<void>
}

export interface TestCluster {
  options: StoreOptions
  masters: TestNode[]
  /** The port of the first master. */
  replica: TestNode
  /** The master that owns the slot of a key. */
  masterOf (key: string): Promise<TestNode>
}

const HOST = '127.0.0.1'
const SLOTS = [[0, 5460], [5461, 10922], [10923, 16383]] as const

/** Starts three masters, and a replica of the first; they are killed at the end of the test. */
export async function startCluster (t: Pick<Owner, 'teardown'>): Promise<TestCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'ss-cluster-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  const nodes = await Promise.all([0, 1, 2, 3].map(() => startNode(t, folder)))
  const [first, second, third, replica] = nodes as [TestNode, TestNode, TestNode, TestNode]
  const masters = [first, second, third]
  for (const [i, { redis }] of masters.entries()) {
    await redis.call('CLUSTER', 'ADDSLOTSRANGE', ...SLOTS[i]!)
    await redis.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)
  }
  for (const { port, redis } of nodes.slice(1)) {
    await first.redis.call(
      'CLUSTER', 'MEET', HOST, port, Number(await busPort(redis))
    )
  }
  const id = await first.redis.call('CLUSTER', 'MYID') as string
  // once it knows the node
  await until(() => replica.redis.call('CLUSTER', 'REPLICATE', id).then(() => true, () => false))
  for (const { redis } of nodes) {
    await until(async () => {
      const info = await redis.cluster('INFO')
      const known = await redis.cluster('NODES') as string
      return info.includes('cluster_state:ok') && known.split('\n').filter(
        line => line.includes('connected') && !line.includes('handshake')
      ).length === 4 &&
        known.includes(`slave ${id}`)
    })
  }
  await until(async () => (await replica.redis.info('replication')).includes('master_link_status:up'))
  return {
    options: { url: `redis://${HOST}:${second.port}`, redis: { cluster: true } },
    masters,
    replica,
    async masterOf (key) {
      const slot = await first.redis.cluster('KEYSLOT', key)
      return masters[SLOTS.findIndex(([, last]) => slot <= last)]!
    }
  }
}

async function startNode (t: Pick<Owner, 'teardown'>, parent: string): Promise<TestNode> {
  const port = await freePort()
  const folder = join(parent, String(port))
  mkdirSync(folder)
  const child = spawn(
    'redis-server',
    [
      '--port', String(port), '--bind', HOST, '--cluster-enabled', 'yes', '--cluster-port', String(await freePort()),
      '--cluster-node-timeout', '20000', '--repl-diskless-sync-delay', '0', '--save', '', '--appendonly', 'no',
      '--dir', folder
    ],
    { stdio: 'ignore' }
  )
  const exit = once(child, 'exit')
  const redis = new Redis({ host: HOST, port, retryStrategy: () => 10, maxRetriesPerRequest: null })
  redis.on('error', () => {}) // until it listens
  const kill = async (): Promise<void> => {
    redis.disconnect()
    child.kill('SIGKILL')
    await exit
  }
  t.teardown(kill)
  await Promise.race([redis.ping(), exit.then(() => { throw new Error('redis-server has exited') })])
  return { port, redis, child, kill }
}

async function busPort (redis: Redis): Promise<string> {
  const [, value] = await redis.config('GET', 'cluster-port') as [string, string]
  return value
}
