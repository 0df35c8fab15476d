// Servers that are not an admin API, or are broken: whatever they respond, calls reject with the reason.
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { createStore, type Collection, type KeyLock, type Store, type StoreError } from '../../../src/index.js'
import { until } from '../../support/until.js'

const TOKEN = 'a-token-of-sixteen-characters'
const CALLS: Record<string, (collection: Collection<any>, store: Store) => Promise<unknown>> = {
  get: c => c.get('k'),
  entry: c => c.entry('k'),
  has: c => c.has('k'),
  set: c => c.set('k', 1),
  del: c => c.del('k'),
  touch: c => c.touch('k'),
  increment: c => c.increment('k'),
  decrement: c => c.decrement('k'),
  acquire: c => c.acquire('k'),
  release: c => c.release('k', TOKEN),
  renew: c => c.renew('k', TOKEN),
  breakLock: c => c.breakLock('k'),
  lockInfo: c => c.lockInfo('k'),
  getMany: c => c.getMany(['k', 'l']),
  keys: c => c.keys().next(),
  size: c => c.size(),
  clear: c => c.clear(),
  configure: c => c.configure({ maxKeys: 1 }),
  collections: (_, store) => store.collections(),
  locks: (_, store) => store.locks()
}

type Answer = (response: ServerResponse) => void
const lines = (text: string): Answer => response => {
  response.setHeader('content-type', 'application/x-ndjson').end(text)
}
const problem = (status: number, code?: string): Answer => response => {
  response.writeHead(status, { 'content-type': 'application/problem+json' }).end(
    JSON.stringify({ status, code, detail: 'said by the server' })
  )
}

/** For each response, the code and the message of the error. */
const ANSWERS: Record<string, [answer: Answer, code: string, message: RegExp]> = {
  'a redirect': [
    response => { response.writeHead(302, { location: 'https://login.example/' }).end() }, 'STORE_UNREACHABLE',
    /redirected \(302\) to https:\/\/login\.example\//
  ],
  'a login page': [
    response => { response.setHeader('content-type', 'text/html').end('<html>[[0,{}]]') }, 'STORE_UNREACHABLE',
    /200 text\/html, expected 200 application\/x-ndjson/
  ],
  nothing: [response => { response.writeHead(204).end() }, 'STORE_UNREACHABLE', /answered with 204/],
  'another status': [
    response => { response.writeHead(201, { 'content-type': 'application/x-ndjson' }).end('[[0,{}]]\n') },
    'STORE_UNREACHABLE', /answered with 201/
  ],
  JSON: [
    response => { response.setHeader('content-type', 'application/json').end('[[0,{}]]') }, 'STORE_UNREACHABLE',
    /200 application\/json/
  ],
  'a gateway without its server': [
    response => { response.writeHead(502, { 'content-type': 'text/html' }).end() }, 'STORE_DISCONNECTED',
    /502 text\/html/
  ],
  'a wrong token': [
    problem(401, 'ADMIN_TOKEN_WRONG'), 'STORE_UNREACHABLE',
    /401 ADMIN_TOKEN_WRONG.* requires a token of this admin API; said by the server/
  ],
  'a rate limit of the app': [problem(429), 'STORE_UNREACHABLE', /429.*said by the server/],
  'an error of the store of the server': [problem(503, 'STORE_UNREACHABLE'), 'STORE_UNREACHABLE', /said by the server/],
  'invalid JSON': [lines('nonsense\n'), 'STORE_PROTOCOL', /nonsense/],
  'JSON that is not a list': [lines('{"a":1}\n'), 'STORE_PROTOCOL', /"a":1/],
  'a list without pairs': [lines('[1]\n'), 'STORE_PROTOCOL', /\[1\]/],
  'a reply to another call': [lines('[[7,{}]]\n'), 'STORE_PROTOCOL', /7/],
  'no reply': [lines('[[0,null]]\n'), 'STORE_PROTOCOL', /null/],
  'a reply of the wrong shape': [
    lines('[[0,{"text":5,"version":"x","number":"x","expiresIn":"x"}]]\n[[0,{"code":"X"}]]\n'), 'STORE_PROTOCOL', /./
  ],
  'a body without the replies': [lines('[]\n'), 'STORE_DISCONNECTED', /ended early/],
  'an empty body': [lines(''), 'STORE_DISCONNECTED', /ended early/],
  'a truncated body': [
    response => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson', 'content-length': 100 }).write('[[0,{"te')
      setImmediate(() => response.destroy())
    },
    'STORE_DISCONNECTED', /./
  ],
  'a closed connection': [response => { response.destroy() }, 'STORE_DISCONNECTED', /./]
}

t.test('a call fails on any unexpected response, and its error says why', async t => {
  let answer: Answer = ANSWERS.nothing![0]
  const server = createServer((request, response) => {
    request.resume()
    if (request.url === '/s/stats') response.setHeader('content-type', 'application/json').end('{"maxValueBytes":1000}')
    else request.on('end', () => { answer(response) })
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  const store = createStore({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/s`, token: 'token' })
  t.teardown(async () => { await store.close(); server.close() })
  const codes: string[] = []
  store.on('error', ({ code }) => { codes.push(code) })
  for (const [what, [respond, code, message]] of Object.entries(ANSWERS)) {
    answer = respond
    for (const [name, call] of Object.entries(CALLS)) {
      // For these, an empty reply is valid.
      if (what === 'a reply of the wrong shape' && ['release', 'clear', 'configure'].includes(name)) continue
      const error = await call(store.collection('c'), store).then(
        value => ({ code: `resolved with ${String(value)}`, message: '' }), error => error as StoreError
      )
      if (error.code !== code || !message.test(error.message)) {
        t.fail(`${what}: ${name}: ${error.code} ${error.message}`)
      }
    }
    t.ok(codes.includes(code), `${what}: emits 'error'`)
    codes.length = 0
  }
})

t.test('calls to a silent server time out, and queued calls continue', async t => {
  const sockets = new Set<{ destroy (): void }>()
  let isMute = false
  let isStalled = true
  let stalls = 0
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', chunk => { body += String(chunk) }).on('end', () => {
      if (isMute) return
      if (request.url === '/s/stats') {
        response.setHeader('content-type', 'application/json').end('{"maxValueBytes":1000}')
      } else if (isStalled) response.setHeader('content-type', 'application/x-ndjson').write('[]\n', () => { stalls++ })
      else {
        const replies = (JSON.parse(body) as Array<{ op: string, token: string, lease?: number }>).map(
          ({ op, token, lease = 30_000 }, i) => [i, op === 'acquire' ? { token, fence: 1, expiresIn: lease } : {}]
        )
        response.setHeader('content-type', 'application/x-ndjson').end(`${JSON.stringify(replies)}\n`)
      }
    })
  }).on('connection', socket => { sockets.add(socket) })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/s`
  const store = createStore({ url, token: 'token', connectTimeout: 2 })
  const other = createStore({ url, token: 'token', connectTimeout: 2.5 })
  t.teardown(() => { for (const socket of sockets) socket.destroy(); server.close() })
  const collection = store.collection('c')

  await until(() => other.stats().then(() => true, () => false), 30)
  const stalled = other.collection('c').acquire('k').then(() => 'none', (error: StoreError) => error.code)
  await until(() => stalls === 1, 30)
  isStalled = false

  const lock: KeyLock = await collection.acquire('short', { lease: 0.5 })
  const lost = new Promise(resolve => { lock.signal.addEventListener('abort', resolve) })
  const kept = await collection.acquire('kept', { lease: 1e9 })
  isMute = true
  const first = collection.set('a', 1).then(() => 'none', (error: StoreError) => error.code)
  await until(
    () => store.collection('c').get('b').then(() => false, ({ code }: StoreError) => code === 'STORE_UNREACHABLE'), 30
  )
  t.equal(await first, 'STORE_DISCONNECTED', 'the write may have been done')
  await lost
  t.equal(lock.held, false, 'the lease expires on the clock of the client')
  t.equal(kept.held, true, 'a longer lease is kept')
  isMute = false
  t.equal(await collection.get('b'), undefined, 'calls succeed when the server answers again')
  isMute = true
  collection.set('c', 1, { confirm: false }).catch(t.threw)
  await collection.get('d', { timeout: 0.01 }).catch(() => {})
  await t.rejects(store.close(), {
    code: 'STORE_DISCONNECTED', message: /not answered for 2 s; unconfirmed writes before this close may be lost/
  })
  t.equal(kept.held, false)
  await t.rejects(collection.get('e'), { code: 'STORE_CLOSED' })
  t.equal(await stalled, 'STORE_DISCONNECTED', 'a wait without news from the server ends')
  await other.close()
})

t.test('a store connects again if the server closes its first connection', async t => {
  let requests = 0
  const server = createServer((request, response) => {
    request.resume()
    if (++requests === 1) request.socket.destroy()
    else if (request.url!.endsWith('/stats')) {
      response.setHeader('content-type', 'application/json').end('{"maxValueBytes":1000}')
    } else lines('[[0,{"text":"1"}]]\n')(response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const store = createStore({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, token: TOKEN })
  t.teardown(() => store.close())
  t.equal(await store.collection('c').get('k'), 1)
  t.equal(requests, 3)
})
