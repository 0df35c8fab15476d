// Connection options: headers, TLS, Unix sockets and dispatchers, and unsupported parts of URLs.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify from 'fastify'
import t from 'tap'
import { Agent } from 'undici'
import strongStore, { createStore } from '../../../src/index.js'

const TOKEN = 'a-token-for-tests'
const file = (name: string): string => readFileSync(
  new URL(`../../../../test/fixtures/${name}`, import.meta.url), 'utf8'
)

t.test('unsupported parts of a URL and invalid options are rejected', async t => {
  for (const [url, message] of [
    ['http://user:secret@localhost/s', /user and password are not supported; pass the token/],
    ['http://user@localhost/s', /user and password are not supported/],
    ['http://localhost/s?a=1', /\?a=1 is not supported/],
    ['http://localhost/s#a', /#a is not supported/],
    ['http://', /expected http:\/\/host:port\/prefix/]
  ] as const) {
    t.throws(() => createStore(url), { code: 'STORE_OPTION_INVALID', message })
  }
  t.notOk(
    /secret/.test(String(t.throws(() => createStore('http://user:secret@localhost/s')))), 'passwords are not repeated'
  )
  const url = 'http://localhost/s'
  for (const options of [
    { token: 'two words' }, { token: 'a\n' }, { http: { header: {} } }, { http: { url } },
    { http: { headers: { 'a b': 'x' } } }, { http: { headers: { a: 'x\ny' } } },
    { token: 'x', http: { headers: { Authorization: 'Basic x' } } }, { http: { dispatcher: {} } },
    { http: { dispatcher: new Agent(), connect: {} } }
  ]) {
    t.throws(
      () => createStore({ url, ...options } as object), { code: 'STORE_OPTION_INVALID' }, JSON.stringify(options)
    )
  }
})

t.test('a store sends custom headers, and uses TLS with a custom CA', async t => {
  const app = Fastify({
    forceCloseConnections: true, https: { cert: file('tests-only-cert.pem'), key: file('tests-only-key.pem') }
  })
  const seen = new Set<unknown>()
  app.addHook('onRequest', async ({ headers: { authorization } }) => { seen.add(authorization) })
  await app.register(strongStore, { url: 'memory:', admin: { auth: false } })
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/_store/v1`
  t.teardown(() => app.close())
  const unknown = createStore({ url })
  await t.rejects(unknown.stats(), { code: 'STORE_UNREACHABLE', message: /certificate/ })
  await unknown.close()
  const store = createStore({
    url, http: { headers: { Authorization: 'Basic abc' }, connect: { ca: file('tests-only-cert.pem') } }
  })
  await store.collection('c').set('k', 1)
  t.equal(await store.collection('c').get('k'), 1)
  t.strictSame([...seen], ['Basic abc'])
  await store.close()
})

t.test('a store connects through a Unix socket or a dispatcher, and close leaves the dispatcher open', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'http-'))
  const socketPath = join(folder, 's')
  const app = Fastify({ forceCloseConnections: true })
  await app.register(strongStore, { url: 'memory:', admin: { token: TOKEN } })
  await app.listen({ path: socketPath })
  t.teardown(async () => { await app.close(); rmSync(folder, { recursive: true }) })
  const url = 'http://localhost/_store/v1'
  const http = { connect: { socketPath } }
  const store = createStore({ url, token: TOKEN, http })
  t.equal(createStore({ url, token: TOKEN, http: { ...http } }), store, 'equal options share a store')
  t.not(createStore({ url, token: TOKEN }), store)
  await store.collection('c').set('k', 1)
  await store.close()
  const dispatcher = new Agent({ connect: { socketPath } })
  for (let round = 0; round < 2; round++) {
    const store = createStore({ url, token: TOKEN, http: { dispatcher } })
    t.equal(await store.collection('c').get('k'), 1)
    await store.close()
  }
  await dispatcher.close()
  const missing = createStore({ url, http: { connect: { socketPath: join(folder, 'none') } } })
  await t.rejects(missing.stats(), { code: 'STORE_UNREACHABLE', message: /ENOENT/ })
  await missing.close()
})
