// Locks over HTTP, through two servers that share a store with application code.
import { connect } from 'node:net'
import t from 'tap'
import { createStore } from '../../src/index.js'
import { TOKEN, serveAdmin } from '../support/admin.js'
import { until } from '../support/until.js'

const store = createStore('memory:')
const one = await serveAdmin(t, store, { maxLease: 200, maxWait: 100 })
const two = await serveAdmin(t, store)
t.teardown(() => store.close())

const waiters = (key: string, count: number): Promise<unknown> => until(
  async () => (await store.collection('locks').lockInfo(key))?.waiters === count
)
const path = (key: string): string => `/collections/locks/locks/${key}`
const keyPath = (key: string): string => `/collections/locks/keys/${key}`
const wait = { prefer: 'wait=60' }
const free = async (key: string): Promise<boolean> => await store.collection('locks').lockInfo(key) === undefined

t.test('a lock is acquired through one server, used and released through another', async t => {
  await store.collection('locks').set('through', { n: 1 })
  const grant = await one.ask('POST', path('through'), { json: { owner: 'me é' } })
  const { version } = (
    await store.collection('locks').lockInfo('through') !== undefined && { version: grant.json.version }
  ) as { version: number }
  t.match(grant, {
    status: 201,
    headers: {
      location: `/_store/v1${path('through')}`,
      'lock-token': grant.json.token,
      'x-ttl': /^(30\.000|29\.\d{3})$/,
      'cache-control': 'no-store'
    },
    json: { owner: 'me é', value: { n: 1 }, version, fence: Number }
  })
  t.ok(
    Math.abs(Date.parse(grant.json.expiresAt) - Date.now() - 30_000) < 5000, 'thirty seconds by default'
  )
  const held = { 'lock-token': grant.json.token as string }
  t.match(await two.ask('GET', keyPath('through')), { status: 423 })
  t.equal((await two.ask('GET', keyPath('through'), { headers: held })).text, '{"n":1}')
  t.match(
    await two.ask('PUT', keyPath('through'), {
      json: { n: 2 }, headers: { 'lock-token': 'another token that is none' }
    }),
    { status: 409, json: { code: 'STORE_LOCK_LOST' } }
  )
  t.equal((await two.ask('PUT', keyPath('through'), { json: { n: 2 }, headers: held })).status, 204)
  const waiting = store.collection('locks').get('through')
  t.equal((await two.ask('PUT', `${keyPath('through')}?release=true`, { json: { n: 3 }, headers: held })).status, 204)
  t.strictSame(await waiting, { n: 3 })
  t.match(
    await one.ask('DELETE', path('through'), { headers: held }), { status: 404, json: { code: 'ADMIN_NOT_FOUND' } }
  )
})

t.test('application code and HTTP clients get a lock in arrival order', async t => {
  const order: string[] = []
  const first = await store.collection('locks').acquire('fifo')
  const waits: Array<Promise<unknown>> = []
  for (let i = 0; i < 12; i++) {
    if (i % 3 === 0) {
      waits.push(
        store.collection('locks').acquire('fifo').then(async lock => { order.push(`app ${i}`); await lock.release() })
      )
    } else {
      const { ask } = i % 3 === 1 ? one : two
      waits.push(ask('POST', path('fifo'), { headers: wait }).then(async ({ status, json, headers }) => {
        t.equal(status, 201)
        t.equal(headers['preference-applied'], 'wait=60')
        order.push(`http ${i}`)
        t.equal((await two.ask('DELETE', path('fifo'), { headers: { 'lock-token': json.token } })).status, 204)
      }))
    }
    await waiters('fifo', i + 1)
  }
  t.strictSame(
    (await one.ask('GET', path('fifo'))).json.queue.map(({ op }: { op: string }) => op), Array(12).fill('acquire')
  )
  await first.release()
  await Promise.all(waits)
  t.strictSame(order, Array.from({ length: 12 }, (_, i) => `${i % 3 === 0 ? 'app' : 'http'} ${i}`))
  t.ok(await free('fifo'))
})

t.test('without waiting, requests for a locked key get 423, which names the lock owner', async t => {
  const since = Date.now()
  const lock = await store.collection('locks').acquire('busy', { owner: 'the holder é' })
  for (const [method, url, json] of [
    ['GET', keyPath('busy')], ['PUT', keyPath('busy'), 1], ['PATCH', keyPath('busy'), { increment: 1 }],
    ['PATCH', keyPath('busy'), { touch: true }],
    ['DELETE', keyPath('busy')], ['POST', path('busy')]
  ] as const) {
    for (const headers of [{}, { prefer: 'wait=0' }, { prefer: 'wait=x' }, { prefer: 'respond-async' }] as Array<
      Record<string, string>
    >) {
      const answer = await one.ask(method, url, { headers, ...(json === undefined ? {} : { json }) })
      t.match(answer, {
        status: 423,
        headers: { 'retry-after': '1' },
        json: { code: 'STORE_LOCKED', status: 423, holder: 'the holder é', waiters: 0 }
      })
      t.ok(Math.abs(Date.parse(answer.json.since) - since) < 5000)
    }
  }
  t.match(
    await one.ask('GET', keyPath('busy'), { headers: { prefer: 'respond-async, wait=1' } }),
    { status: 423, json: { code: 'STORE_TIMEOUT', holder: 'the holder é' } }
  )
  t.equal((await one.ask('GET', keyPath('other'))).status, 404, 'other keys are free')
  const waiting = two.ask('GET', keyPath('busy'), { headers: { prefer: 'wait=1000000' } })
  await waiters('busy', 1)
  lock.set('done')
  await lock.release()
  t.match(await waiting, { status: 200, text: '"done"', headers: { 'preference-applied': 'wait=600' } })
})

t.test('leases expire, can be renewed, and have a maximum', async t => {
  const short = await one.ask('POST', path('lease'), { json: { lease: 0.05 } })
  t.equal(short.status, 201)
  const next = await two.ask('POST', path('lease'), { headers: wait, json: { lease: 100 } })
  t.equal(next.status, 201)
  t.ok(next.json.fence > short.json.fence)
  t.equal(
    (await one.ask('PUT', keyPath('lease'), { json: 'late', headers: { 'lock-token': short.json.token } })).status, 409
  )
  t.match(
    await one.ask('PATCH', path('lease'), { headers: { 'lock-token': short.json.token } }),
    { status: 409, json: { code: 'STORE_LOCK_LOST' } }
  )
  const held = { 'lock-token': next.json.token as string }
  const renewed = await one.ask('PATCH', path('lease'), { headers: held, json: { lease: 150 } })
  t.match(renewed, { status: 200, headers: { 'x-ttl': /^1[45]\d/ } })
  t.ok(Date.parse(renewed.json.expiresAt) > Date.now() + 140_000)
  t.match(await one.ask('PATCH', path('lease'), { headers: held }), { status: 200, headers: { 'x-ttl': /^1[45]\d/ } })
  for (const lease of [0, -1, 201, 1e99, '5', null]) {
    t.match(
      await one.ask('PATCH', path('lease'), { headers: held, json: { lease } }),
      { status: 400, json: { code: 'STORE_OPTION_INVALID' } }, String(lease)
    )
    t.match(
      await one.ask('POST', path('other'), { json: { lease } }),
      { status: 400, json: { code: 'STORE_OPTION_INVALID' } }, String(lease)
    )
  }
  t.equal((await one.ask('PATCH', path('lease'))).status, 400, 'without a token')
  t.equal((await one.ask('DELETE', path('lease'))).status, 400)
  t.equal((await one.ask('PATCH', path('none'), { headers: held })).status, 404)
  t.equal((await one.ask('DELETE', path('lease'), { headers: held })).status, 204)
})

t.test('locks are listed without their tokens, and can be broken', async t => {
  const grant = await one.ask('POST', path('seen'), { json: { owner: 'x'.repeat(1024) } })
  for (const answer of [await two.ask('GET', path('seen')), await two.ask('GET', '/locks')]) {
    t.equal(answer.status, 200)
    t.notOk(answer.text.includes(grant.json.token))
  }
  t.match((await two.ask('GET', '/locks')).json.locks, [
    { collection: 'locks', key: 'seen', fence: grant.json.fence, waiters: 0 }
  ])
  t.equal((await two.ask('GET', path('none'))).status, 404)
  t.equal((await two.ask('DELETE', `${path('seen')}?force=true`)).status, 204)
  t.equal((await two.ask('DELETE', `${path('seen')}?force=true`)).status, 404)
  t.equal((await one.ask('DELETE', path('seen'), { headers: { 'lock-token': grant.json.token } })).status, 404)
  const lock = await store.collection('locks').acquire('seen')
  const lost = new Promise(resolve => { lock.signal.addEventListener('abort', resolve) })
  t.equal((await one.ask('DELETE', path('seen'), { headers: { 'lock-token': grant.json.token } })).status, 409)
  t.equal((await two.ask('DELETE', `${path('seen')}?force=true`)).status, 204)
  await lost
})

t.test('a client that disconnects while waiting leaves the queue', async t => {
  for (const [method, url, json] of [
    ['POST', path('gone')], ['GET', keyPath('gone')], ['PUT', keyPath('gone'), 'never'], ['DELETE', keyPath('gone')]
  ] as const) {
    const lock = await store.collection('locks').acquire('gone')
    const controller = new AbortController()
    const gone = one.ask(method, url, {
      headers: wait, signal: controller.signal, ...json === undefined ? {} : { json }
    })
    await waiters('gone', 1)
    const next = two.ask('POST', path('gone'), { headers: wait })
    await waiters('gone', 2)
    controller.abort()
    await t.rejects(gone, { name: 'AbortError' })
    await waiters('gone', 1)
    await lock.release()
    const { json: { token, value } } = await next
    t.equal(value, undefined)
    await two.ask('DELETE', path('gone'), { headers: { 'lock-token': token } })
  }
})

t.test('a client that disconnects during the grant does not keep the lock', async t => {
  for (let i = 0; i < 30; i++) {
    const lock = await store.collection('locks').acquire('moment')
    const socket = connect(one.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(
      `POST /_store/v1${path('moment')} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nPrefer: wait=60\r\nContent-Length: 0\r\n\r\n`
    )
    await waiters('moment', 1)
    socket.destroy()
    // The server notices after some turns of the event loop, so the grant is made before or after that.
    for (let turn = 0; turn < i % 5; turn++) await new Promise(resolve => { setImmediate(resolve) })
    await lock.release()
    await until(() => free('moment'))
    t.pass('the lock is free again')
  }
})

t.test('a wait or lock with a chosen token can be released before the response', async t => {
  const token = 'a-token-that-a-client-chose'
  const lock = await store.collection('locks').acquire('named')
  const waiting = one.ask('POST', path('named'), { headers: { ...wait, 'lock-token': token } })
  await waiters('named', 1)
  t.equal((await two.ask('DELETE', path('named'), { headers: { 'lock-token': token } })).status, 204)
  t.match(await waiting, { status: 499, json: { code: 'STORE_ABORTED' } })
  await lock.release()
  t.equal((await one.ask('POST', path('named'), { headers: { 'lock-token': token } })).json.token, token)
  t.equal((await two.ask('DELETE', path('named'), { headers: { 'lock-token': token } })).status, 204)
  t.ok(await free('named'))
  for (const bad of ['short', 'x'.repeat(129)]) {
    t.equal((await one.ask('POST', path('named'), { headers: { 'lock-token': bad } })).status, 400)
  }
})

t.test('a retry with the same token gets the same grant', async t => {
  const token = 'a-token-that-a-client-repeats'
  const headers = { 'lock-token': token }
  await store.collection('locks').set('again', { a: 1 })
  const first = await one.ask('POST', path('again'), { headers, json: { lease: 60, owner: 'me' } })
  const second = await two.ask('POST', path('again'), { headers, json: { lease: 5, owner: 'somebody else' } })
  t.match(second, { status: 201, headers: { 'lock-token': token, location: first.headers.location as string } })
  const { expiresAt, ...grant } = first.json
  t.match(second.json, { ...grant, value: { a: 1 } })
  t.ok(Math.abs(Date.parse(second.json.expiresAt) - Date.parse(expiresAt)) < 1000, 'the lease is unchanged')
  t.equal((await two.ask('POST', path('again'), { headers: { 'lock-token': `${token}2` } })).status, 423)
  t.equal((await two.ask('PUT', `${keyPath('again')}?release=true`, { headers, json: 2 })).status, 204)
  t.equal(await store.collection('locks').get('again'), 2)
  const third = await one.ask('POST', path('again'), { headers })
  t.ok(third.json.fence > grant.fence, 'after the release, it is a new grant')
  t.equal((await one.ask('DELETE', path('again'), { headers })).status, 204)
})

t.test('no locks are left', async t => {
  t.strictSame(await store.locks(), [])
})
