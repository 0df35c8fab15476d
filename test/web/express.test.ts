import express from 'express'
import { createRequire } from 'node:module'
import type { RequestListener } from 'node:http'
import t from 'tap'
import { request } from 'undici'
import { expressStore } from '../../src/web/express.js'
import { createStore } from '../../src/index.js'
import { requestScope, serve, type Application } from '../support/request-scope.js'

// Version 4 under a name of its own, which has no types of its own.
const express4 = createRequire(import.meta.url)('express4') as typeof express

const applicationOf = (make: typeof express): Application => async (store, routes) => {
  const app = make()
  app.use(expressStore({ store }))
  for (const [path, handler] of Object.entries(routes)) {
    app.get(path, (request, response, next) => {
      handler(request.store, response).then(body => { response.send(body) }, next)
    })
  }
  app.use(((error: Error & { statusCode?: number }, _request, response, _next) => {
    response.status(error.statusCode ?? 500).send(error.message)
  }) as express.ErrorRequestHandler)
  return app as RequestListener
}

await requestScope(t, 'Express 5', applicationOf(express))
await requestScope(t, 'Express 4', applicationOf(express4))

t.test('req.store is one store for a request, that of the cluster where nothing is said', async t => {
  t.teardown(() => createStore().close())
  const app = express()
  app.use(expressStore())
  app.get('/', async (request, response) => {
    t.equal(request.store, request.store)
    response.json(await request.store.collection('express').increment('n'))
  })
  const url = await serve(t, app as RequestListener)
  await (await request(url)).body.json()
  t.equal(await (await request(url)).body.json(), 2)
  t.equal(await createStore().collection('express').get('n'), 2)
})

t.test('bad options are refused', async t => {
  t.throws(() => expressStore({ store: {} as never }), { code: 'STORE_OPTION_INVALID' })
  t.throws(() => expressStore({ prefix: 1 } as object), { code: 'STORE_OPTION_INVALID', message: /there is no option "prefix"/ })
})
