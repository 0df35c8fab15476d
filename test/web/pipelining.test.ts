// Locks of responses that are ended but not sent: they wait for an earlier response of their connection, or for a
// client that does not read.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import express from 'express'
import session from 'express-session'
import fastify from 'fastify'
import t, { type Test } from 'tap'
import { createStore, type Store } from '../../src/index.js'
import { expressStore } from '../../src/web/express.js'
import { strongStore } from '../../src/web/fastify.js'
import { SessionStore } from '../../src/adapters/session.js'
import { until } from '../support/until.js'

const BIG = 'x'.repeat(20_000_000)

/** Sends requests at once, on one connection. */
async function pipeline (t: Test, port: number, ...heads: string[]): Promise<{ socket: Socket, text: () => string }> {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => { socket.destroy() })
  await once(socket, 'connect')
  let text = ''
  socket.on('data', chunk => { text += String(chunk) })
  socket.write(heads.map(head => `GET ${head}\r\nhost: localhost\r\n\r\n`).join(''))
  return { socket, text: () => text }
}

/** A server with these routes: the port, and when the handler of `/wait` may go on. */
const servers: Record<string, (t: Test, store: Store, go: Promise<void>) => Promise<number>> = {
  async fastify (t, store, go) {
    const app = fastify()
    await app.register(strongStore, { store })
    app.get('/wait', async () => { await go })
    app.get('/then', async ({ store }) => {
      await go
      await store.collection('c').acquire('key')
      return 'then'
    })
    app.get('/lock', async ({ store }) => {
      await store.collection('c').acquire('key')
      return 'lock'
    })
    app.get('/big', async ({ store }) => {
      await store.collection('c').acquire('key')
      return BIG
    })
    t.teardown(() => app.close())
    await app.listen({ port: 0, host: '127.0.0.1' })
    return (app.server.address() as AddressInfo).port
  },
  async express (t, store, go) {
    const app = express()
    app.use(expressStore({ store }))
    app.get('/wait', async (_request, response) => {
      await go
      response.end('wait')
    })
    const lock = (path: string, before: () => Promise<void>, body: string): void => {
      app.get(path, async ({ store }, response) => {
        await before()
        await store.collection('c').acquire('key')
        response.end(body)
      })
    }
    lock('/then', () => go, 'then')
    lock('/lock', async () => {}, 'lock')
    lock('/big', async () => {}, BIG)
    const server = createServer(app).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    return (server.address() as AddressInfo).port
  }
}

for (const [name, serve] of Object.entries(servers)) {
  t.test(`${name}: a lock ends with its response, whenever that is sent`, async t => {
    const store = createStore('memory:')
    t.teardown(() => store.close())
    let go = (): void => {}
    const port = await serve(t, store, new Promise(resolve => { go = resolve }))
    const locks = async (): Promise<number> => (await store.locks()).length
    const isFree = async (): Promise<void> => {
      const lock = await store.collection('c').acquire('key', { timeout: 5 })
      await lock.release()
    }
    const calls = async (): Promise<number> => (await store.stats()).calls!.acquire!

    const queued = await pipeline(t, port, '/wait HTTP/1.1', '/lock HTTP/1.1')
    await until(async () => await calls() === 1 && await locks() === 0)
    await isFree()
    t.equal(queued.text(), '', 'the response waits for the first one')

    const unread = await pipeline(t, port, '/big HTTP/1.1')
    unread.socket.pause()
    await until(async () => await calls() === 3 && await locks() === 0)
    await isFree()

    const circular = await pipeline(t, port, '/then HTTP/1.1', '/lock HTTP/1.1')
    await until(async () => await calls() === 5 && await locks() === 0)
    go()
    await until(() => circular.text().includes('then') && circular.text().includes('lock'))
    await until(() => queued.text().includes('lock'))
  })
}

t.test('with locking, pipelined requests of a session do not wait for each other for ever', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const app = express()
  let delay = 100
  app.use((_request, _response, next) => {
    setTimeout(next, delay)
    delay = 0
  })
  app.use(session({
    store: new SessionStore({ store, locking: true, lease: 60 }) as session.Store,
    secret: 'secret',
    resave: false,
    saveUninitialized: false,
    genid: () => 'sid'
  }))
  app.get('/', (request, response) => {
    const { session } = request as unknown as { session: { n?: number } }
    session.n = (session.n ?? 0) + 1
    response.end(`n=${session.n}`)
  })
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const first = await pipeline(t, port, '/ HTTP/1.1')
  await until(() => first.text().includes('n=1'))
  const cookie = /set-cookie: ([^;]+)/i.exec(first.text())![1]!
  delay = 100
  const both = await pipeline(t, port, `/ HTTP/1.1\r\ncookie: ${cookie}`, `/ HTTP/1.1\r\ncookie: ${cookie}`)
  await until(() => both.text().includes('n=2') && both.text().includes('n=3'))
  t.equal((await store.collection<{ n: number }>('sessions').get('sid'))?.n, 3)
})
