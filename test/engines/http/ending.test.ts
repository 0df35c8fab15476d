// Unconfirmed writes that may not have arrived when a store over HTTP closes.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { createStore, type Store, type StoreError, type StoreOptions } from '../../../src/index.js'
import { READ_TOKEN, TOKEN, serveAdmin } from '../../support/admin.js'
import { until } from '../../support/until.js'

const direct = createStore('memory:')
t.teardown(() => direct.close())

/** A store over HTTP, and the codes of its 'error' events. */
function storeAt (origin: string, options: Partial<StoreOptions> = {}): { store: Store, errors: string[] } {
  const store = createStore({ url: `${origin}/_store/v1`, token: TOKEN, connectTimeout: 1, ...options })
  const errors: string[] = []
  store.on('error', ({ code }) => { errors.push(code) })
  return { store, errors }
}

function write (t: Test, store: Store, count: number): void {
  for (let i = 0; i < count; i++) store.collection('c').set(`key ${i}`, i, { confirm: false }).catch(t.threw)
}

const LOST = { code: 'STORE_UNREACHABLE', message: /; unconfirmed writes before this close are lost/ }
const MAYBE_LOST = { code: 'STORE_DISCONNECTED', message: /; unconfirmed writes before this close may be lost/ }

t.test('close delivers unconfirmed writes', async t => {
  const { origin } = await serveAdmin(t, direct)
  const { store, errors } = storeAt(origin, { connectTimeout: 60 })
  write(t, store, 2000)
  const closed = store.close()
  await Promise.all([closed, store.close()])
  t.equal(await direct.collection('c').size(), 2000)
  t.strictSame(errors, [])
  await storeAt('http://127.0.0.1:1').store.close() // nothing to deliver
})

t.test('close rejects, and an error event is emitted, if the server is down or was closed', async t => {
  const { store, errors } = storeAt('http://127.0.0.1:1')
  write(t, store, 3)
  const closed = store.close()
  await t.rejects(closed, LOST)
  await t.rejects(store.close(), LOST, 'and again')
  t.strictSame(errors, ['STORE_UNREACHABLE'])

  const server = await serveAdmin(t, direct)
  const other = storeAt(server.origin)
  await other.store.collection('c').set('before', 1)
  await server.close()
  write(t, other.store, 1000)
  await t.rejects(other.store.close(), { code: /STORE_(UNREACHABLE|DISCONNECTED)/, message: /before this close/ })
  t.ok(other.errors.length > 0)
})

t.test('close rejects if the token is wrong', async t => {
  const { origin } = await serveAdmin(t, direct)
  const { store, errors } = storeAt(origin, { token: 'wrong' })
  write(t, store, 1)
  await t.rejects(store.close(), { code: 'STORE_UNREACHABLE', message: /401 ADMIN_TOKEN_WRONG.*are lost/ })
  t.strictSame(errors, ['STORE_UNREACHABLE'])
})

t.test('close rejects within connectTimeout if the server never answers', async t => {
  const sockets: Array<{ destroy (): void }> = []
  const silent = createServer(socket => { sockets.push(socket.on('error', () => {}).resume()) }).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    silent.close()
  })
  const { store, errors } = storeAt(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`, {
    connectTimeout: 0.3
  })
  write(t, store, 3)
  await t.rejects(store.close(), LOST)
  t.strictSame(errors, ['STORE_UNREACHABLE'])
})

const SERVER = `
  import Fastify from 'fastify'
  import strongStore from ${JSON.stringify(new URL('../../../src/index.js', import.meta.url).href)}
  const app = Fastify()
  await app.register(strongStore, { url: 'memory:', admin: { token: '${TOKEN}' } })
  console.log(await app.listen({ port: 0, host: '127.0.0.1' }))`

for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
  t.test(`close rejects if the server gets ${signal}`, async t => {
    const server = spawn(process.execPath, ['--input-type=module', '-e', SERVER], {
      stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, NODE_OPTIONS: '' }
    })
    const exited = once(server, 'exit')
    t.teardown(async () => {
      server.kill('SIGKILL')
      await exited
    })
    const [origin] = await once(server.stdout, 'data') as [Buffer]
    const { store, errors } = storeAt(origin.toString().trim())
    await store.collection('c').set('before', 1)
    server.kill(signal)
    write(t, store, 200)
    await t.rejects(store.close(), signal === 'SIGSTOP' ? MAYBE_LOST : { message: /unconfirmed writes before/ })
    t.match(errors[0], /STORE_(UNREACHABLE|DISCONNECTED)/)
  })
}

t.test('close rejects after writes were lost, until calls reach the store again', async t => {
  let answers = false
  const server = createHttpServer((request, response) => {
    text(request).then(body => {
      if (!answers) response.writeHead(502).end()
      else if (request.url!.endsWith('/stats')) {
        response.setHeader('content-type', 'application/json').end('{"maxValueBytes":1000}')
      } else {
        const calls = JSON.parse(body) as Array<{ op: string }>
        const replies = calls.flatMap(({ op }, i) => op === 'get' ? [[i, {}]] : [])
        response.setHeader('content-type', 'application/x-ndjson').end(`${JSON.stringify(replies)}\n`)
      }
    }).catch(t.threw)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  for (const isBack of [false, true]) {
    answers = false
    const { store, errors } = storeAt(origin)
    write(t, store, 1)
    await until(() => errors.length > 0)
    answers = true
    if (isBack) {
      write(t, store, 1)
      // The second get is sent when the calls before it have reached the store.
      for (const key of ['a', 'b']) t.equal(await store.collection('c').get(key), undefined)
      await store.close()
    } else await t.rejects(store.close(), LOST)
  }
})

t.test('writes that the store of the server did not get are reported, those that it rejected are not', async t => {
  const behind = await serveAdmin(t, direct)
  const { store: middle } = storeAt(behind.origin)
  t.teardown(() => middle.close().catch(() => {}))
  const { origin } = await serveAdmin(t, middle)
  for (const isDown of [false, true]) {
    const { store, errors } = storeAt(origin)
    const collection = store.collection('c')
    const written = await collection.set('written', 1)
    if (isDown) await behind.close()
    await collection.set('written', 2, { confirm: false, ifVersion: written + 1 })
    await collection.set('written', 3, { confirm: false, ifAbsent: true })
    const get = collection.get('written').catch((error: StoreError) => error.code)
    if (!isDown) {
      t.equal(await get, 1)
      await store.close()
      t.strictSame(errors, [])
      continue
    }
    t.match(await get, /STORE_(UNREACHABLE|DISCONNECTED)/)
    t.match(errors, [/STORE_(UNREACHABLE|DISCONNECTED)/], 'one event')
    await t.rejects(collection.get('written'), { code: 'STORE_UNREACHABLE' }) // does not reach the store either
    await t.rejects(store.close(), { message: /unconfirmed writes before this close/ })
  }
})

t.test('close rejects if the token does not allow the writes', async t => {
  const { origin } = await serveAdmin(t, direct)
  const { store, errors } = storeAt(origin, { token: READ_TOKEN })
  t.equal(await store.collection('c').get('none'), undefined)
  write(t, store, 3)
  await t.rejects(store.close(), { code: 'STORE_UNREACHABLE', message: /ADMIN_READ_ONLY.*are lost/ })
  t.strictSame(errors, ['STORE_UNREACHABLE'])
})
