// The close of an app whose clients neither finish their requests nor read its responses.
import { once } from 'node:events'
import { connect as connectHttp2, type ClientHttp2Session, type OutgoingHttpHeaders } from 'node:http2'
import { connect, type AddressInfo, type Socket } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import strongStore, { createStore, type Store } from '../../src/index.js'
import { TOKEN } from '../support/admin.js'
import { until } from '../support/until.js'

const PREFIX = '/_store/v1'
const KEY = `${PREFIX}/collections/c/keys/k`
const HEADERS = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' }

interface Serving { app: FastifyInstance, store: Store, port: number, requests: () => number }

async function serve (t: Test, options: object): Promise<Serving> {
  const store = createStore('memory:')
  const app: FastifyInstance = Fastify(options)
  let requests = 0
  app.addHook('onRequest', async () => { requests++ })
  await app.register(strongStore, { store, admin: { token: TOKEN } })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => store.close())
  return { app, store, port: (app.server.address() as AddressInfo).port, requests: () => requests }
}

/** A connection that sends this and stays open. */
async function send (
  t: Test, port: number, method: string, path: string, headers: object, body: string
): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {})
  t.teardown(() => { socket.destroy() })
  await once(socket, 'connect')
  const lines = Object.entries({ host: 'x', ...HEADERS, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
  return socket
}

function session (t: Test, port: number): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`).on('error', () => {})
  t.teardown(() => { session.destroy() })
  return session
}

const manyReads = JSON.stringify(Array(60).fill({ op: 'get', collection: 'c', key: 'large' }))
const large = (store: Store): Promise<unknown> => store.collection('c').set('large', 'x'.repeat(2 ** 20 - 2))

const CLIENTS: Record<string, (t: Test) => Promise<void>> = {
  async 'a body that stops, HTTP/1.1' (t) {
    const { app, port, requests } = await serve(t, {})
    await send(t, port, 'PUT', KEY, { 'content-length': 100 }, '"half')
    await until(() => requests() === 1)
    await app.close()
  },

  async 'a body that stops, HTTP/2' (t) {
    const { app, port, requests } = await serve(t, { http2: true })
    const stream = session(t, port).request({ ':method': 'PUT', ':path': KEY, ...HEADERS } as OutgoingHttpHeaders)
    stream.on('error', () => {}).write('"half')
    await until(() => requests() === 1)
    await app.close()
  },

  async 'a response that is not read, HTTP/1.1' (t) {
    const { app, store, port, requests } = await serve(t, {})
    await large(store)
    const socket = await send(t, port, 'POST', `${PREFIX}/calls`, { 'content-length': manyReads.length }, manyReads)
    socket.pause()
    await until(() => requests() === 1)
    await app.close()
  },

  async 'a response that is not read, HTTP/2' (t) {
    const { app, store, port, requests } = await serve(t, { http2: true })
    await large(store)
    const stream = session(t, port).request(
      { ':method': 'POST', ':path': `${PREFIX}/calls`, ...HEADERS } as OutgoingHttpHeaders
    )
    stream.on('error', () => {}).pause().end(manyReads)
    await until(() => requests() === 1)
    await app.close()
  },

  async 'a connection that the client keeps open' (t) {
    const { app, store, port } = await serve(t, {})
    const lock = await store.collection('c').acquire('k')
    const socket = await send(t, port, 'PUT', KEY, { 'content-length': 1, prefer: 'wait=60' }, '1')
    let text = ''
    socket.setEncoding('utf8').on('data', part => { text += String(part) })
    await until(async () => (await store.collection('c').lockInfo('k'))?.waiters === 1)
    await Promise.all([app.close(), once(socket, 'end')])
    t.match(text, /^HTTP\/1.1 503 [^]*the server is closing/)
    await lock.release()
  }
}

t.test('these clients do not delay the close of an app for more than a few seconds', { jobs: 5 }, async t => {
  await Promise.all(Object.entries(CLIENTS).map(([what, test]) => t.test(what, test)))
})
