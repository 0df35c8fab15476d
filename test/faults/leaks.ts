// Attacks, one per engine that crosses processes: operations are repeated; heap and handles of primary and worker must
// not grow, and nothing may be left on the server.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify from 'fastify'
import { writeControl, writeHello, NAME, type Target } from '../../src/engines/socket/protocol.js'
import { createStore, strongStore, type Store, type StoreOptions } from '../../src/index.js'
import { TOKEN, serveAdmin } from '../support/admin.js'
import { fork, type TestWorker } from '../support/cluster.js'
import { fill, limitedServer } from '../support/redis.js'
import { until } from '../support/until.js'
import type { Attack, Figures, Order, Owner } from './attack.js'
import { heap } from './heap.js'
import { serverOf } from './peers.js'

const AT_ONCE = 500
const MOST = 1_000_000

/** Runs `times` operations at once, in the process of the given store. Sent to a worker as text. */
const HABITS: Record<string, (store: Store, times: number) => Promise<void>> = {
  async 'missing reads' (store, times) {
    const from = Date.now() // different names in each run
    await Promise.all(
      Array.from({ length: times }, (_, i) => store.collection(`leaks ${(from + i) % 2000}`).get(`key ${from} ${i}`))
    )
  },
  async 'lock cycles' (store, times) {
    const leaks = store.collection('leaks')
    await Promise.all(Array.from({ length: times }, async (_, i) => {
      const lock = await leaks.acquire(`key ${i}`, i % 2 === 0 ? {} : { lease: 100 })
      await lock.release()
    }))
  },
  async 'aborted waits' (store, times) {
    const leaks = store.collection('leaks')
    const controllers = Array.from({ length: times }, () => new AbortController())
    const waits = Promise.allSettled(controllers.map(({ signal }, i) =>
      i % 2 === 0 ? leaks.acquire('locked', { signal, timeout: 100 }) : leaks.get('locked', { signal })
    ))
    for (const controller of controllers.slice(0, times / 2)) controller.abort()
    await leaks.get('free') // after this, the others are waiting
    for (const controller of controllers) controller.abort()
    await waits
    await leaks.get('free')
  },
  async 'watches and subscriptions' (store, times) {
    const leaks = store.collection('leaks')
    await Promise.all(Array.from({ length: times }, async (_, i) => {
      const watch = leaks.watch({ key: `key ${i}` })
      const subscription = store.channel(`leaks ${i}`).subscribe()
      await watch.next()
      const next = i % 2 === 0 ? watch.next() : undefined // waits in the store, or is about to
      await Promise.all([watch.return(), subscription.return(), next])
    }))
  },
  async 'timed-out waits' (store, times) {
    const leaks = store.collection('leaks')
    await Promise.allSettled(Array.from({ length: times }, () => leaks.acquire('locked', { timeout: 0.001 })))
  }
}

/** The store under attack. */
interface Place {
  options: StoreOptions
  /** Opens and closes this many connections. */
  connect (times: number): Promise<unknown>
  /** Throws if anything is left on the server. */
  check? (): Promise<void>
}

export const leaks = over(async () => {
  const store = createStore()
  await store.stats()
  const server = serverOf(globalThis)
  const address = await server.address()
  return {
    options: {},
    connect: async times => {
      const { peers } = server
      for (let i = 0; i < times; i += 50) {
        await Promise.all(Array.from({ length: 50 }, (_, j) => visit(address, j % 2 === 0)))
      }
      await until(() => server.peers === peers, 30)
    }
  }
})

/** With only the permissions listed in docs/redis.md, among data of another application. */
export const leaksOfRedis = over(async owner => {
  const { options, redis } = await limitedServer(owner, 'functions')
  await fill(redis)
  const theirs = await redis.dbsize()
  const clients = async (): Promise<number> => Number(/connected_clients:(\d+)/.exec(await redis.info('clients'))![1])
  return {
    options,
    connect: async times => {
      const before = await clients()
      await reconnect(() => options, times)
      await until(async () => await clients() === before, 30)
    },
    check: async () => {
      assert.ok(
        (await redis.dbsize()) - theirs < 20, `${(await redis.keys('strong-store:*')).slice(0, 50).join()} are left`
      )
    }
  }
})

export const leaksOfHttp = over(async owner => {
  const store = createStore('memory:')
  owner.teardown(() => store.close())
  // Idle connections would distort the comparison of handles, so they are closed.
  const { origin } = await serveAdmin(owner, store, {}, { keepAliveTimeout: 5000 })
  const options = { url: `${origin}/_store/v1`, token: TOKEN }
  const others = (): StoreOptions => ({ ...options, http: { headers: {} } }) // equal options share an engine
  return { options, connect: async times => { await reconnect(others, times) } }
})

/** Opens and closes stores, some with a lock, a wait and a call in progress. */
async function reconnect (options: () => StoreOptions, times: number): Promise<void> {
  for (let i = 0; i < times; i += 50) {
    await Promise.all(Array.from({ length: 10 }, async (_, j) => {
      const store = createStore(options())
      const visits = store.collection('leaks visits')
      await visits.acquire(`key ${j}`)
      const calls = Promise.allSettled([visits.get(`key ${j}`), visits.set('key', j)])
      await store.close()
      await calls
    }))
  }
}

function over (open: (owner: Owner) => Promise<Place>): Attack {
  return async order => await attack(order, await open(order.owner))
}

async function attack ({ rounds, secondsLeft, owner }: Order, { options, connect, check }: Place): ReturnType<Attack> {
  const store = createStore(options)
  owner.teardown(() => options.url !== undefined && store.close())
  const worker = await fork(owner)
  await worker.run(({ strongStore, kept }, options) => { kept.store = strongStore.createStore(options) }, options)
  const lock = await store.collection('leaks').acquire('locked')
  const figures: Figures = {}
  const most = Math.min(rounds, MOST)
  let left = Object.keys(HABITS).length + 2

  /** Repeats an operation `most` times or until the time is up, and compares. */
  const watch = async (name: string, habit: (times: number) => Promise<unknown>): Promise<void> => {
    await habit(Math.min(most, 2 * AT_ONCE)) // compiles and creates what is created only once
    await habit(AT_ONCE)
    const before = await settled()
    const handles = process.getActiveResourcesInfo().length
    const start = Date.now()
    const end = start + secondsLeft() / left-- * 1000
    let times = 0
    for (; times < most && Date.now() < end; times += AT_ONCE) await habit(AT_ONCE)
    const pace = Math.round(times / (Date.now() - start) * 1000)
    const compare = async (): Promise<boolean> => {
      const after = await both()
      const grown = after.map((kilobytes, i) => kilobytes - before[i]!)
      figures[name] = `${times}, ${pace} a second, heap of the primary ${signed(grown[0]!)} KB, of the worker ${signed(grown[1]!)} KB`
      return (
        grown.every(kilobytes => kilobytes < 1000 + times / 1000) && process.getActiveResourcesInfo().length <= handles
      )
    }
    // Objects of HTTP and finalizers take several event loop iterations to be freed.
    await until(compare, 20).catch(() => {
      throw new Error(`${name}: ${figures[name]}, ${handles} handles before, now ${resources()}`)
    })
  }
  const both = async (): Promise<number[]> => {
    await new Promise(resolve => { setTimeout(resolve, 100) })
    return [heap(), await worker.run(measure, HEAP)]
  }
  const settled = async (): Promise<number[]> => {
    for (let last = await both(); ;) {
      const next = await both()
      if (next.every((kilobytes, i) => last[i]! - kilobytes < 50)) return next
      last = next
    }
  }

  for (const [name, habit] of Object.entries(HABITS)) {
    const text = habit.toString().replace(/^async '[^']*' ?/, 'async function ')
    await watch(name, times => worker.run(indulge, text, times))
  }
  await lock.release()
  assert.deepEqual((await store.locks()), [])

  const app = Fastify()
  await app.register(strongStore, { store })
  app.post('/:key', async (request, reply) => {
    const { key } = request.params as { key: string }
    const lock = await request.store.collection<number>('leaks').acquire(key)
    lock.set((lock.get() ?? 0) + 1)
    if (Number(key) % 2 === 0) return await reply.send({ value: lock.get() }) // released by the end of the response
    await lock.release()
    throw new Error('on purpose')
  })
  await watch('requests through the plugin', async times => {
    await Promise.all(Array.from({ length: times }, (_, i) => app.inject({ method: 'POST', url: `/${i % 10}` })))
    await turn() // inject() keeps the last request until the next one
  })
  await app.close()

  await watch('connections', connect)
  await store.collection('leaks').clear()
  await store.collection('leaks visits').clear()
  await check?.()
  worker.worker.disconnect()
  await worker.exited
  return figures
}

/** The number of resources of each type. */
function resources (): string {
  const counts = new Map<string, number>()
  for (const type of process.getActiveResourcesInfo()) counts.set(type, (counts.get(type) ?? 0) + 1)
  return Array.from(counts, ([type, count]) => `${count} ${type}`).join(', ')
}

type Tools = Parameters<Parameters<TestWorker['run']>[0]>[0]

async function indulge ({ kept }: Tools, text: string, times: number): Promise<void> {
  // eslint-disable-next-line no-eval -- the text of a function above
  const habit = (0, eval)(`(${text})`) as (store: Store, times: number) => Promise<void>
  await habit(kept.store, times)
}

const HEAP = new URL('./heap.js', import.meta.url).href

async function measure (_: Tools, room: string): Promise<number> {
  const { heap } = await import(room) as { heap (): number }
  return heap()
}

/** Connects, sends a hello, and disconnects, cleanly or not. */
async function visit ({ path, token }: { path: string, token: string }, isPolite: boolean): Promise<void> {
  const paper: Target & { buffer: Buffer, used: number } = {
    buffer: Buffer.alloc(200), used: 0, reserve () {}, commit (size) { this.used += size }
  }
  writeHello(paper, token, 'visitor')
  writeControl(paper, NAME, 0, 0, 'leaks')
  const socket = connect(path)
  socket.on('error', () => {})
  socket.resume()
  const closed = once(socket, 'close')
  await once(socket, 'connect')
  socket.write(paper.buffer.subarray(0, paper.used))
  if (isPolite) socket.end()
  else socket.destroy()
  await closed
}

function signed (kilobytes: number): string {
  return kilobytes < 0 ? String(kilobytes) : `+${kilobytes}`
}
