// A server with TLS and a self-signed certificate, which test/fixtures contains for tests only.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createStore, type StoreOptions } from '../../../src/index.js'
import { freePort } from '../../support/ports.js'
import { NO_REDIS, hasRedis, outcome, startServer } from '../../support/redis.js'

const HOST = '127.0.0.1'
const CERT = fileURLToPath(new URL('../../../../test/fixtures/tests-only-cert.pem', import.meta.url))
const KEY = fileURLToPath(new URL('../../../../test/fixtures/tests-only-key.pem', import.meta.url))
const ca = readFileSync(CERT)

// A server built with TLS accepts --tls-port, and complains about --port instead.
const hasTls = hasRedis && !/tls-port/.test(
  String(spawnSync('redis-server', ['--tls-port', '0', '--port', '-1']).stderr)
)
const skip = !hasRedis ? NO_REDIS : !hasTls && 'skipped: this redis-server was built without TLS'

t.test('a rediss: URL connects to a server with TLS, and errors name the TLS options to set', { skip }, async t => {
  const port = await freePort()
  const { redis, path } = await startServer(
    t,
    [
      '--bind', HOST, '--tls-port', String(port), '--tls-cert-file', CERT, '--tls-key-file', KEY, '--tls-ca-cert-file',
      CERT, '--tls-auth-clients', 'no'
    ]
  )
  const url = `rediss://${HOST}:${port}`
  const at = (options: StoreOptions): ReturnType<typeof createStore> => {
    const store = createStore(options)
    t.teardown(() => store.close())
    return store
  }

  const c = at({ url, redis: { client: { tls: { ca } } } }).collection('c')
  await c.set('key', 1)
  const lock = await c.acquire('key')
  const wait = c.get('key')
  lock.set(2)
  await lock.release()
  t.equal(await wait, 2)
  t.equal(await at({ url: `redis://${path}` }).collection('c').get('key'), 2, 'the same store without TLS')

  for (const [options, message] of [
    [{ url }, /self-signed certificate.*; set ca and servername in redis.client.tls/],
    [{ url, redis: { client: { tls: { ca, servername: 'localhost' } } } }, /localhost.*set ca and servername/],
    [{ url: `redis://${HOST}:${port}` }, /if the server uses TLS, use a rediss: URL/],
    [{ url, redis: { cluster: true } }, /set ca/]
  ] as const) {
    await t.rejects(at(options as StoreOptions).collection('c').get('key'), { code: 'STORE_UNREACHABLE', message })
  }

  await redis.config('SET', 'tls-auth-clients', 'yes')
  await t.rejects(
    at({ url, redis: { client: { tls: { ca } } } }).collection('c').get('key'),
    { code: 'STORE_UNREACHABLE', message: /and cert and key if the server requires a client certificate/ }
  )
  t.equal(
    await outcome(
      at({ url, redis: { client: { tls: { ca, cert: ca, key: readFileSync(KEY) } } } }).collection('c').get('key')
    ),
    'gave 2'
  )
})

t.test('a rediss: URL of a server without TLS is rejected with a hint', { skip }, async t => {
  const port = await freePort()
  await startServer(t, ['--bind', HOST, '--port', String(port)])
  const store = createStore({ url: `rediss://${HOST}:${port}`, connectTimeout: 0.2 })
  t.teardown(() => store.close())
  await t.rejects(
    store.collection('c').get('key'),
    { code: 'STORE_UNREACHABLE', message: /no reply within 0.2 s.*if the server does not use TLS, use a redis: URL/ }
  )
})
