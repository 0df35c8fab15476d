// Attack: a rolling upgrade. Workers of two protocol versions start, make calls and are killed in one cluster, whose
// primary has loaded both. Each version has its own store: nothing may be lost, visible to the other, or left locked.
import assert from 'node:assert/strict'
import type * as strongStore from '../../src/index.js'
import { PROTOCOL_VERSION } from '../../src/engines/socket/protocol.js'
import { fork, type TestWorker } from '../support/cluster.js'
import { copyPackage } from '../support/copies.js'
import { until } from '../support/until.js'
import { random, type Attack } from './attack.js'

const WORKERS = 4
const CALLS = 50

export const versions: Attack = async ({ seed, rounds, secondsLeft, owner }) => {
  const next = random(seed)
  const urls = [copyPackage(owner), copyPackage(owner, PROTOCOL_VERSION + 1)]
  const stores = await Promise.all(
    urls.map(async url => ((await import(`${url}index.js`)) as typeof strongStore).createStore())
  )
  owner.teardown(() => Promise.all(stores.map(store => store.close())))
  const least = [0, 0]
  const most = [0, 0]
  const figures = { workers: 0, killed: 0, calls: 0 }

  /** The life of one worker. */
  const live = async (): Promise<void> => {
    const version = next() < 0.5 ? 0 : 1
    figures.workers++
    const ends: Array<() => unknown> = []
    const worker = await fork({ threw: owner.threw, teardown: end => { ends.push(end) } })
    most[version]! += CALLS
    const done = worker.run(count, urls[version]!, CALLS)
    if (next() < 0.4) {
      const timer = setTimeout(() => { worker.kill('SIGKILL') }, next() * 150)
      await done.then(confirmed, () => { figures.killed++ })
      clearTimeout(timer)
    } else confirmed(await done)
    for (const end of ends) await end()

    function confirmed (calls: number): void {
      least[version]! += calls
      figures.calls += calls
    }
  }
  while (figures.workers < rounds && secondsLeft() > 0) await Promise.all(Array.from({ length: WORKERS }, live))

  for (const [version, store] of stores.entries()) {
    await until(async () => (await store.locks()).length === 0, 30)
    const counts = store.collection<number>('counts')
    const value = await counts.get('n') ?? 0
    assert.ok(
      least[version]! <= value && value <= most[version]!,
      `${value} calls, of which ${least[version]} were confirmed and ${most[version]} made`
    )
    assert.equal(
      await counts.get('version'), version === 0 ? urls[0] : urls[1], 'only its own workers write to a store'
    )
  }
  return figures
}

type Tools = Parameters<Parameters<TestWorker['run']>[0]>[0]

/** Increments a key under its lock `calls` times. */
async function count (_: Tools, url: string, calls: number): Promise<number> {
  const { createStore } = await import(`${url}index.js`) as typeof strongStore
  const counts = createStore().collection<number | string>('counts')
  const seen = await counts.get('version')
  if (seen !== undefined && seen !== url) throw new Error(`the store of ${seen} answers ${url}`)
  await counts.set('version', url)
  for (let i = 0; i < calls; i++) {
    const lock = await counts.acquire('n')
    lock.set((lock.get() as number | undefined ?? 0) + 1)
    await lock.release()
  }
  return calls
}
