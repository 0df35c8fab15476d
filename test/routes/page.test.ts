// The files of the admin page as they are served: small, strict, under any prefix, beside any app.
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
const POLICY = /^default-src 'none'; script-src 'self'; style-src 'self'; .*require-trusted-types-for 'script'; trusted-types 'none'$/

t.test('it is small, and all of its URLs are relative', async t => {
  t.ok(Object.values(FILES).reduce((sum, text) => sum + Buffer.byteLength(text), 0) <= MAX_BYTES)
  const index = FILES['index.html']!
  for (const [, url] of index.matchAll(/(?:href|src)="([^"]*)"/g)) {
    t.ok(url === 'data:,' || Object.hasOwn(FILES, url!.replace('page/', '')), url!)
  }
  t.notMatch(index, /<style|<script(?![^>]* src=)| style=| on\w+=/, 'nothing is inline')
  t.notMatch(Object.values(FILES).join(''), /https?:\/\/(?!www\.w3\.org\/2000\/svg)/, 'no other server is asked')
})

t.test('with a redirect to the trailing slash, a policy, and an ETag; without a token', async t => {
  const store = createStore('memory:')
  const { origin } = await serveAdmin(t, store)
  const redirect = await fetch(`${origin}/_store/v1`, { redirect: 'manual' })
  t.equal(redirect.status, 308)
  t.equal(redirect.headers.get('location'), 'v1/')
  const page = await fetch(`${origin}/_store/v1`)
  t.equal(page.url, `${origin}/_store/v1/`)
  t.equal(await page.text(), FILES['index.html'])
  for (const [name, type] of [['', 'text/html'], ['page/main.js', 'text/javascript'], ['page/style.css', 'text/css']] as const) {
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

t.test('page: false', async t => {
  const store = createStore('memory:')
  const { origin } = await serveAdmin(t, store, { page: false })
  for (const path of ['', '/', '/page/main.js']) t.equal((await fetch(`${origin}/_store/v1${path}`)).status, 401, path)
  const app = Fastify()
  await t.rejects(Promise.resolve(app.register(strongStore, { url: 'memory:', admin: { token: 'x', page: 'no' } } as unknown as StrongStoreOptions)),
    { code: 'STORE_OPTION_INVALID', message: /admin\.page: expected true or false/ })
})

t.test('under helmet, at the root, in Express, and behind a proxy that takes a path away', async t => {
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
      response.writeHead(answer.status, Object.fromEntries([...answer.headers].filter(([name]) => !/encoding|length/.test(name))))
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
    t.match(page.headers.get('content-security-policy'), POLICY, 'instead of that of helmet')
    const script = await fetch(new URL('page/main.js', page.url))
    t.equal(await script.text(), FILES['main.js'])
  }
})

t.test('what a token allows', async t => {
  const store = createStore('memory:')
  const { ask } = await serveAdmin(t, store, { tokens: [{ name: 'one', token: 'scoped', access: 'read', collections: ['a', 'b'] }] })
  const access = async (token: string): Promise<unknown> => (
    (await ask('GET', '/access', { headers: { authorization: `Bearer ${token}` } })).json as unknown
  )
  t.strictSame(await access(TOKEN), { access: 'write' })
  t.strictSame(await access(READ_TOKEN), { access: 'read' })
  t.strictSame(await access('scoped'), { name: 'one', access: 'read', collections: ['a', 'b'] })
  t.match(await access('wrong'), { code: 'ADMIN_TOKEN_WRONG' })
})
