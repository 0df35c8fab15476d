// Where the admin API is mounted, and how it interacts with the app.
import { createServer, request as forward } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { parse } from 'yaml'
import strongStore, { createStore, type StrongStoreOptions } from '../../src/index.js'
import { TOKEN, client } from '../support/admin.js'
import { start } from '../support/programs.js'

/** An app that is closed at the end of the test. */
function fastify (t: { teardown (fn: () => unknown): void }): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

const OPEN = { url: 'memory:', admin: { auth: false } } as const
const statusOf = async (app: FastifyInstance, url: string): Promise<number> => (await app.inject(url)).statusCode

t.test('the prefix can have leading and trailing slashes, and must be a plain path', async t => {
  for (const [prefix, path] of [
    ['admin', '/admin'], ['/admin', '/admin'], ['admin/', '/admin'], ['/admin/', '/admin'],
    ['/a/b.c-d~1', '/a/b.c-d~1'],
    ['', ''], ['/', '']
  ] as const) {
    const app = fastify(t)
    await app.register(strongStore, { url: 'memory:', admin: { auth: false, prefix, page: false } })
    app.get('/mine', async () => 'mine')
    t.equal(await statusOf(app, `${path}/health`), 200, prefix)
    t.equal((await app.inject('/mine')).body, 'mine')
    t.match(
      (await app.inject(path === '' ? '/' : path)).json(), { code: 'ADMIN_NOT_FOUND' }, 'the prefix itself is taken'
    )
    t.strictSame(
      parse((await app.inject(`${path}/openapi.yaml`)).body).servers,
      [{ url: path === '' ? '/' : path, description: 'Where this API is served' }]
    )
  }
  for (const prefix of ['/a/:b', '/a*', '//a', '/a//b', 'a?b', 'a#b', 'a%20b', 'a b', '..', '/a/../b', 5, null]) {
    const app = Fastify()
    await t.rejects(
      Promise.resolve(
        app.register(strongStore, { url: 'memory:', admin: { auth: false, prefix } } as StrongStoreOptions)
      ),
      { code: 'STORE_OPTION_INVALID', message: /invalid admin\.prefix: expected a path/ },
      String(prefix)
    )
  }
})

t.test('the plugin can be registered in several child contexts', async t => {
  const app = fastify(t)
  for (const prefix of ['/a', '/b/', '/of/:tenant']) {
    await app.register(async child => { await child.register(strongStore, OPEN) }, { prefix })
  }
  t.equal(app.hasDecorator('store'), false)
  for (const [url, status] of [['/a', 200], ['/b', 200], ['/of/one', 200], ['', 404]] as const) {
    t.equal(await statusOf(app, `${url}/_store/v1/health`), status, url)
  }
  const wrong = await app.inject({ method: 'POST', url: '/of/one/_store/v1/locks' })
  t.match(wrong, { statusCode: 405, headers: { allow: 'GET, HEAD' } })
  await app.inject({ method: 'POST', url: '/a/_store/v1/collections/c/locks/k' })
  t.match((await app.inject('/b/_store/v1/locks')).json(), { locks: [] }, 'each has its own store')
  const { body } = await app.inject('/of/one/_store/v1/openapi.yaml?x')
  t.equal(parse(body).servers[0].url, '/of/one/_store/v1')
})

t.test("Fastify's own registration options are accepted, as passed by autoload", async t => {
  const lines: string[] = []
  const app = Fastify({ logger: { stream: { write: (line: string) => { lines.push(line) } } } })
  t.teardown(() => app.close())
  await app.register(strongStore, { ...OPEN, prefix: '/store', logLevel: 'silent', logSerializers: {} })
  app.get('/mine', async () => app.store.collection('c').size())
  t.equal(
    await statusOf(app, '/_store/v1/health'), 200,
    "Fastify's prefix does not apply: the admin API has its own"
  )
  t.equal((await app.inject('/mine')).body, '0')
  const text = lines.join('')
  t.ok(text.includes('/mine') && !text.includes('/health'), 'the log level applies to the admin API')
})

t.test('the default lease does not exceed maxLease', async t => {
  const app = fastify(t)
  await app.register(strongStore, { url: 'memory:', admin: { auth: false, maxLease: 10, maxWait: 0.5 } })
  const grant = await app.inject({ method: 'POST', url: '/_store/v1/collections/c/locks/k' })
  t.match(grant, { statusCode: 201, headers: { 'x-ttl': /^(10\.000|9\.\d+)$/ } })
  t.match(
    (await app.inject({ method: 'POST', url: '/_store/v1/collections/c/locks/other', payload: { lease: 11 } })).json(),
    { status: 400, code: 'STORE_OPTION_INVALID', detail: 'invalid lease: expected at most 10 seconds, got 11' }
  )
  t.equal(
    (
      await app.inject({ url: '/_store/v1/collections/c/keys/k', headers: { prefer: 'wait=3' } })
    ).headers['preference-applied'],
    'wait=1'
  )
})

t.test('an unexpected error is logged with its stack but without its message, and hidden from the client', async t => {
  const lines: string[] = []
  const app = Fastify({ logger: { stream: { write: (line: string) => { lines.push(line) } } } })
  t.teardown(() => app.close())
  const store = createStore('memory:')
  await app.register(strongStore, { store, admin: { auth: false } })
  store.stats = async () => { throw Object.assign(new RangeError('a message with a secret'), { code: 'ERR_SECRET' }) }
  const answer = await app.inject('/_store/v1/stats')
  t.strictSame(answer.json(), { type: 'about:blank', title: 'Internal Server Error', status: 500 })
  t.match(answer.headers['content-type'], /^application\/problem\+json/)
  const line = lines.find(line => line.includes('failed unexpectedly'))!
  t.match(JSON.parse(line), {
    level: 50,
    reqId: String,
    err: { type: 'RangeError', code: 'ERR_SECRET', stack: /^RangeError\n +at .*mounting\.test/ },
    method: 'GET',
    route: '/_store/v1/stats'
  })
  t.notOk(lines.join('').includes('a secret'))
  await store.close()
})

// Headers that a page of another origin may read, and those that a proxy must keep.
const EXPOSED = 'ETag, X-TTL, X-Deleted, Location, Lock-Token, Retry-After, Preference-Applied, WWW-Authenticate, Allow'

t.test('all response headers reach clients through CORS and a reverse proxy', async t => {
  const app = Fastify({ trustProxy: true, forceCloseConnections: true })
  t.teardown(() => app.close())
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({
      'access-control-allow-origin': 'https://ops.example', 'access-control-expose-headers': EXPOSED, vary: 'Origin'
    })
    if (request.method !== 'OPTIONS') return
    reply.headers({
      'access-control-allow-methods': 'GET, PUT, PATCH, POST, DELETE',
      'access-control-allow-headers': request.headers['access-control-request-headers']
    })
    return await reply.code(204).send()
  })
  await app.register(strongStore, { url: 'memory:', admin: { token: TOKEN } })
  const target = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const proxy = createServer((request, response) => {
    const headers = { ...request.headers, 'x-forwarded-for': '192.0.2.7' }
    const ahead = forward(
      { port: target.port, host: target.hostname, method: request.method, path: request.url, headers },
      answer => {
        response.writeHead(answer.statusCode!, answer.headers)
        answer.pipe(response)
      }
    )
    request.pipe(ahead)
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const { ask, close } = client(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, '/_store/v1')
  t.teardown(async () => {
    await close()
    proxy.close()
  })
  const preflight = await ask('OPTIONS', '/collections/c/keys/k', {
    headers: {
      authorization: '',
      origin: 'https://ops.example',
      'access-control-request-method': 'PUT',
      'access-control-request-headers': 'authorization,if-match'
    }
  })
  t.match(preflight, { status: 204, headers: { 'access-control-allow-headers': 'authorization,if-match' } })
  t.equal(
    (
      await ask('PUT', '/collections/c/keys/a%2Fb%25?ttl=100', { json: 1, headers: { origin: 'https://ops.example' } })
    ).status,
    201
  )
  const grant = await ask('POST', '/collections/c/locks/a%2Fb%25')
  t.match(grant, {
    status: 201,
    headers: { location: '/_store/v1/collections/c/locks/a%2Fb%25' },
    json: { owner: 'http 192.0.2.7', value: 1 }
  })
  const held = { 'lock-token': grant.json.token as string }
  const answers = [
    grant, await ask('GET', '/collections/c/keys/a/b%25', { headers: held }),
    await ask('GET', '/collections/c/keys/a/b%25', { headers: { prefer: 'wait=0' } }),
    await ask('POST', '/locks', { json: {} }), await ask('GET', '/locks', { headers: { authorization: 'Bearer x' } }),
    await ask('DELETE', '/collections/c/keys/none')
  ]
  const exposed = EXPOSED.toLowerCase().split(', ')
  const seen = new Set(answers.flatMap(({ headers }) => Object.keys(headers)).filter(name => exposed.includes(name)))
  t.strictSame([...seen].sort(), exposed.sort(), 'all of them arrive')
  for (const { headers } of answers) {
    t.match(headers, { 'access-control-allow-origin': 'https://ops.example', 'access-control-expose-headers': EXPOSED })
  }
})

t.test('health is 503 while the store is stalled, also on a kept-alive connection', async t => {
  const program = start(t, 'test/fixtures/health.js')
  const { primary, port } = JSON.parse(await program.nextLine()) as { primary: number, port: number }
  const { ask, close } = client(`http://127.0.0.1:${port}`, '/_store/v1')
  t.teardown(close)
  t.match(await ask('GET', '/health'), { status: 200, json: { status: 'ok' } })
  process.kill(primary, 'SIGSTOP')
  const answers = await Promise.all(Array.from({ length: 5 }, () => ask('GET', '/health')))
  for (const answer of answers) {
    t.match(answer, {
      status: 503,
      headers: { 'cache-control': 'no-store' },
      json: { status: 503, code: 'STORE_UNREACHABLE', detail: 'no reply within 1.5 s' }
    })
  }
  process.kill(primary, 'SIGCONT')
  t.match(await ask('GET', '/health'), { status: 200 })
})
