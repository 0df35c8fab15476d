// Attacks, one per engine that crosses processes: random calls of the primary and four workers on few keys, with
// kills; the history of each key must be linearizable.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { fastify } from 'fastify'
import { setTimeout as delay } from 'node:timers/promises'
import { createStore, type StoreOptions } from '../../src/index.js'
import { TOKEN, serveAdmin } from '../support/admin.js'
import { fork, type TestWorker } from '../support/cluster.js'
import { startCluster } from '../support/redis-cluster.js'
import { fill, limitedServer, startServer } from '../support/redis.js'
import { until } from '../support/until.js'
import { random, type Attack, type Owner } from './attack.js'
import { offence, print, type Operation } from './history.js'
import { perform, read, type Plan, type Program } from './program.js'
import { serveStore } from './store-process.js'

const WORKERS = 4
const PROGRAM = new URL('./program.js', import.meta.url).href

/** The store under attack. */
interface Place {
  options: StoreOptions
  /** Lease in seconds. Without it, locks of killed processes would last long. */
  lease?: number
  /** Milliseconds for which processes are stopped: long enough to lose their locks. */
  pause?: number
  /** Disturbs servers or the environment of the store; called repeatedly during the calls. */
  disturb? (next: () => number): Promise<unknown>
  /**
   * Kills and restarts the store in the middle of every third round. If the store keeps its data, resolves with the
   * time since which changes may have been lost.
   */
  restart? (): Promise<number | undefined>
  /** The store has `data`. */
  durable?: boolean
  /** The lease of copies, in seconds. If set, event loops are blocked and connections lost. */
  near?: number
}

export const linearizability = over(async () => ({ options: {} }))

export const linearizabilityOverUnix = over(async owner => await serveStore(owner))

const NEAR = { near: 0.05, pause: 150 }

export const linearizabilityOfNear = over(async () => ({ options: {}, ...NEAR }))

export const linearizabilityOfNearOverUnix = over(async owner => ({ ...await serveStore(owner), ...NEAR }))

/** Changes confirmed some time before the kill survive it, and so do durable writes. */
export const linearizabilityOfData = over(async owner => ({ ...await serveStore(owner, true), durable: true }))

export const linearizabilityOfHttp = over(async owner => {
  const store = createStore('memory:')
  owner.teardown(() => store.close())
  const { origin } = await serveAdmin(owner, store)
  return { options: { url: `${origin}/_store/v1`, token: TOKEN }, lease: 1, pause: 1500 }
})

export const linearizabilityOfHttpWorkers = over(async owner => {
  // The workers use the store of this process, which an earlier attack may have closed.
  const primary = createStore()
  owner.teardown(() => primary.close())
  const module = import.meta.resolve('fastify')
  const start = async (): Promise<[TestWorker, string]> => {
    const worker = await fork(owner)
    return [worker, await worker.run(serve, module, TOKEN)]
  }
  const servers = [await start(), await start()]
  return {
    options: { url: `${servers[0]![1]}/_store/v1`, token: TOKEN, connectTimeout: 4 },
    lease: 2,
    disturb: async next => {
      await delay(next() * 2000)
      const i = Math.floor(next() * servers.length)
      const [server] = servers[i]!
      if (next() < 0.5) {
        server.kill('SIGSTOP')
        await delay(next() * 500)
        server.kill('SIGCONT')
      } else {
        server.kill('SIGKILL')
        await server.exited
        servers[i] = await start()
      }
    }
  }
})

/** In a worker: the admin API on a port shared by all workers. */
async function serve (
  { strongStore }: Parameters<Parameters<TestWorker['run']>[0]>[0], module: string, token: string
): Promise<string> {
  const { default: Fastify } = (await import(module)) as { default: typeof fastify }
  const app = Fastify({ pluginTimeout: 60_000 })
  await app.register(strongStore.strongStore, { admin: { token } })
  return await app.listen({ port: 0, host: '127.0.0.1' })
}

export const linearizabilityOfRedis = over(async owner => {
  const { options } = await startServer(owner)
  return { options: { ...options, redis: { life: 1 } }, pause: 1500 }
})

/**
 * With only the permissions listed in docs/redis.md, among data of another application, and with repeated flushes of
 * all scripts.
 */
export const linearizabilityOfBesetRedis = over(async owner => {
  const { options, redis } = await limitedServer(owner, 'scripts')
  await fill(redis)
  let flushes = 0
  const disturb = async (): Promise<void> => {
    await redis.script('FLUSH')
    await redis.set(`theirs ${flushes % 100}`, 'x'.repeat(10_000))
    await delay(flushes++ * 37 % 400)
  }
  return { options: { ...options, redis: { ...options.redis, life: 1 } }, pause: 1500, disturb }
})

export const linearizabilityOfRedisCluster = over(async owner => {
  const { options } = await startCluster(owner)
  return { options: { ...options, redis: { ...options.redis, life: 1 } } }
})

function over (open: (owner: Owner) => Promise<Place>): Attack {
  return async order => await attack(order, await open(order.owner))
}

async function attack (
  { seed, rounds, secondsLeft, owner }: Parameters<Attack>[0],
  { options, lease, pause, disturb, restart, durable, near }: Place
): ReturnType<Attack> {
  const store = createStore(options)
  owner.teardown(() => store.close())
  const next = random(seed)
  const folder = mkdtempSync(join(tmpdir(), 'history-'))
  owner.teardown(() => { rmSync(folder, { recursive: true }) })
  const workers = await Promise.all(Array.from({ length: WORKERS }, () => fork(owner)))
  const figures = {
    rounds: 0, calls: 0, unanswered: 0, kills: 0, pauses: 0, disturbances: 0, 'stores killed': 0, 'connections lost': 0
  }
  const counted = { hits: 0, revocations: 0 }
  /** The counters of a store are lost when it is killed. */
  const count = async (): Promise<void> => {
    const { hits, revocations } = (await store.stats()).near!
    counted.hits += hits
    counted.revocations += revocations
  }
  const course = { isOver: disturb === undefined }
  const nextHarm = random(seed + 1)
  const disturbing = (async () => {
    while (!course.isOver) {
      await disturb?.(nextHarm)
      figures.disturbances++
    }
  })()
  owner.teardown(() => { course.isOver = true })
  while (figures.rounds < rounds && secondsLeft() > 0) {
    const round = ++figures.rounds
    const plan = (name: string): Plan => ({
      seed: Math.floor(next() * 2 ** 31),
      name,
      file: join(folder, `${round} ${name}`),
      collection: `history ${seed} ${round}`,
      keys: ['a', 'b', 'c'],
      calls: near === undefined ? 100 : 300,
      lanes: near === undefined ? 3 : 2,
      near,
      lease,
      durable,
      mayLose: pause !== undefined || (restart !== undefined && round % 3 === 0)
    })
    const chosen = Math.floor(next() * WORKERS)
    const doomed = round % 2 === 0 ? chosen : -1
    const paused = round % 2 === 1 && pause !== undefined ? chosen : -1
    const own = plan('primary')
    if (near !== undefined) await store.collection(own.collection).configure({ near })
    const plans = workers.map((_, i) => plan(`worker ${i}`))
    let killed: bigint | undefined
    let wipe: { called: number, answered: number, since: number | undefined } | undefined
    await Promise.all([
      perform(store, own),
      restart !== undefined && round % 3 === 0 && (async () => {
        const lines = 20 + Math.floor(next() * 100)
        await until(() => linesOf(own.file) > lines, 30)
        if (near !== undefined) await count()
        const called = Number(process.hrtime.bigint())
        const since = await restart()
        wipe = { called, answered: Number(process.hrtime.bigint()), since }
        figures['stores killed']++
      })(),
      ...workers.map(async (worker, i) => {
        const running = worker.run(work, PROGRAM, options, plans[i]!)
        if (near !== undefined && i === (chosen + 1) % WORKERS) {
          await until(() => linesOf(plans[i]!.file) > 100, 30)
          await worker.run(({ cutConnection }) => { cutConnection() })
          figures['connections lost']++
        }
        if (i !== doomed && i !== paused) return await running
        running.catch(() => {})
        const lines = 20 + Math.floor(next() * 100)
        await until(() => linesOf(plans[i]!.file) > lines, 30)
        if (i === paused) {
          worker.kill('SIGSTOP')
          await delay(pause)
          worker.kill('SIGCONT')
          figures.pauses++
          return await running
        }
        killed = process.hrtime.bigint()
        worker.kill('SIGKILL')
        await worker.exited
        figures.kills++
      })
    ])
    const histories = new Map<string, Operation[]>()
    for (const [i, plan] of plans.entries()) read(plan, histories, i === doomed ? killed : undefined)
    read(own, histories)
    for (const [key, history] of histories) {
      if (wipe !== undefined) {
        const { since, ...times } = wipe
        const isSafe = ({ answered, durable }: Operation): boolean =>
          answered < (since ?? 0) || (durable === true && answered !== Infinity)
        for (const operation of history) operation.isCut = !isSafe(operation)
        history.push({ process: 'the store', kind: since === undefined ? 'wipe' : 'restart', ...times, result: {} })
      }
      // Reading the final state is part of the history. It waits for locks that are left.
      const called = Number(process.hrtime.bigint())
      const { value } = await until(
        () =>
          store
            .collection<number>(own.collection)
            .get(key)
            .then(
              value => ({ value }), () => false as const
            ),
        60
      )
      history.push({
        process: 'the end', kind: 'get', called, answered: Number(process.hrtime.bigint()), result: { value }
      })
      figures.calls += history.length
      figures.unanswered += history.filter(({ kind, answered }) => kind !== 'drop' && answered === Infinity).length
      const part = offence(history)
      assert.ok(part === undefined, `round ${round}, key ${key}: not linearizable\n${print(part ?? [])}`)
    }
    await until(() => store.collection(own.collection).clear().then(() => true, () => false), 60)
    if (doomed !== -1) workers[doomed] = await fork(owner)
  }
  course.isOver = true
  await disturbing
  if (near !== undefined) {
    await count()
    const { hits, revocations } = counted
    assert.ok(Math.min(hits, revocations) > figures.rounds, `${hits} hits, ${revocations} revocations`)
    Object.assign(figures, counted)
  }
  for (const { worker, exited } of workers) {
    worker.disconnect()
    await exited
  }
  return figures
}

async function work (
  { strongStore, kept }: Parameters<Parameters<TestWorker['run']>[0]>[0], program: string, options: StoreOptions,
  plan: Plan
): Promise<void> {
  const { perform } = (await import(program)) as Program
  kept.store ??= strongStore.createStore(options)
  await perform(kept.store, plan)
}

function linesOf (file: string): number {
  try {
    return readFileSync(file, 'utf8').split('\n').length
  } catch {
    return 0
  }
}
