// Many event streams over HTTP/1.1, HTTP/2 and a proxy, and the close of the app that serves them.
import { createServer, get, request as send, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect, type ClientHttp2Session, type ServerHttp2Stream } from 'node:http2'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import strongStore, { createStore, type Store, type StoreError } from '../../src/index.js'
import { TOKEN } from '../support/admin.js'
import { until } from '../support/until.js'

const STREAMS = 100
const PATH = '/_store/v1/collections/items/events?values=true'
const HEADERS = { authorization: `Bearer ${TOKEN}` }

interface Serving { app: FastifyInstance, store: Store, port: number, responses: ServerResponse[] }

async function serve (t: Test, options: object = {}): Promise<Serving> {
  const store = createStore('memory:')
  const app: FastifyInstance = Fastify(options)
  const responses: ServerResponse[] = []
  app.addHook('onRequest', async (_request, reply) => { responses.push(reply.raw) })
  await app.register(strongStore, { store, admin: { token: TOKEN } })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(async () => {
    await app.close()
    await store.close()
  })
  return { app, store, port: portOf(app.server), responses }
}

function portOf (server: Pick<Server, 'address'>): number {
  return (server.address() as AddressInfo).port
}

/** An event stream over HTTP/1.1. */
async function open (port: number): Promise<{ response: IncomingMessage, text (): string }> {
  const request = get({ host: '127.0.0.1', port, path: PATH, headers: HEADERS, agent: false })
  const [response] = await once(request, 'response') as [IncomingMessage]
  let text = ''
  response.setEncoding('utf8').on('data', (part: string) => { text += part }).on('error', () => {})
  return { response, text: () => text }
}

async function waiting (store: Store): Promise<number> {
  return (await store.stats()).connections!.reduce((sum, { waiting }) => sum + waiting, 0)
}

t.test('requests that wait for a locked key end when the app closes', async t => {
  const { app, store, port } = await serve(t)
  const lock = await store.collection('items').acquire('key')
  const url = `http://127.0.0.1:${port}/_store/v1`
  const client = createStore({ url, token: TOKEN })
  t.teardown(() => client.close())
  const acquired = client.collection('items').acquire('key').catch((error: StoreError) => error)
  const put = fetch(`${url}/collections/items/keys/key`, {
    method: 'PUT', body: '1', headers: { ...HEADERS, 'content-type': 'application/json', prefer: 'wait=600' }
  })
  await until(async () => await waiting(store) === 2)
  await app.close()
  t.match(await acquired, { code: 'STORE_DISCONNECTED' })
  const response = await put
  t.equal(response.status, 503)
  t.match(await response.json(), { code: 'STORE_DISCONNECTED', detail: 'the server is closing' })
  t.equal(await waiting(store), 0)
  await lock.release()
  t.equal(await store.collection('items').get('key'), undefined)
})

t.test('a hundred streams end when the app closes', async t => {
  const { app, store, port } = await serve(t)
  const streams = await Promise.all(Array.from({ length: STREAMS }, () => open(port)))
  await store.collection('items').set('key', 1)
  for (const { text } of streams) await until(() => text().includes('"key"'))
  const ends = streams.map(({ response }) => once(response, 'end'))
  await app.close()
  await Promise.all(ends)
  await until(async () => await waiting(store) === 0)
})

t.test('a hundred streams of one HTTP/2 session end when the app closes', async t => {
  const { app, store, port } = await serve(t, { http2: true })
  const session = connect(`http://127.0.0.1:${port}`)
  session.on('error', t.threw)
  const streams = Array.from({ length: STREAMS }, () => {
    const stream = session.request({ ':path': PATH, ...HEADERS })
    const state = { stream, text: '', ended: once(stream, 'end'), connection: undefined as string | undefined }
    stream.on('response', headers => { state.connection = headers.connection })
    stream.setEncoding('utf8').on('data', (part: string) => { state.text += part })
    return state
  })
  for (const state of streams) await until(() => state.text.includes('event: ready'))
  await store.collection('items').set('key', 1)
  for (const state of streams) await until(() => state.text.includes('"key"'))
  t.equal(streams[0]!.connection, undefined)
  streams[0]!.stream.close()
  const isClosed = app.close()
  await Promise.all(streams.map(({ ended }) => ended))
  session.close()
  await isClosed
  await until(async () => await waiting(store) === 0)
})

for (const options of [{}, { http2: true }]) {
  t.test(`clients that do not read do not delay close, ${'http2' in options ? 'HTTP/2' : 'HTTP/1.1'}`, async t => {
    const { app, store, port, responses } = await serve(t, options)
    const items = store.collection('items')
    for (let i = 0; i < 100; i++) await items.set(String(i), 'x'.repeat(200_000)) // more than socket buffers hold
    let session: ClientHttp2Session | undefined
    if ('http2' in options) {
      session = connect(`http://127.0.0.1:${port}`)
      session.on('error', () => {})
      session.request({ ':path': PATH, ...HEADERS }).on('error', () => {}).pause()
    } else {
      const request = get({ host: '127.0.0.1', port, path: PATH, headers: HEADERS, agent: false })
      t.teardown(() => { request.destroy() })
      const [response] = await once(request, 'response') as [IncomingMessage]
      response.on('error', () => {}).pause()
    }
    await until(() => {
      const [response] = responses as Array<ServerResponse & { stream?: ServerHttp2Stream }>
      return (response?.stream ?? response)?.writableNeedDrain === true
    })
    const isClosed = app.close()
    session?.close() // ends with its stream
    await isClosed
    await until(async () => await waiting(store) === 0)
  })
}

t.test('streams pass through a proxy, and their calls end when the clients of the proxy disconnect', async t => {
  const { store, port } = await serve(t)
  const proxy = createServer((incoming, outgoing) => {
    const { method, url: path, headers } = incoming
    const upstream = send({ host: '127.0.0.1', port, method, path, headers, agent: false }, response => {
      outgoing.writeHead(response.statusCode!, response.headers)
      response.pipe(outgoing)
    })
    upstream.on('error', () => { outgoing.destroy() }).end()
    outgoing.on('close', () => { upstream.destroy() })
  })
  await once(proxy.listen(0, '127.0.0.1'), 'listening')
  const streams = await Promise.all(Array.from({ length: STREAMS }, () => open(portOf(proxy))))
  await store.collection('items').set('key', 1)
  for (const { text } of streams) await until(() => text().includes('"key"'))
  t.equal(await waiting(store), 1, 'all streams share one call')
  for (const { response } of streams) response.destroy()
  await until(async () => await waiting(store) === 0)
  proxy.closeAllConnections()
  await new Promise(resolve => proxy.close(resolve))
})

t.test('the memory for replies that a client does not read is bounded', async t => {
  const { store, port } = await serve(t)
  await store.collection('c').set('large', 'x'.repeat(2 ** 20 - 2))
  const ask = async (count: number): Promise<IncomingMessage> => {
    const headers = { ...HEADERS, 'content-type': 'application/json' }
    const request = send({ host: '127.0.0.1', port, method: 'POST', path: '/_store/v1/calls', headers, agent: false })
    request.end(JSON.stringify(Array(count).fill({ op: 'get', collection: 'c', key: 'large' })))
    const [response] = await once(request, 'response') as [IncomingMessage]
    return response
  }
  const codes = async (): Promise<unknown[]> => {
    const lines = (await text(await ask(3))).trim().split('\n')
    return lines.flatMap(line => JSON.parse(line) as Array<[number, { code?: string }]>).map(([, { code }]) => code)
  }
  const served = [undefined, undefined, undefined]
  t.strictSame(await codes(), served)
  const slow = await ask(300)
  t.strictSame(await codes(), [undefined, undefined, 'STORE_OVERLOADED'], 'other clients get the rest')
  slow.destroy()
  await until(async () => !(await codes()).includes('STORE_OVERLOADED'))
})
