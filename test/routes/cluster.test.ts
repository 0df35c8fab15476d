// The admin API in real workers that share one store. This process is the primary.
import t from 'tap'
import { createStore } from '../../src/index.js'
import { TOKEN, client } from '../support/admin.js'
import { fork, type TestWorker } from '../support/cluster.js'
import { until } from '../support/until.js'

const store = createStore()
t.after(async () => { await store.close() })

/** A port per worker: `exclusive` keeps the cluster from sharing it. */
async function serve (worker: TestWorker, token: string): Promise<string> {
  return await worker.run(async ({ strongStore, kept }, token) => {
    const { default: Fastify } = await import('fastify')
    kept.app = Fastify({ forceCloseConnections: true })
    await kept.app.register(strongStore.default, { admin: { token } })
    await kept.app.ready()
    await new Promise<void>(
      resolve => { kept.app.server.listen({ port: 0, host: '127.0.0.1', exclusive: true }, resolve) }
    )
    return `http://127.0.0.1:${kept.app.server.address().port}`
  }, token)
}

t.test('wrong tokens are counted once for all workers', async t => {
  const workers = await Promise.all([fork(t), fork(t)])
  const [one, two] = await Promise.all(workers.map(async worker => {
    const { ask, close } = client(await serve(worker, TOKEN), '/_store/v1')
    t.teardown(close)
    return ask
  }))
  const wrong = { headers: { authorization: 'Bearer wrong' } }
  for (let i = 0; i < 10; i++) {
    t.equal((await one!('GET', '/locks', wrong)).status, 401)
    t.equal((await two!('GET', '/locks', wrong)).status, 401)
  }
  t.equal(await store.collection('admin-tries').get('127.0.0.1'), 20)
  t.equal((await two!('GET', '/locks')).status, 429, 'the worker that saw the last failure rejects the right token')
  t.equal((await one!('GET', '/locks')).status, 200, 'the other worker does not ask the store about a right token')
  t.match(
    await one!('GET', '/locks', wrong), { status: 429, json: { code: 'ADMIN_TOO_MANY_TRIES' } },
    'it learns about the block at the next failure'
  )
  t.equal((await one!('GET', '/locks')).status, 429)
})

t.test('two workers share keys, locks and metrics', async t => {
  const workers = await Promise.all([fork(t), fork(t)])
  const [one, two] = await Promise.all(workers.map(async worker => {
    const { ask, close } = client(await serve(worker, TOKEN), '/_store/v1')
    t.teardown(close)
    return ask
  }))
  t.equal((await one!('PUT', '/collections/c/keys/k', { body: '{ "n": 1.0 }' })).status, 201)
  t.equal((await two!('GET', '/collections/c/keys/k')).text, '{ "n": 1.0 }')

  const grant = await one!('POST', '/collections/c/locks/k')
  t.equal(grant.status, 201)
  const order: string[] = []
  const waits = [store.collection('c').acquire('k').then(async lock => { order.push('primary'); await lock.release() })]
  const waiters = (count: number): Promise<unknown> => until(
    async () => (await store.collection('c').lockInfo('k'))?.waiters === count
  )
  await waiters(1)
  waits.push(one!('POST', '/collections/c/locks/k', { headers: { prefer: 'wait=60' } }).then(async ({ json }) => {
    order.push('http')
    t.equal((await two!('DELETE', '/collections/c/locks/k', { headers: { 'lock-token': json.token } })).status, 204)
  }))
  await waiters(2)
  waits.push(workers[1]!.run(async ({ store }) => {
    const lock = await store.collection('c').acquire('k')
    await lock.release()
  }).then(() => { order.push('worker') }))
  await waiters(3)
  t.equal(
    (await two!('DELETE', '/collections/c/locks/k', { headers: { 'lock-token': grant.json.token } })).status, 204,
    'through the other worker'
  )
  await Promise.all(waits)
  t.strictSame(order, ['primary', 'http', 'worker'])

  await one!('PUT', '/collections/c/keys/n', { json: 0 })
  await Promise.all(Array.from({ length: 100 }, async (_, i) => {
    const ask = i % 2 === 0 ? one! : two!
    for (;;) {
      const { json, headers } = await ask('GET', '/collections/c/keys/n')
      const { status } = await ask('PUT', '/collections/c/keys/n', {
        json: json + 1, headers: { 'if-match': headers.etag as string }
      })
      if (status === 204) return
    }
  }))
  t.equal(await store.collection('c').get('n'), 100)

  // The waits of a killed worker end, but a lock acquired through it over HTTP is kept.
  const detached = await one!('POST', '/collections/c/locks/k', { json: { lease: 1000 } })
  const gone = one!('GET', '/collections/c/keys/k', {
    headers: { prefer: 'wait=60' }
  }).then(() => 'answered', () => 'gone')
  await waiters(1)
  t.match((await two!('GET', '/metrics')).text, /^strong_store_processes 3$/m, 'one scrape covers all processes')
  workers[0]!.kill('SIGKILL')
  t.equal(await gone, 'gone')
  await waiters(0)
  t.equal(
    (await two!('DELETE', '/collections/c/locks/k', { headers: { 'lock-token': detached.json.token } })).status, 204
  )
  t.match((await two!('GET', '/stats')).json, { processes: 2, locks: 0 })
})
