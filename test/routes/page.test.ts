// The files of the admin page: their size, policy and caching, under any prefix and in any app.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import Fastify from 'fastify'
import helmet from 'helmet'
import t from 'tap'
import { FILES } from '../../routes/page-files.js'
import { strongStore } from '../../src/index.js'
import { expressAdmin } from '../../src/web/express.js'
import { READ_TOKEN, TOKEN, serveAdmin } from '../support/admin.js'
import { createStore, type StrongStoreOptions } from '../../src/index.js'

const MAX_BYTES = 60_000
const POLICY =
  /^default-src 'none'; script-src 'self'; style-src 'self'; .*require-trusted-types-for 'script'; trusted-types 'none'$/

t.test('the page is small, and all of its URLs are relative', async t => {
  t.ok(Object.values(FILES).reduce((sum, text) => sum + Buffer.byteLength(text), 0) <= MAX_BYTES)
  const index = FILES['index.html']!
  for (const [, url] of index.matchAll(/(?:href|src)="([^"]*)"/g)) {
    t.ok(url === 'data:,' || Object.hasOwn(FILES, url!.replace('page/', '')), url!)
  }
  t.notMatch(index, /<style|<script(?![^>]* src=)| style=| on\w+=/, 'there are no inline scripts or styles')
  t.notMatch(Object.values(FILES).join(''), /https?:\/\/(?!www\.w3\.org\/2000\/svg)/, 'no URL of another server')
})

t.test('the page is served without a token, with a redirect to the trailing slash, a policy and ETags', async t => {
  const store = createStore('memory:')
  const { origin } = await serveAdmin(t, store)
  const redirect = await fetch(`${origin}/_store/v1`, { redirect: 'manual' })
  t.equal(redirect.status, 308)
  t.equal(redirect.headers.get('location'), 'v1/')
  const page = await fetch(`${origin}/_store/v1`)
  t.equal(page.url, `${origin}/_store/v1/`)
  t.equal(await page.text(), FILES['index.html'])
  for (const [name, type] of [
    ['', 'text/html'], ['page/main.js', 'text/javascript'], ['page/style.css', 'text/css']
  ] as const) {
    const { status, headers } = await fetch(`${origin}/_store/v1/${name}`)
    t.equal(status, 200)
    t.ok(headers.get('content-type')!.startsWith(type))
    t.match(headers.get('content-security-policy'), POLICY)
    t.equal(headers.get('x-content-type-options'), 'nosniff')
    const again = await fetch(`${origin}/_store/v1/${name}`, { headers: { 'if-none-match': headers.get('etag')! } })
    t.equal(again.status, 304)
  }
  for (const name of ['page/none.js', 'page/index.html', 'page/__proto__', 'page/']) {
    t.ok([401, 404].includes((await fetch(`${origin}/_store/v1/${name}`)).status), name)
  }
})

t.test('page: false serves no page', async t => {
  const store = createStore('memory:')
  const { origin } = await serveAdmin(t, store, { page: false })
  for (const path of ['', '/', '/page/main.js']) t.equal((await fetch(`${origin}/_store/v1${path}`)).status, 401, path)
  const app = Fastify()
  await t.rejects(
    Promise.resolve(
      app.register(strongStore, { url: 'memory:', admin: { token: 'x', page: 'no' } } as unknown as StrongStoreOptions)
    ),
    { code: 'STORE_OPTION_INVALID', message: /admin\.page: expected true or false/ }
  )
})

t.test('the page works with helmet, at the root, in Express, and through a proxy that rewrites the path', async t => {
  const app = Fastify()
  app.addHook('onRequest', (request, reply, done) => { helmet()(request.raw, reply.raw, done as () => void) })
  await app.register(strongStore, { url: 'memory:', admin: { auth: false, prefix: '' } })
  const other = express()
  other.use(helmet())
  other.use('/deep/er', expressAdmin({ url: 'memory:', admin: { auth: false } }))
  const server = other.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const beside = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const proxy = createServer((request, response) => {
    fetch(beside + request.url!.replace('/proxied', '/deep'), { redirect: 'manual' }).then(async answer => {
      response.writeHead(
        answer.status, Object.fromEntries([...answer.headers].filter(([name]) => !/encoding|length/.test(name)))
      )
      response.end(await answer.text())
    }, t.threw)
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(async () => {
    server.close()
    proxy.close()
    await app.close()
  })
  const bases = [origin, `${beside}/deep/er`, `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/proxied/er`]
  for (const base of bases) {
    const page = await fetch(base)
    t.equal(page.url, `${base}/`)
    t.equal(page.status, 200)
    t.match(page.headers.get('content-security-policy'), POLICY, 'instead of the policy of helmet')
    const script = await fetch(new URL('page/main.js', page.url))
    t.equal(await script.text(), FILES['main.js'])
  }
})

t.test('GET /access returns the permissions of a token', async t => {
  const store = createStore('memory:')
  const { ask } = await serveAdmin(t, store, {
    tokens: [{ name: 'one', token: 'scoped', access: 'read', collections: ['a', 'b'] }]
  })
  const access = async (token: string): Promise<unknown> => (
    (await ask('GET', '/access', { headers: { authorization: `Bearer ${token}` } })).json as unknown
  )
  t.strictSame(await access(TOKEN), { access: 'write' })
  t.strictSame(await access(READ_TOKEN), { access: 'read' })
  t.strictSame(await access('scoped'), { name: 'one', access: 'read', collections: ['a', 'b'] })
  t.match(await access('wrong'), { code: 'ADMIN_TOKEN_WRONG' })
})

t.test('the biggest keys are listed, and the search continues from a cursor', async t => {
  const store = createStore('memory:')
  const { ask } = await serveAdmin(t, store)
  const c = store.collection<string>('c')
  await c.setMany(Array.from({ length: 3000 }, (_, i) => [`${i}`, 'x'.repeat(i)] as const))
  const all = (await ask('GET', '/collections/c/biggest?limit=3')).json
  t.match(all, {
    keys: [{ key: '2999', bytes: 3001, version: Number }, { key: '2998' }, { key: '2997' }],
    examined: 3000,
    cursor: undefined
  })
  let cursor = ''
  let examined = 0
  const found: string[] = []
  do {
    const part = (await ask('GET', `/collections/c/biggest?limit=1&examine=1000${cursor}`)).json
    found.push(part.keys[0].key)
    examined += part.examined
    cursor = part.cursor === undefined ? '' : `&cursor=${part.cursor}`
  } while (cursor !== '')
  t.equal(examined, 3000)
  t.ok(found.length >= 3 && found.includes('2999'))
  t.match((await ask('GET', '/collections/none/biggest')).json, { keys: [], examined: 0 })
  for (const query of ['limit=0', 'limit=1001', 'examine=0', 'examine=100001', 'prefix=a']) {
    t.equal((await ask('GET', `/collections/c/biggest?${query}`)).status, 400, query)
  }
})

t.test('statistics include the connections and the memory of the store', async t => {
  const store = createStore('memory:')
  const { ask } = await serveAdmin(t, store)
  const lock = await store.collection('c').acquire('k')
  const wait = store.collection('c').get('k')
  t.match((await ask('GET', '/stats')).json, {
    processes: 1,
    connections: [{ name: `pid ${process.pid}`, locks: 1, waiting: 1, backlog: 0 }],
    memory: { rss: Number, heap: Number }
  })
  await lock.release()
  await wait
  t.match((await store.stats()).connections, [{ locks: 0, waiting: 0 }])
})

t.test('rates of collections are measured on request, and metrics have a label per collection', async t => {
  const store = createStore('memory:')
  const { ask } = await serveAdmin(t, store)
  const c = store.collection<number>('c')
  await c.set('k', 1)
  t.equal((await ask('GET', '/collections/c')).json.rates, undefined)
  const measuring = ask('GET', '/collections/c?over=0.2')
  const writing = setInterval(() => { c.increment('k').catch(t.threw) }, 1)
  const [one, all] = [(await measuring).json, (await ask('GET', '/collections?over=0.1')).json]
  clearInterval(writing)
  t.match(one, { name: 'c', rates: { reads: 0, expired: 0, evicted: 0 } })
  t.ok(one.rates.writes > 0)
  t.ok(all.collections[0].rates.writes > 0)
  t.equal((await ask('GET', '/collections/c?over=61')).status, 400)
  t.equal((await ask('GET', '/collections/none?over=1')).status, 404)
  for (let i = 0; i < 120; i++) await store.collection(`c${i}`).set('k', 'x'.repeat(i))
  const { text } = await ask('GET', '/metrics')
  t.match(text, /^strong_store_collection_bytes\{collection="c119"\} 122$/m)
  t.equal(Array.from(text.matchAll(/^strong_store_collection_keys\{/gm)).length, 100, 'at most a hundred')
  t.notMatch(text, 'collection="c0"')
})
