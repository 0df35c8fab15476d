// The admin API in an Express app that uses the same store.
import { once } from 'node:events'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import express from 'express'
import t, { type Test } from 'tap'
import { expressAdmin, expressStore, type ExpressAdminOptions } from '../../src/web/express.js'
import { createStore } from '../../src/index.js'
import { TOKEN, client } from '../support/admin.js'

// Version 4 is installed under an alias, which has no types.
const express4 = createRequire(import.meta.url)('express4') as typeof express

for (const [version, make] of [[4, express4], [5, express]] as const) {
  t.test(`Express ${version}: app.use mounts the admin API`, async t => { await mounted(t, make) })
}

async function mounted (t: Test, make: typeof express): Promise<void> {
  const store = createStore('memory:')
  const app = make()
  app.set('trust proxy', true)
  app.use('/_store/v1', expressAdmin({ store, admin: { token: TOKEN } }))
  app.use(make.json(), expressStore({ store }))
  app.use('/late', expressAdmin({ store, admin: { token: TOKEN } }))
  app.get('/value', async (req, res) => { res.json(await req.store.collection('c').get('a/b')) })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { ask, close } = client(origin, '/_store/v1')
  t.teardown(async () => {
    await close()
    server.close()
    await store.close()
  })
  t.equal((await ask('PUT', '/collections/c/keys/a/b', { json: { n: 1 } })).status, 201)
  t.strictSame(await (await fetch(`${origin}/value`)).json(), { n: 1 })
  for (const key of ['k'.repeat(1024), '😀'.repeat(256), '..', '%zz'.slice(0, 1), '']) {
    t.equal((await ask('PUT', `/collections/c/keys/${encodeURIComponent(key)}`, { json: 2 })).status, 201)
    t.equal(await store.collection('c').get(key), 2)
  }
  const grant = await ask('POST', '/collections/c/locks/k', { headers: { 'x-forwarded-for': '192.0.2.1' } })
  t.equal(grant.json.owner, 'http 192.0.2.1', 'the address that Express sees')
  t.match(grant, { status: 201, headers: { location: '/_store/v1/collections/c/locks/k' } })
  t.equal((await ask('DELETE', '/collections/c/locks/k', { headers: { 'lock-token': grant.json.token } })).status, 204)
  t.equal((await ask('GET', '/collections', { headers: { authorization: '' } })).status, 401)
  t.match(
    await ask('PUT', '/collections/c/keys/k', { body: '{' }), { status: 400, headers: { 'content-type': /problem/ } }
  )
  for (const path of ['/collections/c/keys/%zz', '/collections/%ff']) {
    t.match(await ask('GET', path), { status: 400, json: { code: 'ADMIN_URL_INVALID' } })
  }
  t.match(
    await ask('PUT', '/collections/c/keys/k', { body: '1', headers: { 'content-type': 'text/plain' } }),
    { status: 415, json: { code: 'ADMIN_UNSUPPORTED_MEDIA_TYPE' } }
  )
  t.match(await ask('GET', `/collections/${'c'.repeat(5000)}`), { status: 400, json: { code: 'STORE_KEY_INVALID' } })
  t.match(await ask('POST', '/locks'), {
    status: 405, json: { code: 'ADMIN_METHOD_NOT_ALLOWED' }, headers: { allow: 'GET, HEAD' }
  })
  t.match((await ask('GET', '/openapi.yaml')).text, /^servers:\n {2}- url: \/_store\/v1$/m)
  t.match(await ask('GET', '/nothing'), { status: 404, json: { code: 'ADMIN_NOT_FOUND' } })
  const late = client(origin, '/late')
  t.match(
    await late.ask('PUT', '/collections/c/keys/k', { json: { n: 1 } }), { status: 400, text: /before express\.json/ },
    'a body that was already parsed is rejected'
  )
  await late.close()
}

t.test('invalid options are rejected at startup', async t => {
  const store = createStore('memory:')
  for (const [options, message] of [
    [{}, /needs a token, or auth: false/],
    [{ admin: {} }, /needs a token, or auth: false/],
    [{ admin: { token: 'with a space' } }, /invalid admin\.token: expected visible ASCII/],
    [{ admin: { token: TOKEN, maxWait: '5' } }, /invalid admin\.maxWait: expected seconds, at least 0\.001, got "5"/],
    [{ admin: { token: TOKEN, prefix: '/x' } }, /app\.use\(prefix/],
    [{ admin: { token: TOKEN, toke: 'x' } }, /unknown option "toke"/],
    [{ admin: { token: TOKEN }, store: {} }, /expected a store made by createStore/]
  ] as Array<[object, RegExp]>) {
    t.throws(
      () => expressAdmin({ store, ...options } as ExpressAdminOptions), { code: 'STORE_OPTION_INVALID', message }
    )
  }
  await store.close()
})
