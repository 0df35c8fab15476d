// Collections and keys over HTTP, through two servers that share a store like two workers.
import t from 'tap'
import { createStore } from '../../src/index.js'
import { TOKEN, serveAdmin } from '../support/admin.js'
import { until } from '../support/until.js'

const store = createStore('memory:')
const one = await serveAdmin(t, store)
const two = await serveAdmin(t, store)
t.teardown(() => store.close())

t.test('a value is returned byte for byte', async t => {
  const text = '{ "b" : [1.0, "é€😀"],\n"a":{"__proto__":1} }'
  const put = await one.ask('PUT', '/collections/texts/keys/k', { body: text })
  t.equal(put.status, 201)
  t.equal(put.text, '')
  const got = await two.ask('GET', '/collections/texts/keys/k')
  t.equal(got.status, 200)
  t.equal(got.text, text)
  t.match(got.headers, { etag: put.headers.etag, 'cache-control': 'no-store', 'content-type': /^application\/json/ })
  t.equal(got.headers['x-ttl'], undefined)
  const head = await two.ask('HEAD', '/collections/texts/keys/k')
  t.match(head, {
    status: 200, text: '', headers: { etag: put.headers.etag, 'content-length': String(Buffer.byteLength(text)) }
  })
  const again = await two.ask('PUT', '/collections/texts/keys/k', { json: 'other' })
  t.equal(again.status, 204)
  t.not(again.headers.etag, put.headers.etag)
  t.equal(await store.collection('texts').get('k'), 'other')
  await store.collection('texts').set('app', { n: 1 })
  t.equal((await one.ask('GET', '/collections/texts/keys/app')).text, '{"n":1}')
  for (const value of ['null', 'false', '0', '""', '"text"', '[]', '1e300']) {
    await one.ask('PUT', '/collections/texts/keys/any', { body: value })
    t.equal((await two.ask('GET', '/collections/texts/keys/any')).text, value)
  }
  t.match(await one.ask('GET', '/collections/texts/keys/none'), {
    status: 404, json: { status: 404, code: 'ADMIN_NOT_FOUND' }
  })
  t.match((await one.ask('GET', '/collections/texts/keys/none')).headers, {
    'content-type': /^application\/problem\+json/
  })
  t.equal((await one.ask('HEAD', '/collections/texts/keys/none')).status, 404)
})

t.test('a value of the maximum size is accepted, and one byte more is rejected', async t => {
  const large = JSON.stringify('x'.repeat(2 ** 20 - 2))
  t.equal((await one.ask('PUT', '/collections/large/keys/k', { body: large })).status, 201)
  t.ok((await two.ask('GET', '/collections/large/keys/k')).text === large)
  t.match(
    await one.ask('PUT', '/collections/large/keys/k', { body: large + ' ' }),
    { status: 413, json: { code: 'STORE_VALUE_TOO_LARGE' } }
  )
})

t.test('a ttl is set by PUT, returned as X-TTL, and changed by PATCH', async t => {
  await one.ask('PUT', '/collections/timed/keys/k?ttl=100.5', { json: 1 })
  const ttl = Number((await two.ask('GET', '/collections/timed/keys/k')).headers['x-ttl'])
  t.ok(ttl > 90 && ttl <= 100.5, String(ttl))
  t.equal((await one.ask('PATCH', '/collections/timed/keys/k', { json: { touch: true, ttl: 1000 } })).status, 204)
  t.ok(Number((await two.ask('GET', '/collections/timed/keys/k')).headers['x-ttl']) > 900)
  t.equal((await one.ask('PATCH', '/collections/timed/keys/none', { json: { touch: true } })).status, 404)
  for (const ttl of ['0', '-1', 'NaN', '', 'Infinity', '1e99', 'x']) {
    t.match(
      await one.ask('PUT', `/collections/timed/keys/k?ttl=${ttl}`, { json: 1 }),
      { status: 400, json: { code: 'STORE_OPTION_INVALID' } }, ttl
    )
  }
})

t.test('PATCH increments numbers', async t => {
  const sum = await one.ask('PATCH', '/collections/n/keys/k', { json: { increment: 2.5 } })
  t.match(sum, { status: 200, json: { value: 2.5 } })
  t.equal(sum.headers.etag, `"${sum.json.version}"`)
  t.match(
    await two.ask('PATCH', '/collections/n/keys/k', { json: { increment: -1 } }), { status: 200, json: { value: 1.5 } }
  )
  t.equal((await two.ask('GET', '/collections/n/keys/k')).text, '1.5')
  await store.collection('n').set('text', 'x')
  t.match(
    await one.ask('PATCH', '/collections/n/keys/text', { json: { increment: 1 } }),
    { status: 409, json: { code: 'STORE_NOT_A_NUMBER' } }
  )
  for (const json of [
    {}, { increment: '1' }, { increment: null }, { touch: false }, { increment: 1, touch: true }, [], 5, null,
    { increment: 1, more: 1 }
  ]) {
    t.match(
      await one.ask('PATCH', '/collections/n/keys/k', { json }),
      { status: 400, json: { code: 'STORE_OPTION_INVALID' } }, JSON.stringify(json)
    )
  }
})

t.test('If-Match and If-None-Match are checked', async t => {
  const path = '/collections/conditions/keys/k'
  t.equal((await one.ask('PUT', path, { json: 1, headers: { 'if-match': '"5"' } })).status, 412)
  const first = await one.ask('PUT', path, { json: 1, headers: { 'if-none-match': '*' } })
  t.equal(first.status, 201)
  const etag = first.headers.etag as string
  t.match(
    await two.ask('PUT', path, { json: 2, headers: { 'if-none-match': '*' } }),
    { status: 412, json: { code: 'STORE_EXISTS' } }
  )
  t.match(
    await two.ask('PUT', path, { json: 2, headers: { 'if-match': `W/${etag}` } }),
    { status: 412, json: { code: 'STORE_VERSION_MISMATCH' } }
  )
  t.equal((await two.ask('PUT', path, { json: 2, headers: { 'if-match': '"abc"' } })).status, 412)
  for (const tag of [etag, `W/${etag}`, `"1", ${etag}`, '*']) {
    const got = await two.ask('GET', path, { headers: { 'if-none-match': tag } })
    t.match(got, { status: 304, text: '', headers: { etag } }, tag)
  }
  t.equal((await two.ask('GET', path, { headers: { 'if-none-match': '"1"' } })).status, 200)
  const second = await two.ask('PUT', path, { json: 2, headers: { 'if-match': etag } })
  t.equal(second.status, 204)
  t.equal((await one.ask('DELETE', path, { headers: { 'if-match': etag } })).status, 412)
  t.match(
    await one.ask('DELETE', path, { headers: { 'if-match': second.headers.etag as string } }),
    { status: 204, headers: { 'x-deleted': 'true' } }
  )
  t.match(await one.ask('DELETE', path), { status: 204, headers: { 'x-deleted': 'false' } })
  t.match(
    await one.ask('PUT', path, { json: 1, headers: { 'if-match': '*' } }),
    { status: 412, json: { code: 'STORE_NOT_FOUND' } }
  )
  t.equal((await one.ask('DELETE', path, { headers: { 'if-match': '*' } })).status, 412)
  t.equal((await one.ask('GET', path)).status, 404, 'nothing was written')
  const created = await one.ask('PUT', path, { json: 1, headers: { 'if-match': '"7", "0"' } })
  t.equal(created.status, 201)
  const any = await two.ask('PUT', path, { json: 2, headers: { 'if-match': ' * ' } })
  t.equal(any.status, 204)
  for (const list of [
    created.headers.etag, `${created.headers.etag},"0"`, `W/${any.headers.etag}, "x"`, '"a,b", "9999999999999999"'
  ] as string[]) {
    t.match(
      await one.ask('PUT', path, { json: 3, headers: { 'if-match': list } }),
      { status: 412, json: { code: 'STORE_VERSION_MISMATCH' } }, list
    )
  }
  const listed = await one.ask('PUT', path, {
    json: 4, headers: { 'if-match': `"a,b",W/"1" ,${created.headers.etag}, ${any.headers.etag}` }
  })
  t.equal(listed.status, 204)
  t.match(
    await one.ask('DELETE', path, { headers: { 'if-match': `"1",${listed.headers.etag}` } }),
    { status: 204, headers: { 'x-deleted': 'true' } }
  )
  for (const name of ['if-match', 'if-none-match']) {
    t.match(
      await one.ask('PATCH', path, { json: { increment: 1 }, headers: { [name]: '*' } }),
      { status: 400, json: { code: 'STORE_OPTION_INVALID', detail: /with PUT/ } }
    )
  }
  for (const headers of [
    { 'if-match': '5' }, { 'if-match': '' }, { 'if-match': '"1" "2"' }, { 'if-match': '*, "1"' },
    { 'if-none-match': '"5"' }
  ] as Array<Record<string, string>>) {
    t.match(
      await one.ask('PUT', path, { json: 2, headers }), { status: 400, json: { code: 'STORE_OPTION_INVALID' } },
      JSON.stringify(headers)
    )
  }
})

t.test('If-Match: * is checked atomically', async t => {
  const path = '/collections/steps/keys/k'
  await one.ask('PUT', path, { json: 0 })
  const writes = await Promise.all(
    Array.from({ length: 50 }, (_, i) => [one, two][i % 2]!.ask('PUT', path, { json: i, headers: { 'if-match': '*' } }))
  )
  t.strictSame([...new Set(writes.map(({ status }) => status))], [204])
  t.equal(new Set(writes.map(({ headers }) => headers.etag)).size, 50)
  const deletes = await Promise.all(
    Array.from({ length: 20 }, (_, i) => [one, two][i % 2]!.ask('DELETE', path, { headers: { 'if-match': '*' } }))
  )
  t.strictSame(deletes.map(({ status }) => status).sort(), [204, ...Array.from({ length: 19 }, () => 412)])
})

t.test('a list of versions is checked with a lock token', async t => {
  const path = '/collections/locked/keys/k'
  const { json: { token } } = await one.ask('POST', '/collections/locked/locks/k')
  t.match(
    await two.ask('PUT', path, { json: 1, headers: { 'if-match': '*' } }),
    { status: 423, json: { code: 'STORE_LOCKED' } }
  )
  const waiting = two.ask('PUT', path, { json: 1, headers: { 'if-match': '*', prefer: 'wait=60' } })
  await until(async () => (await store.collection('locked').lockInfo('k'))?.waiters === 1)
  t.equal(
    (await one.ask('PUT', path, { json: 2, headers: { 'lock-token': token, 'if-match': '"0", "1"' } })).status, 201
  )
  t.equal(
    (
      await one.ask(
        'PUT', `${path}?release=true`, { json: 3, headers: { 'lock-token': token, 'if-match': '"a", "b"' } }
      )
    ).status,
    412
  )
  t.equal((await waiting).status, 204, 'the lock was released although the change failed')
  t.equal(await store.collection('locked').get('k'), 1)
})

t.test('a hundred concurrent read-modify-write loops with If-Match lose no update', async t => {
  const path = '/collections/loops/keys/k'
  await one.ask('PUT', path, { json: 0 })
  let refused = 0
  await Promise.all(Array.from({ length: 100 }, async (_, i) => {
    const { ask } = i % 2 === 0 ? one : two
    for (;;) {
      const { json, headers } = await ask('GET', path)
      const { status } = await ask('PUT', path, { json: json + 1, headers: { 'if-match': headers.etag as string } })
      if (status === 204) return
      if (status !== 412) t.fail(String(status)) // an assertion per request would be slow
      refused++
    }
  }))
  t.equal(await store.collection('loops').get('k'), 100)
  t.ok(refused > 0, 'some updates conflicted')
})

t.test('any key and collection name works with the default settings of the server', async t => {
  const keys = [
    '', 'users/42', '/', '//', 'a/b?c#d%', '.', '..', '../..', '__proto__', 'constructor', 'keys', 'a/keys/b',
    '\u0000', '\n', '%2F', '%', '+', ' ', 'é', '😀'.repeat(256), 'k'.repeat(1024), '\ufffd', 'x=1&y=2', ';', '*',
    ':collection'
  ]
  for (const name of ['keys', '', '__proto__', 'a/b', '*', 'c'.repeat(1024), '😀'.repeat(256)]) {
    for (const [i, key] of keys.entries()) {
      const path = `/collections/${encodeURIComponent(name)}/keys/${encodeURIComponent(key)}`
      t.equal((await one.ask('PUT', path, { json: i })).status, 201, `PUT ${path.slice(0, 60)}`)
      t.equal((await two.ask('GET', path)).text, String(i), `GET ${path.slice(0, 60)}`)
    }
    const collection = store.collection(name)
    t.strictSame(await collection.getMany(keys), keys.map((_, i) => i))
    const seen = []
    for await (const key of collection.keys()) seen.push(key)
    t.strictSame(seen.sort(), keys.slice().sort())
    t.equal((await one.ask('DELETE', `/collections/${encodeURIComponent(name)}`)).status, 204)
  }
  await one.ask('PUT', '/collections/plain/keys/users/42', { json: 1 })
  t.equal((await one.ask('GET', '/collections/plain/keys/users%2F42')).text, '1')
})

t.test('keys are listed in pages, without values', async t => {
  const pages = store.collection('pages')
  await pages.setMany(
    Array.from({ length: 250 }, (_, i) => [`${i % 2 === 0 ? 'é' : 'b'}/${i}`, 'secret'] as const), { ttl: 100 }
  )
  const seen: string[] = []
  for (let cursor: string | undefined = ''; cursor !== undefined;) {
    const page = await one.ask(
      'GET', `/collections/pages/keys?prefix=%C3%A9/&limit=20${cursor === '' ? '' : `&cursor=${cursor}`}`
    )
    t.equal(page.status, 200)
    t.notOk(page.text.includes('secret'))
    for (const { key, version, bytes, expiresAt } of page.json.keys) {
      t.ok(version > 0 && bytes === 8 && Date.parse(expiresAt) > Date.now())
      seen.push(key)
    }
    cursor = page.json.cursor
  }
  t.equal(seen.length, 125)
  t.equal(new Set(seen).size, 125)
  t.strictSame((await one.ask('GET', '/collections/nothing/keys')).json, { keys: [] })
  for (const query of [
    'limit=0', 'limit=1001', 'limit=-1', 'limit=1e9', 'limit=x', 'cursor=-1', 'cursor=x', 'cursor=4294967296',
    'cursor=99999999999', 'cursor=__proto__', 'other=1', `prefix=${'x'.repeat(1025)}`
  ]) {
    t.match(
      await one.ask('GET', `/collections/pages/keys?${query}`),
      { status: 400, json: { code: /^STORE_(OPTION|KEY)_INVALID$/ } }, query.slice(0, 30)
    )
  }
  t.equal((await one.ask('GET', '/collections/pages/keys?cursor=4294967295')).status, 200)
})

t.test('collections are listed in pages', async t => {
  const store = createStore('memory:')
  const one = await serveAdmin(t, store)
  const two = await serveAdmin(t, store)
  t.teardown(() => store.close())
  const names = Array.from({ length: 600 }, (_, i) => `many ${i}`)
  await Promise.all(names.map(name => store.collection(name).set('k', 1)))
  const seen: string[] = []
  let pages = 0
  for (let cursor: string | undefined = ''; cursor !== undefined; pages++) {
    const page = await (pages % 2 === 0 ? one : two).ask(
      'GET', `/collections?limit=50${cursor === '' ? '' : `&cursor=${cursor}`}`
    )
    t.equal(page.status, 200)
    t.ok(page.json.collections.length <= 50)
    seen.push(...page.json.collections.map(({ name }: { name: string }) => name))
    cursor = page.json.cursor
  }
  t.ok(pages >= 12)
  t.equal(new Set(seen).size, seen.length)
  t.ok(names.every(name => seen.includes(name)))
  t.ok((await one.ask('GET', '/collections')).json.collections.length <= 100)
  for (const query of ['limit=0', 'limit=1001', 'limit=x', 'cursor=-1', 'cursor=x', 'cursor=', 'other=1']) {
    t.match(
      await one.ask('GET', `/collections?${query}`), { status: 400, json: { code: 'STORE_OPTION_INVALID' } }, query
    )
  }
  const remote = createStore({ url: `${one.origin}/_store/v1`, token: TOKEN })
  t.ok((await remote.page({ limit: 10 })).collections.length <= 10)
  t.strictSame((await remote.collections()).map(({ name }) => name).sort(), seen.sort())
  await remote.close()
})

t.test('collections can be read, configured and cleared', async t => {
  t.equal((await one.ask('GET', '/collections/bounded')).status, 404)
  t.match(await one.ask('PATCH', '/collections/bounded', { json: { maxKeys: 2, expireKeys: 0.5, evict: false } }), {
    status: 200, json: { name: 'bounded', keys: 0, maxKeys: 2, expireKeys: 0.5, evict: false, maxBytes: 0 }
  })
  await one.ask('PATCH', '/collections/bounded', { json: { expireKeys: 0 } })
  for (const key of ['a', 'b']) await one.ask('PUT', `/collections/bounded/keys/${key}`, { json: 1 })
  t.match(
    await one.ask('PUT', '/collections/bounded/keys/c', { json: 1 }), { status: 507, json: { code: 'STORE_FULL' } }
  )
  t.match((await two.ask('GET', '/collections/bounded')).json, { keys: 2, bytes: 4, writes: 2, locks: 0, waiters: 0 })
  t.match(
    (await two.ask('GET', '/collections')).json.collections.find(({ name }: { name: string }) => name === 'bounded'),
    { keys: 2 }
  )
  for (const json of [
    { maxKeys: -1 }, { maxKeys: 1.5 }, { maxKeys: '1' }, { maxkeys: 1 }, { evict: 1 }, { expireKeys: 1e300 },
    { expireKeys: null }, [], 1
  ]) {
    t.match(
      await one.ask('PATCH', '/collections/bounded', { json }),
      { status: 400, json: { code: 'STORE_OPTION_INVALID' } }, JSON.stringify(json)
    )
  }
  const lock = await store.collection('bounded').acquire('a')
  t.match(
    await one.ask('DELETE', '/collections/bounded', { headers: { prefer: 'wait=0' } }),
    { status: 423, json: { code: 'STORE_LOCKED' } }
  )
  t.equal(await store.collection('bounded').has('b'), false)
  t.equal((await one.ask('DELETE', '/collections/bounded')).status, 202, 'a locked key is deleted after its release')
  t.equal(await store.collection('bounded').has('b'), false)
  const waiting = one.ask('DELETE', '/collections/bounded', { headers: { prefer: 'wait=60' } })
  await lock.release()
  t.match(await waiting, { status: 204, headers: { 'preference-applied': 'wait=60' } })
  t.equal(await store.collection('bounded').size(), 0)
})

t.test('metrics count keys, locks and calls', async t => {
  const metrics = createStore('memory:')
  t.teardown(() => metrics.close())
  const { ask } = await serveAdmin(t, metrics)
  await ask('GET', '/metrics') // starts measuring the event loop delay
  const c = metrics.collection('c')
  await c.set('k', 1)
  await c.get('k')
  await c.get('none')
  await t.rejects(c.set('k', 2, { ifVersion: 1 }))
  const lock = await c.acquire('k')
  await t.rejects(c.get('k', { timeout: 0 }))
  const waiting = c.get('k')
  t.match((await ask('GET', '/metrics')).text, /^strong_store_waiters 1$/m)
  await lock.release()
  await waiting
  const { status, headers, text } = await ask('GET', '/metrics')
  t.equal(status, 200)
  t.match(headers['content-type'], /^text\/plain; version=0\.0\.4/)
  for (const line of [
    'keys 1', 'bytes 2', 'locks 0', 'waiters 0', 'processes 1', 'collections 1', 'reads_total 4', 'writes_total 1',
    'expired_total 0', 'evicted_total 0', 'calls_total{op="set",outcome="ok"} 1',
    'calls_total{op="set",outcome="STORE_VERSION_MISMATCH"} 1', 'calls_total{op="get",outcome="ok"} 3',
    'calls_total{op="get",outcome="STORE_LOCKED"} 1', 'calls_total{op="acquire",outcome="ok"} 1',
    'calls_total{op="release",outcome="ok"} 1', 'call_duration_seconds_bucket{le="+Inf"} 8',
    'call_duration_seconds_count 8'
  ]) {
    t.ok(text.includes(`strong_store_${line}\n`), line)
  }
  t.match(text, /^# TYPE strong_store_calls_total counter$/m)
  t.match(text, /^# TYPE strong_store_call_duration_seconds histogram$/m)
  await until(
    async () => /^strong_store_event_loop_delay_seconds\{kind="p99"\} \d/m.test((await ask('GET', '/metrics')).text)
  )
  t.equal((await ask('GET', '/metrics', { headers: { authorization: '' } })).status, 401)
})

t.test('health and statistics of a store, and the errors of a closed store', async t => {
  t.match(await one.ask('GET', '/health', { headers: { authorization: '' } }), { status: 200, json: { status: 'ok' } })
  t.match(await one.ask('GET', '/stats'), { status: 200, json: { maxValueBytes: 2 ** 20, processes: 1 } })
  t.match(await one.ask('GET', '/no/such/thing'), { status: 404, json: { code: 'ADMIN_NOT_FOUND' } })
  const closed = createStore('memory:')
  const server = await serveAdmin(t, closed)
  await closed.close()
  t.match(await server.ask('GET', '/health'), { status: 503, json: { code: 'STORE_CLOSED' } })
  t.match(await server.ask('GET', '/collections/c/keys/k'), { status: 503, json: { code: 'STORE_CLOSED' } })
})
