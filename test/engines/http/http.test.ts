// What is specific to stores over HTTP. contract.test.ts runs the contract.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import t from 'tap'
import strongStore, { createStore } from '../../../src/index.js'
import { READ_TOKEN, TOKEN, serveAdmin } from '../../support/admin.js'
import { fork } from '../../support/cluster.js'
import { until } from '../../support/until.js'

const store = createStore('memory:')
const { origin } = await serveAdmin(t, store)
const url = `${origin}/_store/v1`
t.teardown(() => store.close())

t.test('createStore returns one store per URL and token, until it is closed', async t => {
  const remote = createStore({ url, token: TOKEN })
  t.equal(createStore({ url, token: TOKEN }), remote)
  t.not(createStore({ url: `${url}/`, token: TOKEN }), remote)
  t.not(createStore({ url, token: READ_TOKEN }), remote)
  await remote.collection('c').set('k', 1)
  await remote.close()
  await t.rejects(remote.collection('c').get('k'), { code: 'STORE_CLOSED' })
  const again = createStore({ url, token: TOKEN })
  t.equal(await again.collection('c').get('k'), 1)
  await again.close()
  for (const options of ['ftp://x', 'http://', 'http:// x', { url, maxValueBytes: 5 }]) {
    t.throws(() => createStore(options), { code: 'STORE_OPTION_INVALID' })
  }
})

t.test('a lock that was granted after a wait longer than its lease is held for its full lease', async t => {
  const remote = createStore({ url, token: TOKEN })
  t.teardown(() => remote.close())
  const before = await store.collection('waits').acquire('key')
  const start = Date.now()
  const wait = remote.collection('waits').acquire('key', { lease: 3 })
  await until(() => Date.now() - start > 3100)
  await before.release()
  const lock = await wait
  lock.set('kept')
  await remote.collection('waits').get('other')
  t.equal(lock.held, true)
  await lock.release()
  t.equal(await store.collection('waits').get('key'), 'kept')
})

t.test('a wrong URL or token rejects calls, and is not a miss', async t => {
  const other = createServer(
    (_, response) => {
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"message":"Route not found"}')
    }
  )
  await new Promise<void>(resolve => { other.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { other.close() })
  for (const [options, message] of [
    [{ url: `http://127.0.0.1:${(other.address() as AddressInfo).port}/_store/v1`, token: TOKEN }, /answered with 404/],
    [{ url: `${origin}/elsewhere`, token: TOKEN }, /answered with 404/],
    [{ url, token: 'wrong' }, /answered with 401 ADMIN_TOKEN_WRONG, .*createStore.* requires a token/],
    [{ url }, /answered with 401/],
    [{ url: 'http://127.0.0.1:1/', token: TOKEN }, /ECONNREFUSED/]
  ] as const) {
    const remote = createStore(options)
    const errors: string[] = []
    remote.on('error', error => { errors.push(error.message) })
    await t.rejects(remote.collection('c').get('k'), { code: 'STORE_UNREACHABLE', message })
    await t.rejects(remote.collection('c').set('k', 1), { code: 'STORE_UNREACHABLE', message })
    await t.rejects(remote.collection('c').has('k'), { code: 'STORE_UNREACHABLE', message })
    t.match(errors, [message, message, message])
    await remote.close()
  }
  const reader = createStore({ url, token: READ_TOKEN })
  await store.collection('c').set('k', 'there')
  t.equal(await reader.collection('c').get('k'), 'there')
  await t.rejects(reader.collection('c').set('k', 1), { code: 'STORE_UNREACHABLE', message: /ADMIN_READ_ONLY/ })
  await t.rejects(reader.collection('c').acquire('k'), { code: 'STORE_UNREACHABLE' })
  await reader.close()
})

t.test('when the server exits, pending calls fail, later calls report it, and the store recovers', async t => {
  const sockets = new Set<{ destroy (): void }>()
  let asked = 0
  const flaky = createServer((request, response) => {
    if (request.url!.endsWith('/stats')) {
      response.setHeader('content-type', 'application/json').end('{"maxValueBytes":1000}')
    } else asked++
  }).on('connection', socket => { sockets.add(socket) })
  await new Promise<void>(resolve => { flaky.listen(0, '127.0.0.1', resolve) })
  const remote = createStore({ url: `http://127.0.0.1:${(flaky.address() as AddressInfo).port}`, token: TOKEN })
  await remote.stats()
  await t.rejects(
    remote.collection('c').set('k', 'x'.repeat(1000)), { code: 'STORE_VALUE_TOO_LARGE' }, 'the limit of the server'
  )
  const calls = [
    remote.collection('c').get('a'), remote.collection('c').set('b', 1), remote.collection('c').acquire('c')
  ]
  const codes = Promise.all(
    calls.map(call => (call as Promise<unknown>).then(() => 'none', error => error.code as string))
  )
  await until(() => asked === 1)
  for (const socket of sockets) socket.destroy()
  t.strictSame(await codes, Array(3).fill('STORE_DISCONNECTED'))
  flaky.close()
  await t.rejects(remote.collection('c').get('k'), { code: 'STORE_UNREACHABLE' })
  await remote.close()
})

t.test('a lock without a lease is renewed until it is released or its store is closed', async t => {
  const worker = await fork(t)
  await worker.run(async ({ strongStore, kept }, url, token) => {
    kept.remote = strongStore.createStore({ url, token })
    kept.lock = await kept.remote.collection('held').acquire('key')
  }, url, TOKEN)
  const first = (await store.collection('held').lockInfo('key'))!
  t.ok(first.expiresAt!.getTime() > Date.now())
  const renewed = await until(async () => {
    const info = (await store.collection('held').lockInfo('key'))!
    return info.expiresAt! > first.expiresAt! && info
  })
  t.equal(renewed.fence, first.fence)
  t.equal(await worker.run(({ kept }) => kept.lock.expiresAt), undefined)
  await worker.run(async ({ kept }) => {
    kept.lock.set('done')
    kept.second = await kept.remote.collection('held').acquire('other')
    await kept.lock.release()
  })
  t.equal(await store.collection('held').get('key'), 'done')
  t.ok(await store.collection('held').lockInfo('other') !== undefined)
  await worker.run(({ kept }) => kept.remote.close())
  t.strictSame(await store.locks(), [], 'close releases the locks')
})

t.test('a lock is renewed while its release waits for earlier calls', async t => {
  const app = Fastify()
  let resume: (() => void) | undefined
  app.addHook('onRequest', async request => { // before the admin API reads the long value
    if (Number(request.headers['content-length']) > 10_000) await new Promise<void>(resolve => { resume = resolve })
  })
  await app.register(strongStore, { store, admin: { token: TOKEN } })
  const remote = createStore({ url: `${await app.listen({ port: 0, host: '127.0.0.1' })}/_store/v1`, token: TOKEN })
  t.teardown(async () => {
    await remote.close()
    await app.close()
  })
  const collection = remote.collection('queued')
  const lock = await collection.acquire('key')
  const earlier = collection.set('earlier', 'x'.repeat(10_000))
  await until(() => resume !== undefined)
  lock.set('done')
  const released = lock.release()
  const expiry = async (): Promise<Date | undefined> =>
    (await store.collection('queued').lockInfo('key'))?.expiresAt
  const first = (await expiry())!
  await until(async () => (await expiry())! > new Date(first.getTime() + 2000))
  resume!()
  await Promise.all([earlier, released])
  t.equal(await store.collection('queued').get('key'), 'done')
  t.equal(await expiry(), undefined)
})

t.test('a lock owner notices that its lock was broken', async t => {
  const remote = createStore({ url, token: TOKEN })
  for (const options of [{}, { lease: 100 }, { lease: 100, detached: true }]) {
    const lock = await remote.collection('broken').acquire('key', options)
    const lost = new Promise(resolve => { lock.signal.addEventListener('abort', resolve) })
    t.equal(await store.collection('broken').breakLock('key'), true)
    await lost
    await t.rejects(lock.release(), { code: 'STORE_LOCK_LOST' })
  }
  await remote.close()
})

t.test('a lock is released even if the request to release it was lost', async t => {
  const app = Fastify({ forceCloseConnections: true })
  let lost = 0
  app.addHook('onRequest', async (request, reply) => {
    if (lost === 0 || !request.url.endsWith('/calls')) return
    lost--
    reply.hijack()
    request.raw.destroy()
  })
  await app.register(strongStore, { store, admin: { token: TOKEN } })
  const remote = createStore({ url: `${await app.listen({ port: 0, host: '127.0.0.1' })}/_store/v1`, token: TOKEN })
  t.teardown(async () => {
    await remote.close()
    await app.close()
  })
  const collection = remote.collection('unreleased')
  const isFree = async (): Promise<boolean> => await store.collection('unreleased').lockInfo('key') === undefined
  for (const change of [undefined, 'changed']) {
    const lock = await collection.acquire('key')
    if (change !== undefined) lock.set(change)
    lost = 1
    await t.rejects(lock.release(), { code: 'STORE_DISCONNECTED' })
    await until(isFree)
  }
  t.equal(await store.collection('unreleased').get('key'), undefined, 'a change is not repeated')
  const lock = await collection.acquire('key')
  lost = 1
  await lock.release({ confirm: false })
  await until(isFree)
  lost = 1
  await t.rejects(collection.acquire('key'), { code: 'STORE_DISCONNECTED' })
  await until(isFree)
  t.equal(lost, 0)
})

t.test('many calls on one key keep their order, and waits do not block others', async t => {
  const remote = createStore({ url, token: TOKEN })
  const order = remote.collection<number>('order')
  const lock = await order.acquire('key')
  const waits = Array.from({ length: 100 }, (_, i) => order.set('key', i))
  const read = order.get('key')
  await until(async () => (await store.collection('order').lockInfo('key'))?.waiters === 101)
  t.equal(await order.get('other'), undefined)
  await lock.release()
  const versions = await Promise.all(waits)
  t.strictSame(versions, versions.slice().sort((a, b) => a - b))
  t.equal(await read, 99)
  await remote.close()
})
