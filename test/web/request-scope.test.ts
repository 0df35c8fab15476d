// Responses that are written directly, as by a hijacked reply or a middleware, on plain HTTP/1.1 and HTTP/2 servers.
import { createServer as createHttp2Server } from 'node:http2'
import { once } from 'node:events'
import type { RequestListener, ServerResponse } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { createStore, type Collection, type KeyLock, type Store } from '../../src/index.js'
import { storeForResponse } from '../../src/web/request-scope.js'
import { overHttp1, overHttp2, serve as serveHttp1, type Client } from '../support/request-scope.js'
import { until } from '../support/until.js'

type Listener = (request: { url?: string | undefined }, response: ServerResponse) => void

const transports: Record<string, (t: Test, listener: Listener) => Promise<Client>> = {
  'HTTP/1.1': async (t, listener) => await overHttp1(t, listener as RequestListener),
  'HTTP/2': async (t, listener) => {
    const server = createHttp2Server((request, response) => {
      listener(request, response as unknown as ServerResponse)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => { server.close() })
    return overHttp2(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  }
}

for (const [name, serve] of Object.entries(transports)) {
  t.test(`${name}: writes to the response wait for the commit`, async t => {
    const store = createStore('memory:')
    t.teardown(() => store.close())
    const jobs: Collection<string> = store.collection('jobs')
    /** Whether the lock is lost before the response is sent. */
    let isLost = false
    let told = ''
    const hold = async (scoped: Store, change: string): Promise<KeyLock<string>> => {
      const lock = await scoped.collection<string>('jobs').acquire('key')
      lock.set(change)
      if (isLost) await jobs.breakLock('key')
      return lock
    }
    const routes: Record<string, (store: Store, response: ServerResponse) => Promise<unknown>> = {
      '/stream': async (store, response) => {
        await hold(store, 'stream')
        response.writeHead(200, { 'x-of': 'the handler' })
        t.strictSame([response.headersSent, response.writableEnded], [true, false], 'the handler sees the head as sent')
        t.equal(response.write('a'), false)
        if (!isLost) await once(response, 'drain')
        t.equal(await jobs.get('key', { timeout: 0 }), isLost ? 'changed later' : 'stream')
        await new Promise<void>(resolve => { response.write('b', () => { resolve() }) })
        response.end('c')
      },
      '/end': async (store, response) => {
        await hold(store, 'end')
        response.setHeader('content-length', 1)
        response.setHeader('etag', '"of what is not sent"')
        response.flushHeaders()
        response.end('x')
        t.strictSame([response.headersSent, response.writableEnded], [true, true])
      },
      '/failure': async (store, response) => { await hold(store, 'failure'); response.writeHead(503).end('no') },
      '/changed-later': async (store, response) => {
        response.write('begun, ')
        await hold(store, 'changed later')
        response.end('done')
      },
      '/detached': async (store, response) => {
        await store.collection('jobs').acquire('detached', { detached: true, lease: 100 })
        response.end(told)
      },
      '/detached-hang': async (store, response) => {
        await store.collection('jobs').acquire('hung', { detached: true, lease: 100 })
        await once(response, 'close')
        response.end('done')
      }
    }
    const { get } = await serve(t, ({ url }, response) => {
      routes[url!]!(storeForResponse(store, response), response).catch(t.threw)
    })

    t.strictSame(await get('/changed-later'), [200, 'begun, done'])
    t.equal(await jobs.get('key', { timeout: 0 }), 'changed later', 'changes after the first write are committed')
    isLost = true
    const warned = once(process, 'warning')
    await t.rejects(get('/changed-later'), 'the body is cut off if that commit fails')
    t.match(await warned, [{ code: 'STORE_LOCK_LOST' }])
    for (const path of ['/stream', '/end']) {
      const [status, body] = await get(path)
      t.equal(status, 409, path)
      t.match(JSON.parse(body), { statusCode: 409, code: 'STORE_LOCK_LOST', error: 'Conflict' })
    }
    isLost = false
    t.strictSame(await get('/stream'), [200, 'abc'])
    t.strictSame(await get('/end'), [200, 'x'])
    t.equal(await jobs.get('key', { timeout: 0 }), 'end')
    t.strictSame(await get('/failure'), [503, 'no'])
    t.equal(await jobs.get('key'), 'end')

    told = 'the token'
    t.strictSame(await get('/detached'), [200, told])
    t.match(await store.locks(), [{ key: 'detached' }], 'a detached lock is kept if the client gets the response')
    const controller = new AbortController()
    const answer = get('/detached-hang', controller.signal)
    await until(async () => (await store.locks()).length === 2)
    controller.abort()
    await t.rejects(answer)
    await until(async () => (await store.locks()).length === 1)
  })
}

t.test('when a client disconnects, its queued requests end as well', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const waiting: Array<() => void> = []
  const url = await serveHttp1(t, (_, response) => {
    storeForResponse(store, response).collection('c').acquire(String(waiting.length)).catch(t.threw)
    waiting.push(() => { response.end('done') })
  })
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n'.repeat(3))
  await until(async () => (await store.locks()).length === 3)
  waiting[1]!() // held back until the first response has been sent
  socket.destroy()
  await until(async () => (await store.locks()).length === 2)
  waiting[0]!()
  waiting[2]!()
  await until(async () => (await store.locks()).length === 0)
})

t.test('a response gets one set of listeners, however often its store is used', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const { get } = await overHttp1(t, (_, response) => {
    for (let i = 0; i < 20; i++) storeForResponse(store, response).collection('c').get('key').catch(t.threw)
    response.end(String(response.listenerCount('close')))
  })
  t.ok(Number((await get('/'))[1]) <= 3)
})
