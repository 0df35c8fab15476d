// Attack: connections that violate the protocol in every way, while a worker continues to work.
import assert from 'node:assert/strict'
import { PROTOCOL_VERSION } from '../../src/engines/socket/protocol.js'
import type { SocketServer } from '../../src/engines/socket/server.js'
import { createStore, type StoreOptions } from '../../src/index.js'
import { fork, type TestWorker } from '../support/cluster.js'
import { until } from '../support/until.js'
import { quantiles, type Attack, type Owner } from './attack.js'
import type { Assault, Program } from './hostile.js'
import { serveStore } from './store-process.js'

const PROGRAM = new URL('./hostile.js', import.meta.url).href

/** The socket server of this process. */
export function serverOf (process: object): SocketServer {
  const { engine } = (process as Record<symbol, { engine: { server: SocketServer } }>)[
    Symbol.for(`strong-store.cluster.${PROTOCOL_VERSION}`)
  ]!
  return engine.server
}

/** The socket to attack. */
interface Target {
  options: StoreOptions
  /** Called after the first call of a worker. */
  address (): Promise<{ path: string, token: string }>
  peers (): number | Promise<number>
  /** Memory of its process in bytes. */
  memory (): number
}

export const peers = over(async () => ({
  options: {},
  address: () => serverOf(globalThis).address(),
  peers: () => serverOf(globalThis).peers,
  memory: () => process.memoryUsage().rss
}))

export const peersOverUnix = over(async owner => {
  const { options, address, peers, memory } = await serveStore(owner)
  return { options, address: async () => address, peers, memory }
})

function over (open: (owner: Owner) => Promise<Target>): Attack {
  return async order => await attack(order, await open(order.owner))
}

async function attack (
  { seed, rounds, secondsLeft, owner }: Parameters<Attack>[0], target: Target
): ReturnType<Attack> {
  const store = createStore(target.options)
  owner.teardown(() => target.options.url !== undefined && store.close())
  const [worker, hostile] = await Promise.all([fork(owner), fork(owner)])
  await worker.run(({ strongStore, kept }, options) => {
    kept.victim = strongStore.createStore(options).collection('victim')
    return kept.victim.set('key', 'kept')
  }, target.options)
  const { path, token } = await target.address()
  const peers = await target.peers()
  await worker.run(work, 500)
  const before = await worker.run(work, 500)
  const seconds = Math.min(secondsLeft() / 1.2, 1e6)
  const course = { isOver: false }
  const assault = hostile.run(assail, PROGRAM, { path, token, seed, rounds, seconds } satisfies Assault)
  assault.finally(() => { course.isOver = true }).catch(() => {})
  let most = 0
  const during: number[] = []
  while (!course.isOver) {
    during.push(...await worker.run(work, 100))
    most = Math.max(most, target.memory())
  }
  const counts = await assault
  await until(async () => await target.peers() === peers, 30)
  // Valid calls may leave locks that end only with their lease.
  for (const { collection, key, expiresAt } of await store.locks()) {
    assert.ok(expiresAt !== undefined, `${collection} ${key} is locked without a lease`)
    await store.collection(collection).breakLock(key)
  }
  for (const { name, waiters } of await store.collections()) {
    assert.equal(waiters, 0, `calls still wait in ${name}`)
    if (name !== 'victim') await store.collection(name).clear()
  }
  assert.equal(await worker.run(({ kept }) => kept.victim.get('key')), 'kept')
  const after = await worker.run(work, 500)
  hostile.worker.disconnect()
  worker.worker.disconnect()
  await Promise.all([hostile.exited, worker.exited])
  return {
    assaults: Object.values(counts).reduce((sum, count) => sum + count, 0),
    'calls of others, median/p99 µs, before': quantiles(before),
    'calls of others, during': quantiles(during),
    'calls of others, after': quantiles(after),
    'memory of the store at most, MB': Math.round(most / 1e6)
  }
}

/** Microseconds per call; the results must be correct. */
async function work ({ kept }: Tools, calls: number): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < calls; i++) {
    const start = process.hrtime.bigint()
    if (await kept.victim.get('key') !== 'kept') throw new Error('the value is lost')
    times.push(Number(process.hrtime.bigint() - start) / 1000)
  }
  return times
}

async function assail (_: Tools, program: string, assault: Assault): Promise<Record<string, number>> {
  const { assail } = await import(program) as Program
  return await assail(assault)
}

type Tools = Parameters<Parameters<TestWorker['run']>[0]>[0]
