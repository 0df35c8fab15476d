// Requests for many keys, and requests with many calls.
import t from 'tap'
import { createStore } from '../../src/index.js'
import { READ_TOKEN, serveAdmin } from '../support/admin.js'
import { until } from '../support/until.js'

const store = createStore('memory:')
const { ask } = await serveAdmin(t, store, {
  tokens: [{ token: 'a-token-for-one-collection', name: 'one', access: 'write', collections: ['many'] }]
})
t.teardown(() => store.close())
const read = { authorization: `Bearer ${READ_TOKEN}` }
const scoped = { authorization: 'Bearer a-token-for-one-collection' }
const many = store.collection<any>('many')

t.test('each key has its own result', async t => {
  const lock = await many.acquire('locked')
  const written = await ask('POST', '/collections/many/set', {
    json: [
      { key: 'a', value: { n: 1 } }, { key: 'b', value: 'x', ttl: 100 }, { key: 'locked', value: 1 },
      { key: 'big', value: 'x'.repeat(2 ** 20) }, { key: '__proto__', value: null }
    ]
  })
  t.equal(written.status, 200)
  t.match(written.json, [
    { key: 'a', version: Number }, { key: 'b', version: Number }, { key: 'locked', code: 'STORE_LOCKED' },
    { key: 'big', code: 'STORE_VALUE_TOO_LARGE' }, { key: '__proto__' }
  ])
  const found = await ask('POST', '/collections/many/get', {
    json: ['b', 'none', 'locked', 'a', '__proto__'], headers: read
  })
  t.match(found.json, [
    { key: 'b', value: 'x', version: written.json[1].version, expiresAt: /Z$/ }, { key: 'none' },
    { key: 'locked', code: 'STORE_LOCKED' }, { key: 'a', value: { n: 1 } }, { value: null }
  ])
  t.strictSame(Object.keys(found.json[1]), ['key'])
  await many.text.set('exact', '{ "n" : 1.0 }')
  t.match(
    (await ask('POST', '/collections/many/get', { json: ['exact'] })).text, /"value":\{ "n" : 1\.0 \}/,
    'as it is stored'
  )
  const page = await ask('GET', '/collections/many/keys?values=true&limit=1000')
  t.match(page.json.keys.find(({ key }: any) => key === 'a'), { value: { n: 1 }, bytes: 7, version: Number })
  t.equal((await ask('GET', '/collections/many/keys')).json.keys.some((key: object) => 'value' in key), false)
  await lock.release()
})

t.test('every route that takes values stores them byte for byte', async t => {
  const values = [
    '{"__proto__":1}', '{"a":[{"__proto__":{"b":1}}]}', '{"constructor":{"prototype":{"a":1}}}', '"__proto__"',
    '12345678901234567890123', '1.0', '-0', '1e400', '0.1000000000000000055', '{ "n" : 1.50 ,"n":2}', '[ ]', '""',
    '"\\ud800"', '"\\u0000\\"\\\\"', '"a\\\\"', '"},{\\"value\\":1"', '{"value":{"key":"x"},"key":[]}', '"é\u2028𝄞"'
  ]
  const line = (members: string): string => `{"collection":"many","key":"x",${members}}\n`
  const put = async (path: string, body: string, type = 'application/json'): Promise<number> => {
    const method = path.startsWith('/collections/many/keys') ? 'PUT' : 'POST'
    return (await ask(method, path, { body, headers: { 'content-type': type } })).status
  }
  for (const value of values) {
    const ways: Record<string, () => Promise<number>> = {
      put: () => put('/collections/many/keys/x', value),
      set: () => put('/collections/many/set', `[{"key":"other","value":0}, {"value": ${value} , "key":"x","ttl":100}]`),
      'the last of several': () => put('/collections/many/set', `[{"value":5,"key":"x","value":${value},"\\u0076alue":${value}}]`),
      calls: () => put('/calls', JSON.stringify([{ op: 'set', collection: 'many', key: 'x', text: value }])),
      import: () => put('/import', line(`"value":${value}`), 'application/x-ndjson'),
      'import, value first': () => put('/import', line(`"value": ${value} ,"version":1`), 'application/x-ndjson')
    }
    for (const [name, write] of Object.entries(ways)) {
      await many.del('x')
      const status = await write()
      t.ok([200, 201, 204].includes(status), `${name} ${encodeURI(value)}: ${status}`)
      t.equal((await ask('GET', '/collections/many/keys/x')).text, value, `${name} ${encodeURI(value)}`)
    }
  }
  for (const body of [
    '', '[', '[{"key":"x","value":}]', '\ufeff[]', '[{"key":"x","value":1,"__proto__":1}]', '[[1]]', '{"value":1}', '1',
    'null'
  ]) {
    t.equal(await put('/collections/many/set', body), 400, body)
  }
  const latin1 = await ask('POST', '/collections/many/set', { body: Buffer.from('5b22ff225d', 'hex') })
  t.equal(latin1.status, 400, 'not UTF-8')
})

t.test('malformed and forbidden requests are rejected', async t => {
  for (const [method, path, options, status] of [
    ['POST', '/collections/many/get', { json: [1] }, 400],
    ['POST', '/collections/many/get', { json: {} }, 400],
    ['POST', '/collections/many/get', { json: Array(1001).fill('a') }, 400],
    ['POST', '/collections/many/set', { json: [{ key: 'a' }] }, 400],
    ['POST', '/collections/many/set', { json: [{ key: 'a', value: 1 }], headers: read }, 403],
    ['POST', '/collections/other/get', { json: ['a'], headers: scoped }, 403],
    ['DELETE', '/collections/many/keys', {}, 400],
    ['DELETE', '/collections/many/keys?prefix=a', { headers: read }, 403],
    ['POST', '/calls', { json: [{ op: 'nothing', collection: '', key: '' }] }, 400],
    ['POST', '/calls', { json: [{ op: 'get', collection: '', key: '', more: 1 }] }, 400],
    ['POST', '/calls', { json: [{ op: 'set', collection: '', key: '', ttl: '5' }] }, 400]
  ] as const) {
    const answer = await ask(method, path, options)
    t.equal(answer.status, status, `${method} ${path} ${JSON.stringify(options).slice(0, 80)}`)
    t.match(answer.headers['content-type'], /^application\/problem\+json/)
  }
})

t.test('DELETE with a prefix deletes the keys that start with it', async t => {
  await many.setMany([['p:1', 1], ['p:2', 2], ['q', 3]])
  const lock = await many.acquire('p:2')
  t.equal((await ask('DELETE', '/collections/many/keys?prefix=p:')).status, 423)
  t.equal(await many.get('p:1'), undefined, 'unlocked keys are deleted')
  await lock.release()
  t.equal((await ask('DELETE', '/collections/many/keys?prefix=p:')).status, 204)
  t.strictSame(await many.getMany(['p:1', 'p:2', 'q']), [undefined, undefined, 3])
})

t.test('calls are validated one by one', async t => {
  const calls = async (json: object[], headers = {}): Promise<Record<number, any>> => {
    const answer = await ask('POST', '/calls', { json, headers })
    t.match(answer, {
      status: 200,
      headers: { 'content-type': /^application\/x-ndjson/, 'cache-control': 'no-store', 'x-accel-buffering': 'no' }
    })
    return Object.fromEntries(
      answer.text.trim().split('\n').flatMap(line => JSON.parse(line) as Array<[number, object]>)
    )
  }
  const on = { collection: 'many', key: 'k' }
  t.strictSame(await calls([]), {})
  t.match(await calls([
    { op: 'set', ...on, text: '{"a":1}' }, { op: 'get', ...on }, { op: 'set', ...on, text: '{' }, { op: 'set', ...on },
    { op: 'release', ...on }, { op: 'renew', ...on },
    { op: 'acquire', ...on, token: 'short' }, { op: 'acquire', ...on, lease: 4_000_000 },
    { op: 'get', ...on, key: '\ud800' }, { op: 'increment', ...on },
    { op: 'increment', ...on, number: 1, limit: 5 }, { op: 'scan', ...on, key: '', cursor: 'a b' },
    { op: 'configure', ...on, text: '{"idle":-1}' },
    { op: 'configure', ...on, text: '[' }, { op: 'configure', ...on, text: '{"more":1}' },
    { op: 'set', ...on, text: '2', unconfirmed: true }, { op: 'get', ...on }, { op: 'ping', ...on }
  ]), {
    0: { version: Number },
    1: { text: '{"a":1}' },
    2: { code: 'STORE_VALUE_INVALID' },
    3: { code: 'STORE_VALUE_INVALID' },
    4: { code: 'STORE_OPTION_INVALID', detail: /token/ },
    5: { code: 'STORE_OPTION_INVALID' },
    6: { code: 'STORE_OPTION_INVALID' },
    7: { code: 'STORE_OPTION_INVALID', detail: /at most 3600 seconds/ },
    8: { code: 'STORE_KEY_INVALID' },
    9: { code: 'STORE_OPTION_INVALID' },
    10: { code: 'STORE_OPTION_INVALID' },
    11: { code: 'STORE_OPTION_INVALID' },
    12: { code: 'STORE_OPTION_INVALID' },
    13: { code: 'STORE_OPTION_INVALID' },
    14: { code: 'STORE_OPTION_INVALID' },
    16: { text: '2' },
    17: {}
  })
  const some = [
    { op: 'get', ...on }, { op: 'set', ...on, text: '3' }, { op: 'get', ...on, collection: 'other' },
    { op: 'locks', collection: '', key: '' }
  ]
  t.match(await calls(some, read), {
    0: { text: '2' }, 1: { code: 'STORE_UNREACHABLE', detail: /ADMIN_READ_ONLY/ }, 2: {}, 3: { text: '[]' }
  })
  t.match(await calls(some, scoped), {
    0: { text: '2' }, 1: { version: Number }, 2: { detail: /ADMIN_OUT_OF_SCOPE/ }, 3: { detail: /ADMIN_OUT_OF_SCOPE/ }
  })
  t.match(
    await calls([{ op: 'acquire', ...on }, { op: 'lock', ...on }], scoped),
    { 0: { token: String, fence: Number, expiresIn: 30_000 }, 1: { text: /"owner":"http one / } }
  )
  await many.breakLock('k')
})

t.test('a request is answered when its calls have reached the store, including unconfirmed ones', async t => {
  // A slow store: replies are held back until they are released.
  const waiting: Array<() => void> = []
  const asked: string[] = []
  const far = createStore('memory:')
  t.teardown(() => far.close())
  const { call, post } = far
  far.call = async request => {
    if (request.op !== 'ping') await new Promise<void>(resolve => { waiting.push(resolve) })
    asked.push(request.op)
    return await call.bind(far)(request)
  }
  far.post = request => { asked.push(`${request.op} unconfirmed`); post.bind(far)(request) }
  const { ask } = await serveAdmin(t, far)
  const on = { collection: 'c', key: 'k' }
  for (const [calls, replies] of [
    [[{ op: 'set', ...on, text: '1', unconfirmed: true }], 0],
    [[{ op: 'set', ...on, text: '2', unconfirmed: true }, { op: 'get', ...on }], 1],
    [[{ op: 'set', ...on, text: '{' }, { op: 'get', ...on }], 2]
  ] as const) {
    let isAnswered = false
    const answer = ask('POST', '/calls', { json: calls }).finally(() => { isAnswered = true })
    await until(() => waiting.length === (calls.some(({ op }) => op === 'get') ? 2 : 1))
    t.equal(isAnswered, false)
    for (const resolve of waiting.splice(0)) resolve()
    t.equal(
      (await answer).text.split('\n').flatMap(line => line === '' ? [] : JSON.parse(line) as object[]).length, replies
    )
  }
  t.equal(asked[0], 'set unconfirmed')
})

t.test('cursors of up to 2,048 characters reach the store unchanged', async t => {
  const other = createStore('memory:')
  t.teardown(() => other.close())
  const { call } = other
  const cursors: Array<string | undefined> = []
  other.call = async request => {
    if (request.op === 'scan' || request.op === 'collections') {
      cursors.push(request.cursor)
      request.cursor = undefined // longer than any cursor of this engine
    }
    return await call.bind(other)(request)
  }
  const { ask } = await serveAdmin(t, other)
  const callsWith = (cursor: string): object[] => ['scan', 'collections'].map(op => (
    { op, collection: 'c', key: '', cursor }
  ))
  for (const cursor of ['x', '~'.repeat(129), '!'.repeat(2048)]) {
    const answer = await ask('POST', '/calls', { json: callsWith(cursor) })
    t.equal(answer.status, 200)
    t.notMatch(answer.text, /"code"/)
    t.strictSame(cursors.splice(0), [cursor, cursor])
  }
  const answer = await ask('POST', '/calls', { json: callsWith('x'.repeat(2049)) })
  t.match(answer, { status: 400, json: { code: 'STORE_OPTION_INVALID' } })
  t.strictSame(cursors, [])
})
