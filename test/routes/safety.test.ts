// Unauthorized and malformed requests to the admin API: each gets a 4xx problem document, and logs contain none of it.
import { once } from 'node:events'
import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import rateLimit from '@fastify/rate-limit'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { PROBLEMS } from '../../routes/problems.js'
import strongStore, { ERRORS, createStore, type StrongStoreOptions } from '../../src/index.js'
import { fastifyRateLimitStore } from '../../src/adapters/rate-limit.js'
import { READ_TOKEN, TOKEN, client, serveAdmin, type Answer } from '../support/admin.js'

const SECRET = 'the-secret-value'
const lines: string[] = []
const store = createStore('memory:')
const { ask, port, origin } = await serveAdmin(
  t, store, {}, { logger: { level: 'trace', stream: { write: (line: string) => { lines.push(line) } } } }
)
t.teardown(() => store.close())

/** Sends raw bytes and resolves with the response. */
async function raw (...parts: Array<string | Buffer>): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.on('data', chunk => { answer += String(chunk) }).on('error', () => {})
  for (const part of parts) socket.write(part)
  await once(socket, 'close')
  return answer
}

const head = (line: string, ...headers: string[]): string => [
  line, 'Host: x', `Authorization: Bearer ${TOKEN}`, 'Connection: close', ...headers, '', ''
].join('\r\n')

function isProblem (t: Test, answer: Answer, status: number, code?: string): void {
  t.match(answer, {
    status,
    headers: { 'content-type': /^application\/problem\+json/ },
    json: { status, type: /^urn:strong-store:/, title: String }
  })
  if (code !== undefined) t.equal(answer.json.code, code)
  t.ok(Object.hasOwn({ ...ERRORS, ...PROBLEMS }, answer.json.code as string), answer.json.code as string)
  t.notOk(String(answer.json.detail).includes(answer.json.title as string), answer.json.detail as string)
}

t.test('the admin API cannot be mounted without a token, unless auth is false', async t => {
  for (const [admin, message] of [
    [{}, /needs a token, or auth: false/],
    ['a-token', /invalid admin: expected an object, got string$/],
    [{ token: '' }, /invalid admin\.token: expected visible ASCII/],
    [{ token: 'with a space' }, /invalid admin\.token: expected visible ASCII characters$/],
    [{ token: 5 }, /invalid admin\.token: expected visible ASCII/],
    [{ token: 'x', readToken: '' }, /invalid admin\.readToken: expected visible ASCII/],
    [{ token: 'x', readToken: 'x' }, /admin\.readToken must differ from admin\.token/],
    [{ token: 'x', maxLease: 0 }, /invalid admin\.maxLease: expected seconds, at least 0\.001, got 0/],
    [{ token: 'x', maxWait: '5' }, /invalid admin\.maxWait: expected seconds/],
    [{ token: 'x', toke: 'x' }, /unknown option "toke"/],
    [{ auth: true }, /invalid admin\.auth: expected false or undefined, got boolean$/],
    [{ token: 'x', maxWait: 5n }, /invalid admin\.maxWait: expected seconds, at least 0\.001, got 5/],
    [{ auth: false, token: 'x' }, /omit one of them/]
  ] as Array<[StrongStoreOptions['admin'], RegExp]>) {
    const app = Fastify()
    await t.rejects(
      async () => { await app.register(strongStore, { store, admin }) }, { code: 'STORE_OPTION_INVALID', message }
    )
  }
  const open = await serveAdmin(t, store, { token: undefined, readToken: undefined, auth: false })
  t.equal((await open.ask('GET', '/collections', { headers: { authorization: '' } })).status, 200)
  const plain = Fastify()
  await plain.register(strongStore, { store })
  t.equal((await plain.inject('/_store/v1/health')).statusCode, 404, 'the admin API is off by default')
  await plain.close()
})

t.test('wrong tokens are rejected, and read tokens cannot write', async t => {
  for (const authorization of [
    '', 'Bearer', 'Bearer ', 'Bearer wrong', `Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, `Basic ${TOKEN}`, TOKEN,
    `Bearer x ${TOKEN}`
  ]) {
    const answer = await ask('GET', '/collections', { headers: { authorization } })
    isProblem(t, answer, 401, 'ADMIN_TOKEN_WRONG')
    t.match(answer.headers['www-authenticate'], /^Bearer /)
  }
  isProblem(t, await ask('GET', '/no/such/thing', { headers: { authorization: 'Bearer wrong' } }), 401)
  t.equal((await ask('GET', '/collections', { headers: { authorization: `bearer ${TOKEN}` } })).status, 200)
  const headers = { authorization: `Bearer ${READ_TOKEN}` }
  await store.collection('c').set('k', 1)
  for (const path of [
    '/collections', '/collections/c', '/collections/c/keys', '/collections/c/keys/k', '/locks', '/stats'
  ]) {
    t.equal((await ask('GET', path, { headers })).status, 200, path)
  }
  t.equal((await ask('HEAD', '/collections/c/keys/k', { headers })).status, 200)
  for (const [method, path] of [
    ['PUT', '/collections/c/keys/k'], ['DELETE', '/collections/c/keys/k'], ['PATCH', '/collections/c/keys/k'],
    ['POST', '/collections/c/locks/k'], ['DELETE', '/collections/c/locks/k?force=true'], ['PATCH', '/collections/c'],
    ['DELETE', '/collections/c']
  ] as const) {
    isProblem(
      t, await ask(method, path, { headers, ...(method === 'DELETE' ? {} : { json: 1 }) }), 403, 'ADMIN_READ_ONLY'
    )
  }
  t.equal(await store.collection('c').get('k'), 1)
})

t.test('repeated failures block an address for a while', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const guarded = await serveAdmin(t, store)
  const seen = new Set<number>()
  for (let i = 0; i < 25; i++) {
    seen.add((await guarded.ask('GET', '/collections', { headers: { authorization: `Bearer guess${i}` } })).status)
  }
  t.strictSame([...seen], [401, 429])
  const answer = await guarded.ask('GET', '/collections')
  isProblem(t, answer, 429, 'ADMIN_TOO_MANY_TRIES')
  t.ok(
    Number(answer.headers['retry-after']) > 0 && Number(answer.headers['retry-after']) <= 60,
    String(answer.headers['retry-after'])
  )
  t.equal((await guarded.ask('GET', '/health')).status, 200)
})

t.test('failures are counted per client of a trusted proxy', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const { ask } = await serveAdmin(t, store, {}, { trustProxy: true })
  const from = (address: string, token: string): Promise<Answer> => ask('GET', '/collections', {
    headers: { 'x-forwarded-for': address, authorization: `Bearer ${token}` }
  })
  for (let i = 0; i < 20; i++) isProblem(t, await from('192.0.2.1', 'wrong'), 401)
  isProblem(t, await from('192.0.2.1', TOKEN), 429)
  t.equal((await from('192.0.2.2', TOKEN)).status, 200)
  t.match(
    await from('192.0.2.2', TOKEN), { json: { collections: [{ name: 'admin-tries', keys: 1 }] } },
    'the failures are listed as a collection'
  )
})

t.test('the hooks of the app run first: their headers reach the client, their errors become problem documents', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.setErrorHandler(async (error: Error, _, reply) => await reply.code(500).send(`the app says ${error.message}`))
  await app.register(rateLimit, {
    max: 3, timeWindow: '1 minute', store: fastifyRateLimitStore({ store, prefix: 'hooks:' })
  })
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-of-the-app', 'yes')
    const { refuse } = request.headers
    if (refuse !== undefined) throw Object.assign(new Error('not you'), { statusCode: Number(refuse) })
  })
  app.addHook(
    'preParsing',
    async (request, _, payload) => request.headers.take === undefined ? payload : payload.pipe(new PassThrough())
  )
  await app.register(strongStore, { store, admin: { token: TOKEN } })
  const { ask, close } = client(await app.listen({ port: 0, host: '127.0.0.1' }), '/_store/v1')
  t.teardown(close)
  const path = '/collections/c/keys/limited'
  t.match(
    await ask('PUT', path, { json: 1 }),
    {
      status: 201, headers: { 'x-of-the-app': 'yes', 'x-ratelimit-limit': '3', 'x-ratelimit-remaining': '2', etag: /"/ }
    }
  )
  t.match(
    await ask('GET', path, { headers: { authorization: 'Bearer wrong' } }),
    { status: 401, headers: { 'x-ratelimit-remaining': '1', 'www-authenticate': /^Bearer/ } }
  )
  t.match((await ask('HEAD', path)).headers, { 'x-ratelimit-remaining': '0', 'cache-control': 'no-store' })
  const limited = await ask('GET', path)
  t.match(limited, {
    status: 429,
    headers: { 'content-type': /^application\/problem\+json/, 'x-ratelimit-remaining': '0', 'retry-after': /^\d+$/ },
    json: { type: 'about:blank', title: 'Too Many Requests', status: 429, detail: /Rate limit exceeded/ }
  })
  t.equal(limited.json.code, undefined)
  await store.collection('rate-limits').clear()
  t.match(
    await ask('GET', path, { headers: { refuse: '403' } }),
    {
      status: 403,
      headers: { 'x-of-the-app': 'yes' },
      json: { type: 'about:blank', title: 'Forbidden', detail: 'not you' }
    }
  )
  t.match(await ask('GET', path, { headers: { refuse: '500' } }), { status: 500, text: 'the app says not you' })
  isProblem(t, await ask('PUT', path, { json: 1, headers: { take: 'it' } }), 400, 'STORE_OPTION_INVALID')
})

t.test('invalid bodies are rejected', async t => {
  const path = '/collections/c/keys/body'
  for (const [body, why] of [
    ['', 'empty'], ['{', 'cut short'], ['{"a":1,}', 'a comma'], ["{'a':1}", 'quotes'], ['undefined', 'not JSON'],
    ['NaN', 'not JSON'], ['1 2', 'two values'],
    ['\ufeff1', 'a byte order mark'], [Buffer.from([0x22, 0xff, 0x22]), 'not UTF-8'],
    [Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'a surrogate as bytes'], ['"\u0000"', 'a control character']
  ] as Array<[string | Buffer, string]>) {
    const answer = await ask('PUT', path, { body })
    t.comment(why)
    isProblem(t, answer, 400, 'STORE_VALUE_INVALID')
  }
  const without = await ask('PUT', path)
  isProblem(t, without, 400, 'STORE_VALUE_INVALID')
  t.equal(without.json.detail, 'the body is missing')
  for (const type of [
    'text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', 'multipart/form-data', 'x',
    'application/problem+json'
  ]) {
    isProblem(t, await ask('PUT', path, { body: '1', headers: { 'content-type': type } }), 415)
    isProblem(t, await ask('POST', '/collections/c/locks/body', { body: '{}', headers: { 'content-type': type } }), 415)
  }
  for (const body of ['{', '', '{"__proto__":{}}', '{"constructor":{"prototype":{}}}', '5', '[]', '"x"']) {
    isProblem(t, await ask('PATCH', path, { body }), 400)
    isProblem(t, await ask('PATCH', '/collections/c', { body }), 400)
  }
  t.match(await ask('PUT', path, { body: '"\\ud800"' }), { status: 201 }, 'an escaped lone surrogate is valid JSON')
  t.equal((await ask('GET', path)).text, '"\\ud800"')
})

t.test('unsupported codings and charsets are rejected, and the supported ones named', async t => {
  const path = '/collections/c/keys/media'
  for (const [headers, detail] of [
    [{ 'content-encoding': 'gzip' }, /Content-Encoding: expected an uncompressed body/],
    [{ 'content-encoding': 'gzip, identity' }, /expected an uncompressed body/],
    [{ 'content-type': 'application/json; charset=utf-16' }, /charset: expected utf-8/],
    [{ 'content-type': 'application/json;charset="ISO-8859-1"' }, /charset: expected utf-8/]
  ] as Array<[Record<string, string>, RegExp]>) {
    for (const [method, url] of [
      ['PUT', path], ['PATCH', path], ['POST', '/collections/c/locks/media'], ['PATCH', '/collections/c']
    ] as const) {
      const answer = await ask(method, url, { body: '1', headers })
      isProblem(t, answer, 415, 'ADMIN_UNSUPPORTED_MEDIA_TYPE')
      t.match(answer.json.detail, detail)
      t.equal(answer.headers['accept-encoding'], 'content-encoding' in headers ? 'identity' : undefined)
    }
  }
  for (const type of [
    'application/json; charset=UTF-8', 'application/json;charset="utf-8"', 'application/json; charset=us-ascii'
  ]) {
    t.equal(
      (await ask('PUT', path, { body: '1', headers: { 'content-type': type, 'content-encoding': 'Identity' } })).status,
      type.includes('UTF') ? 201 : 204, type
    )
  }
})

t.test('the body of an unauthenticated request is not read', async t => {
  const endless = (...lines: string[]): Promise<string> => raw(
    [
      ...lines, 'Host: x', 'Content-Type: application/json', 'Transfer-Encoding: chunked', '', '10000', 'x'.repeat(1000)
    ].join('\r\n')
  )
  const path = '/_store/v1/collections/c/keys/endless'
  for (const [status, line, token] of [[401, `PUT ${path}`, 'wrong'], [403, `PUT ${path}`, READ_TOKEN], [404, 'PUT /_store/v1/nothing', TOKEN], [405, `POST ${path}`, TOKEN]] as const) {
    const answer = await endless(`${line} HTTP/1.1`, `Authorization: Bearer ${token}`)
    t.match(answer, new RegExp(`^HTTP/1.1 ${status} `), 'the server closes the connection')
    t.match(answer, /\r\nconnection: close\r\n/i)
  }
  const whole = await ask('PUT', '/collections/c/keys/endless', { json: 1, headers: { authorization: 'Bearer wrong' } })
  isProblem(t, whole, 401, 'ADMIN_TOKEN_WRONG')
  t.not(whole.headers.connection, 'close', 'a complete body does not close the connection')
})

t.test('a body over the limit is rejected while it arrives', async t => {
  const chunk = Buffer.alloc(64 * 1024, 'x')
  let sent = 0
  async function * endless (): AsyncGenerator<Buffer> {
    for (; sent < 2 ** 30; sent += chunk.length) yield chunk
  }
  for (const path of ['/collections/c/keys/huge', '/collections/c/locks/huge']) {
    sent = 0
    const method = path.includes('/keys/') ? 'PUT' : 'POST'
    await ask(method, path, {
      body: endless(), headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }
    })
      .then(
        answer => { isProblem(t, answer, 413, 'STORE_VALUE_TOO_LARGE') }, () => {}
      ) // the connection may end before the client has read it
    t.ok(sent < 2 ** 28, `${sent} bytes were accepted`)
    const declared = await raw(
      head(`${method} /_store/v1${path} HTTP/1.1`, 'Content-Type: application/json', 'Content-Length: 2000000')
    )
    t.match(declared, /^HTTP\/1\.1 413 /, 'before any of it arrives')
    t.match(declared, /STORE_VALUE_TOO_LARGE/)
    const chunked = await raw(
      head(`${method} /_store/v1${path} HTTP/1.1`, 'Content-Type: application/json', 'Transfer-Encoding: chunked'),
      '200000\r\n', Buffer.alloc(0x200000, 'x')
    )
    t.match(chunked, /^HTTP\/1\.1 413 /, 'before it is complete')
  }
  t.equal(await store.collection('c').has('huge'), false)
})

t.test('invalid names, paths and methods are rejected', async t => {
  for (const path of [
    `c/keys/${'k'.repeat(1025)}`, `c/keys/${'%E2%82%AC'.repeat(342)}`, `c/locks/${'k'.repeat(1025)}`,
    `${'c'.repeat(1025)}/keys/k`, `${'c'.repeat(5000)}/keys/k`, 'c'.repeat(1025), `${'c'.repeat(1025)}/keys`
  ].map(name => `/collections/${name}`)) {
    isProblem(t, await ask('GET', path), 400)
  }
  for (const path of [
    '/collections/c/keys/%zz', '/collections/c/keys/%', '/collections/c/keys/%E2%82', '/collections/c/keys/%ED%A0%80',
    '/collections/%ff/keys/k', '/collections/c/keys/%C0%80'
  ]) {
    // Fastify's router responds before any route, without a problem document. Only an option of the app can change
    // that.
    t.match(
      await ask('GET', path),
      { status: 400, headers: { 'content-type': /^application\/json/ }, json: { code: 'FST_ERR_BAD_URL' } }, path
    )
  }
  t.match(await raw(head(`GET /_store/v1/collections/c/keys/${'k'.repeat(20_000)} HTTP/1.1`)), /^HTTP\/1\.1 4/)
  t.match(await raw(head('GET /_store/v1/collections/c/keys/\u0000 HTTP/1.1')), /^HTTP\/1\.1 4/)
  t.equal((await ask('GET', '')).status, 308, 'a redirect to the page')
  for (const path of [
    '//', '/collections/c/nothing', '/collections/c/keys/k'.slice(0, 16), '/__proto__', '/../../etc/passwd',
    '/collections/../../x'
  ]) {
    t.match(String((await ask('GET', path)).status), /^4/, path)
  }
  for (const method of ['POST', 'OPTIONS', 'PATCH']) {
    const answer = await ask(method, '/locks', method === 'OPTIONS' ? {} : { json: {} })
    isProblem(t, answer, 405, 'ADMIN_METHOD_NOT_ALLOWED')
    t.equal(answer.headers.allow, 'GET, HEAD')
  }
  for (const [path, allow] of [
    ['/collections/c/keys/a/b', 'GET, HEAD, PATCH, DELETE, PUT'],
    ['/collections//locks/', 'GET, HEAD, POST, PATCH, DELETE'], ['/collections/c', 'GET, HEAD, PATCH, DELETE']
  ]) {
    t.match(await ask('OPTIONS', path!), { status: 405, headers: { allow } }, path!)
  }
  isProblem(t, await ask('GET', '/collections/c/'), 404, 'ADMIN_NOT_FOUND')
})

t.test('invalid headers and query parameters are rejected', async t => {
  const path = '/collections/c/keys/headers'
  for (const headers of [
    { prefer: 'x'.repeat(300) }, { 'lock-token': 'x'.repeat(1025) }, { 'if-match': `"${'9'.repeat(63)}"` },
    { 'if-match': '"9999999999999999"' }, { 'if-none-match': 'x'.repeat(65) }
  ] as Array<Record<string, string>>) {
    const answer = await ask('PUT', path, { json: 1, headers })
    isProblem(t, answer, answer.status)
    t.match(String(answer.status), /^4/)
  }
  t.equal(
    (await ask('PUT', path, { json: 1, headers: { prefer: 'wait=99999999999999999999' } })).status, 201,
    'an invalid preference is ignored'
  )
  for (const query of [
    'ttl=1&ttl=2', 'release=maybe', 'force=true', '__proto__=1', 'ttl[]=1', 'release=true&x', 'ttl=true', 'ttl=0x10',
    'ttl=%201', 'ttl=1e309', 'ttl=', 'TTL=5', 'release=1', 'release='
  ]) {
    isProblem(t, await ask('PUT', `${path}?${query}`, { json: 1 }), 400, 'STORE_OPTION_INVALID')
  }
  isProblem(t, await ask('GET', `${path}?peek=1`), 400, 'STORE_OPTION_INVALID')
  t.equal((await ask('PUT', `${path}?ttl=1.5e2`, { json: 1 })).status, 204)
  t.equal(
    (await ask('PUT', `${path}?ttl=true`, { json: 1 })).json.detail, 'invalid query parameter ttl: expected number'
  )
  t.equal(
    (await ask('PATCH', path, { json: { increment: 'x' } })).json.detail,
    'invalid body: expected {"increment": number} or {"touch": true}, with options of that kind'
  )
  const twice = await raw(
    head(`DELETE /_store/v1${path} HTTP/1.1`, 'If-Match: "1"', 'If-Match: "2"', 'Prefer: wait=0', 'Prefer: wait=0')
  )
  t.match(twice, /^HTTP\/1\.1 4/)
})

t.test('logs contain no values and no tokens', async t => {
  const token = 'a-lock-token-that-is-secret'
  await ask('PUT', '/collections/log/keys/k', { json: SECRET })
  await ask('GET', '/collections/log/keys/k')
  await ask('PUT', '/collections/log/keys/k', { body: `{"${SECRET}` })
  await ask('PATCH', '/collections/log/keys/k', { body: `{"increment":"${SECRET}"}` })
  await ask('PATCH', '/collections/log/keys/k', { json: { increment: 1 } })
  await ask('POST', '/collections/log/locks/k', { headers: { 'lock-token': token }, json: { owner: 'me' } })
  await ask('GET', '/collections/log/keys/k')
  await ask('PUT', '/collections/log/keys/k?release=true', {
    headers: { 'lock-token': token }, json: { [SECRET]: SECRET }
  })
  await ask('PUT', '/collections/log/keys/k', { headers: { 'lock-token': token }, json: SECRET })
  const waiting = ask('GET', '/collections/log/keys/k', { headers: { authorization: `Bearer ${SECRET}` } })
  t.equal((await waiting).status, 401)
  await delay(0)
  const text = lines.join('')
  t.ok(lines.length > 100 && text.includes('/collections/log/keys/k'), 'the server did log its requests')
  for (const secret of [SECRET, TOKEN, READ_TOKEN, token]) t.notOk(text.includes(secret), secret)
})

t.test('no request is answered with 500', async t => {
  const pieces = [
    '/collections', '/keys', '/locks', '/c', '/', '', '/%00', '/..', '/k'.repeat(50), '?limit=1', '?ttl=1', '?x',
    '/__proto__', '/%F0%9F%98%80', '/*', '/:collection'
  ]
  const bodies = [
    undefined, '', '{}', 'null', '{"increment":1}', '{"touch":true}', '{"lease":1}', '{"maxKeys":0}', '[',
    'x'.repeat(5000)
  ]
  const methods = ['GET', 'HEAD', 'PUT', 'PATCH', 'POST', 'DELETE']
  const { ask, close } = client(origin, '/_store/v1')
  t.teardown(close)
  let seed = 12345
  const pick = <T>(list: T[]): T => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
    return list[(seed >>> 8) % list.length]!
  }
  const seen = new Map<number, number>()
  for (let i = 0; i < 600; i++) {
    const path = `${pick(['/collections', '/collections/c', ''])}${pick(pieces)}${pick(pieces)}${pick(pieces)}`
    const method = pick(methods)
    const body = method === 'GET' || method === 'HEAD' ? undefined : pick(bodies)
    const { status } = await ask(method, path, {
      headers: pick([{}, { prefer: 'wait=0' }, { 'lock-token': 'x' }, { 'if-match': '"1"' }]),
      ...body === undefined ? {} : { body }
    })
    seen.set(status, (seen.get(status) ?? 0) + 1)
    if (status >= 500 && status !== 507) t.fail(`${status}: ${method} ${path}`)
  }
  t.ok(seen.get(200)! > 0 && seen.get(400)! > 0 && seen.get(404)! > 0, JSON.stringify([...seen]))
})
