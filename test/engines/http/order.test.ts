// The number of requests for calls, the order in which calls take effect, and waits.
import Fastify from 'fastify'
import t from 'tap'
import strongStore, { createStore } from '../../../src/index.js'
import { until } from '../../support/until.js'

const TOKEN = 'a-token-for-tests'
const store = createStore('memory:')
let requests = 0
// Two servers that share a store, as workers do.
const apps = [1, 2].map(() => Fastify({ forceCloseConnections: true }))
const origins = await Promise.all(apps.map(async app => {
  app.addHook('onRequest', async () => { requests++ })
  await app.register(strongStore, { store, admin: { token: TOKEN, maxWait: 0.05, maxLease: 20 } })
  return await app.listen({ port: 0, host: '127.0.0.1' })
}))
const remote = createStore({ url: `${origins[0]}/_store/v1`, token: TOKEN })
t.teardown(async () => {
  await remote.close()
  for (const app of apps) await app.close()
  await store.close()
})

async function count (calls: () => Promise<unknown>): Promise<number> {
  const before = requests
  await calls()
  return requests - before
}

t.test('calls made in one turn of the event loop share a request', async t => {
  const many = remote.collection<number>('many')
  await many.set('first', 1)
  const keys = Array.from({ length: 400 }, (_, i) => `key ${i}`)
  t.equal(await count(() => many.setMany(keys.map((key, i) => [key, i]))), 1)
  t.equal(
    await count(
      async () => { t.strictSame(await many.getMany([...keys, 'none']), [...keys.map((_, i) => i), undefined]) }
    ),
    1
  )
  t.equal(await count(() => Promise.all(keys.map(key => many.get(key)))), 1)
  const found = new Map<string, number>()
  t.equal(
    await count(
      async () => { for await (const [key, value] of many.entries({ prefix: 'key' })) found.set(key, value) }
    ),
    2, 'keys, then values'
  )
  t.strictSame([...found].sort(), keys.map((key, i) => [key, i]).sort())
  t.equal(await count(() => Promise.all(keys.map(key => many.increment(key)))), 1)
  // Calls that do not fit into one request are sent in several.
  t.equal(await count(() => Promise.all([...keys, ...keys].map(key => many.get(key)))), 2)
  const large = 'x'.repeat(2 ** 20 - 2)
  const texts = remote.collection<string>('large')
  t.equal(await count(() => texts.setMany(Array.from({ length: 3 }, (_, i) => [`${i}`, large]))), 3)
  t.ok((await texts.getMany(['0', '1', '2'])).every(text => text === large))
})

t.test('calls on different keys take effect in the order they were made, unconfirmed ones included', async t => {
  const seen: string[] = []
  const other = createStore({ url: `${origins[1]}/_store/v1`, token: TOKEN })
  const writer = remote.collection<number>('order')
  const reader = other.collection<number>('order')
  const course = { isOver: false }
  const reading = (async () => {
    while (!course.isOver) {
      const y = await reader.get('y') ?? 0
      const x = await reader.get('x') ?? 0
      if (x < y) seen.push(`x ${x}, y ${y}`)
    }
  })()
  for (let i = 1; i <= 400; i++) {
    const confirm = i % 3 === 0
    const writes = [writer.set('x', i, { confirm }), writer.set('y', i, { confirm })]
    if (i % 5 === 0) await Promise.all(writes)
    if (i % 7 === 0) await new Promise(resolve => { setImmediate(resolve) })
  }
  t.equal(await writer.get('y'), 400, 'a client reads its own writes')
  course.isOver = true
  await reading
  t.strictSame(seen, [])
  await other.close()
})

t.test('stats see the calls made before them, and not those made after them', async t => {
  const counted = remote.collection<number>('counted')
  await counted.set('first', 1)
  const before = (await remote.stats()).keys
  const set = (from: number, to: number): void => {
    for (let i = from; i < to; i++) counted.set(`key ${i}`, i, { confirm: false }).catch(t.threw)
  }
  set(0, 600)
  const stats = remote.stats()
  set(600, 700)
  const later = remote.stats()
  t.equal((await stats).keys - before, 600)
  t.equal((await later).keys - before, 700)
  const fresh = createStore({ url: `${origins[1]}/_store/v1`, token: TOKEN })
  t.equal(await count(() => fresh.stats()), 1, 'a first call that asks for them is one request')
  t.equal(await count(() => Promise.all([fresh.stats({ timeout: 1 }), counted.get('first')])), 2)
  await fresh.close()
})

t.test('a wait may exceed maxWait, keeps its place in the queue, and takes effect once', async t => {
  const waits = remote.collection<number>('waits')
  const direct = store.collection<number>('waits')
  const lock = await direct.acquire('n')
  const waiting = async (count: number): Promise<unknown> => await until(
    async () => (await direct.lockInfo('n'))?.waiters === count
  )
  const calls: Array<Promise<unknown>> = []
  for (const call of [
    () => waits.increment('n'), () => waits.set('n', 10), () => waits.increment('n'), () => waits.get('n')
  ]) {
    calls.push(call())
    await waiting(calls.length)
  }
  const start = Date.now()
  await until(() => Date.now() - start > 200) // four times the server's maxWait
  await waiting(4)
  t.equal(await waits.get('other'), undefined, 'other calls are answered in the meantime')
  await lock.release()
  const results = await Promise.all(calls)
  t.strictSame([results[0], results[2], results[3]], [1, 11, 11])
  t.equal(await direct.get('n'), 11)
})

t.test('aborted and timed-out waits leave the queue, and the others stay', async t => {
  const queue = remote.collection<number>('queue')
  const direct = store.collection<number>('queue')
  const lock = await direct.acquire('k')
  const waiters = async (count: number): Promise<unknown> => await until(
    async () => ((await direct.lockInfo('k'))?.waiters ?? 0) === count
  )
  const controller = new AbortController()
  const { signal } = controller
  const stays = [queue.set('k', 1), queue.increment('k', 5)]
  const gone = [queue.set('k', 7, { signal }), queue.acquire('k', { signal }), queue.get('k', { signal })]
  const codes = Promise.all(
    gone.map(call => (call as Promise<unknown>).then(() => 'none', error => error.code as string))
  )
  await waiters(5)
  controller.abort()
  t.strictSame(await codes, ['STORE_ABORTED', 'STORE_ABORTED', 'STORE_ABORTED'])
  await t.rejects(queue.set('k', 8, { timeout: 0.05 }), { code: 'STORE_TIMEOUT' })
  await waiters(2)
  t.strictSame(
    await Promise.allSettled([queue.get('k', { timeout: 0 })]).then(([result]) => result!.status), 'rejected'
  )
  await lock.release()
  await Promise.all(stays)
  t.equal(await direct.get('k'), 6)
  t.strictSame(await store.locks(), [])
})

t.test('a disconnect cancels waits and releases locks whose grants were not received', async t => {
  const client = createStore({ url: `${origins[1]}/_store/v1`, token: TOKEN })
  const direct = store.collection<number>('hangup')
  const lock = await direct.acquire('k')
  const calls = [
    client.collection('hangup').acquire('k'), client.collection('hangup').set('k', 1),
    client.collection('hangup').get('k')
  ]
  const codes = Promise.all(
    calls.map(call => (call as Promise<unknown>).then(() => 'none', error => error.code as string))
  )
  await until(async () => (await direct.lockInfo('k'))?.waiters === 3)
  await client.close()
  t.strictSame(await codes, Array(3).fill('STORE_CLOSED'))
  await until(async () => (await direct.lockInfo('k'))?.waiters === 0)
  await lock.release()
  t.strictSame(await store.locks(), [])
})

t.test('the server rejects individual calls of a request, with details', async t => {
  const some = remote.collection<any>('refused')
  const results = await Promise.allSettled([
    some.set('a', 1), some.acquire('b', { lease: 21 }), some.increment('a'), some.set('c', 'x'.repeat(2 ** 20)),
    some.set('a', 5, { ifVersion: 1 })
  ])
  const outcomes = results.map(
    result => result.status === 'fulfilled' ? result.value as number : (result.reason as { code: string }).code
  )
  t.match(outcomes, [Number, 'STORE_OPTION_INVALID', 2, 'STORE_VALUE_TOO_LARGE', 'STORE_VERSION_MISMATCH'])
  t.match((results[1] as PromiseRejectedResult).reason.message, /expected at most 20 seconds/)
  const lock = await some.acquire('d')
  t.ok(
    (await store.collection('refused').lockInfo('d'))!.expiresAt!.getTime() < Date.now() + 20_500,
    'the default lease does not exceed maxLease'
  )
  await lock.release()
})
