// Export and import over HTTP.
import { connect } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { Pool } from 'undici'
import t from 'tap'
import { createStore } from '../../src/index.js'
import { READ_TOKEN, TOKEN, serveAdmin } from '../support/admin.js'
import { until } from '../support/until.js'

const NDJSON = { 'content-type': 'application/x-ndjson' }
const line = (collection: string, key: string, value: unknown = 1): string =>
  JSON.stringify({ collection, key, value }) + '\n'

t.test('a store is exported and imported, as far as the token permits', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const { ask, origin } = await serveAdmin(t, store, {
    tokens: [{ name: 'scoped', token: 'scoped-token', access: 'write', collections: ['a'] }]
  })
  const scoped = { authorization: 'Bearer scoped-token' }
  const names = (text: string): unknown[] => text.trim().split('\n').map(line => {
    const { collection, key, options } = JSON.parse(line) as Record<string, unknown>
    return [collection, key ?? options]
  })

  t.match(await ask('POST', '/import', { headers: NDJSON, body: line('a', 'x') + line('b', 'y', 'é') }), {
    status: 200, json: { keys: 2, skipped: 0 }
  })
  await store.collection('b').configure({ maxKeys: 9 })
  const all = await ask('GET', '/export')
  t.match(all, {
    status: 200,
    headers: {
      'content-type': NDJSON['content-type'],
      'cache-control': 'no-store',
      vary: 'Accept-Encoding',
      'content-encoding': undefined
    }
  })
  t.strictSame(names(all.text).sort(), [['a', 'x'], ['b', { maxKeys: 9 }], ['b', 'y']])
  t.match(all.text, /{"collection":"b","key":"y","version":\d+,"value":"é"}\n/)
  t.strictSame(names((await ask('GET', '/collections/a/export')).text), [['a', 'x']])
  t.equal((await ask('GET', '/collections/nothing/export')).text, '')

  const pool = new Pool(origin)
  t.teardown(() => pool.destroy())
  for (const [accept, coding] of [
    ['gzip, br', 'gzip'], ['br, GZIP;q=0.5', 'gzip'], ['gzip;q=0', undefined], ['gzip; q=0.0, br', undefined]
  ] as const) {
    const { headers, body } = await pool.request({
      path: '/_store/v1/export',
      method: 'GET',
      headers: { authorization: `Bearer ${TOKEN}`, 'accept-encoding': accept }
    })
    t.equal(headers['content-encoding'], coding, accept)
    const bytes = Buffer.from(await body.arrayBuffer())
    t.equal((coding === undefined ? bytes : gunzipSync(bytes)).toString(), all.text)
  }

  t.match(await ask('GET', '/export', { headers: { authorization: `Bearer ${READ_TOKEN}` } }), {
    status: 200, text: all.text
  })
  t.match(await ask('POST', '/import', { headers: { ...NDJSON, authorization: `Bearer ${READ_TOKEN}` }, body: '' }), {
    status: 403, json: { code: 'ADMIN_READ_ONLY' }
  })
  t.strictSame(names((await ask('GET', '/export', { headers: scoped })).text), [['a', 'x']], 'what the token covers')
  t.match(await ask('GET', '/collections/b/export', { headers: scoped }), { status: 403 })
  t.match(await ask('POST', '/import', { headers: { ...NDJSON, ...scoped }, body: line('a', 'x') }), {
    status: 403, json: { code: 'ADMIN_OUT_OF_SCOPE' }
  })

  t.match(await ask('POST', '/import?mode=absent', { headers: NDJSON, body: line('a', 'x', 2) + line('a', 'z') }), {
    json: { keys: 1, skipped: 1 }
  })
  t.match(await ask('POST', '/import?mode=replace', { headers: NDJSON, body: line('a', 'x', 3) }), {
    json: { keys: 1, skipped: 0 }
  })
  t.strictSame(await store.collection('a').getMany(['x', 'z']), [3, undefined])
  t.match(await ask('POST', '/import?mode=all', { headers: NDJSON, body: '' }), {
    status: 400, json: { code: 'STORE_OPTION_INVALID' }
  })
  t.match(await ask('POST', '/import'), {
    status: 400, json: { code: 'STORE_VALUE_INVALID', detail: 'the body is missing' }
  })
  t.match(await ask('POST', '/import', { headers: NDJSON, body: line('a', 'first') + 'no line\n' }), {
    status: 400, json: { code: 'STORE_VALUE_INVALID', line: 2, detail: /line 2: expected a JSON object/ }
  })
  t.equal(await store.collection('a').get('first'), 1)
  t.match(await ask('POST', '/import', { headers: NDJSON, body: line('a', 'large', 'x'.repeat(2 ** 21)) }), {
    status: 413, json: { code: 'STORE_VALUE_TOO_LARGE', line: 1 }
  })
  t.match(await ask('POST', '/import', { body: line('a', 'x') }), {
    status: 415, json: { code: 'ADMIN_UNSUPPORTED_MEDIA_TYPE' }
  })
  t.match(await ask('POST', '/import', { headers: { ...NDJSON, 'content-encoding': 'gzip' }, body: 'x' }), {
    status: 415
  })
  const lock = await store.collection('a').acquire('x')
  t.match(await ask('POST', '/import', { headers: NDJSON, body: line('a', 'x') }), {
    status: 423, json: { code: 'STORE_LOCKED', line: 1 }
  })
  const waiting = ask('POST', '/import', { headers: { ...NDJSON, prefer: 'wait=60' }, body: line('a', 'x') })
  await until(async () => (await store.stats()).waiters === 1)
  await lock.release()
  t.match(await waiting, { status: 200, headers: { 'preference-applied': 'wait=60' }, json: { keys: 1 } })
})

t.test('an export stops while its client does not read, and an import keeps the lines before a disconnect', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  let pages = 0
  const original = store.export.bind(store)
  let ended = false
  store.export = async function * (options) {
    try {
      for await (const lines of original(options)) {
        pages++
        yield lines
      }
    } finally {
      ended = true
    }
  }
  const { port } = await serveAdmin(t, store)
  await store.collection('c').setMany(Array.from({ length: 120 }, (_, i) => [`${i}`, 'x'.repeat(250_000)]))
  const head = (method: string, path: string): string =>
    `${method} /_store/v1${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\n`

  const reader = connect(port, '127.0.0.1')
  reader.pause().write(`${head('GET', '/export')}\r\n`)
  let seen = -1
  await until(async () => { // no further page for some turns of the event loop
    const before = seen
    seen = pages
    for (let turn = 0; turn < 100; turn++) await new Promise(resolve => { setImmediate(resolve) })
    return seen > 0 && pages === before
  })
  t.ok(pages < 60, `only a part of 30 MB: ${pages} pages`)
  reader.destroy()
  await until(() => ended)

  const writer = connect(port, '127.0.0.1')
  writer.end(`${head('POST', '/import')}Content-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n${line('d', 'key')}{"collec`)
  await until(async () => (await store.stats()).keys === 121)
  t.equal(await store.collection('d').get('key'), 1)
})
