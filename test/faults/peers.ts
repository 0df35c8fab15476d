// Attack: connections that break every rule, while a worker goes on with its work.
import assert from 'node:assert/strict'
import { PROTOCOL_VERSION } from '../../src/engines/socket/protocol.js'
import type { SocketServer } from '../../src/engines/socket/server.js'
import { createStore } from '../../src/index.js'
import { fork, type TestWorker } from '../support/cluster.js'
import { until } from '../support/until.js'
import { quantiles, type Attack } from './attack.js'
import type { Assault, Program } from './hostile.js'

const PROGRAM = new URL('./hostile.js', import.meta.url).href

/** The server of this process, which nobody outside needs to see. */
export function serverOf (process: object): SocketServer {
  const { engine } = (process as Record<symbol, { engine: { server: SocketServer } }>)[Symbol.for(`strong-store.cluster.${PROTOCOL_VERSION}`)]!
  return engine.server
}

export const peers: Attack = async ({ seed, rounds, secondsLeft, owner }) => {
  const store = createStore()
  const [worker, hostile] = await Promise.all([fork(owner), fork(owner)])
  await worker.run(({ store }) => store.collection('victim').set('key', 'kept'))
  const server = serverOf(globalThis)
  const { path, token } = await server.address()
  const { peers } = server
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
    most = Math.max(most, process.memoryUsage().rss)
  }
  const counts = await assault
  await until(() => server.peers === peers, 30)
  // What was taken rightly by the protocol may stay: locks that have nothing but a lease.
  for (const { collection, key, expiresAt } of await store.locks()) {
    assert.ok(expiresAt !== undefined, `${collection} ${key} is locked for ever`)
    await store.collection(collection).breakLock(key)
  }
  for (const { name, waiters } of await store.collections()) {
    assert.equal(waiters, 0, `somebody still waits in ${name}`)
    if (name !== 'victim') await store.collection(name).clear()
  }
  assert.equal(await worker.run(({ store }) => store.collection('victim').get('key')), 'kept')
  const after = await worker.run(work, 500)
  hostile.worker.disconnect()
  worker.worker.disconnect()
  await Promise.all([hostile.exited, worker.exited])
  return {
    assaults: Object.values(counts).reduce((sum, count) => sum + count, 0),
    'a call of others, median/p99 µs, before': quantiles(before),
    'a call of others, during': quantiles(during),
    'a call of others, after': quantiles(after),
    'memory of the primary at most, MB': Math.round(most / 1e6)
  }
}

/** Microseconds that each of some calls takes; what they give has to be right. */
async function work ({ store }: Tools, calls: number): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < calls; i++) {
    const start = process.hrtime.bigint()
    if (await store.collection('victim').get('key') !== 'kept') throw new Error('the value is gone')
    times.push(Number(process.hrtime.bigint() - start) / 1000)
  }
  return times
}

async function assail (_: Tools, program: string, assault: Assault): Promise<Record<string, number>> {
  const { assail } = await import(program) as Program
  return await assail(assault)
}

type Tools = Parameters<Parameters<TestWorker['run']>[0]>[0]
