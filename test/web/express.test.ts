import express from 'express'
import { createRequire } from 'node:module'
import type { RequestListener } from 'node:http'
import t from 'tap'
import { request } from 'undici'
import { expressStore, expressStoreErrors } from '../../src/web/express.js'
import { createStore } from '../../src/index.js'
import { overHttp1, requestScope, serve, type Application } from '../support/request-scope.js'

// Express 4, which is installed under another name and has no types.
const express4 = createRequire(import.meta.url)('express4') as typeof express

const applicationOf = (make: typeof express): Application => async (t, store, routes) => {
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
  return await overHttp1(t, app as RequestListener)
}

await requestScope(t, 'Express 5', applicationOf(express))
await requestScope(t, 'Express 4', applicationOf(express4))

t.test('req.store is one object per request, by default for the store of the cluster', async t => {
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

t.test('a failed commit is passed to the error handlers after the route, and the response is not sent', async t => {
  for (const make of [express, express4]) {
    const store = createStore('memory:')
    t.teardown(() => store.close())
    const app = make()
    app.use(expressStore({ store }))
    const lose = async (request: express.Request): Promise<void> => {
      (await request.store.collection('c').acquire('key')).set('set')
      await store.collection('c').breakLock('key')
    }
    const router = make.Router()
    router.get('/json', (request, response, next) => {
      lose(request).then(() => {
        response.status(201).json({ done: true })
      }, next)
    })
    app.use('/routed', router)
    app.get('/stream', (request, response, next) => {
      lose(request).then(() => {
        response.type('text').set('Content-Length', '3')
        response.write('a')
        response.write('b')
        setImmediate(() => { response.end('c') })
      }, next)
    })
    app.use(((error: Error & { code?: string, statusCode?: number }, _request, response, _next) => {
      response.status(error.statusCode ?? 500).json({ code: error.code, handled: true })
    }) as express.ErrorRequestHandler)
    const { get } = await overHttp1(t, app as RequestListener)
    t.strictSame(await get('/routed/json'), [409, '{"code":"STORE_LOCK_LOST","handled":true}'])
    const [status, body] = await get('/stream')
    t.equal(status, 409, 'while the handler is still writing, the error handlers are bypassed')
    t.match(JSON.parse(body), { code: 'STORE_LOCK_LOST', handled: undefined })
    t.equal(await store.collection('c').get('key'), undefined)
  }
})

t.test('expressStoreErrors: the changes of a failed handler are dropped, whatever the status of its error', async t => {
  for (const make of [express, express4]) {
    const store = createStore('memory:')
    t.teardown(() => store.close())
    const jobs = store.collection<string>('jobs')
    const app = make()
    app.use(expressStore({ store }))
    const change = async (request: express.Request): Promise<void> => {
      (await request.store.collection<string>('jobs').acquire('key')).set(request.path)
    }
    const router = make.Router()
    router.get('/fail', (request, _response, next) => {
      change(request).then(() => { throw Object.assign(new Error('no'), { statusCode: 422 }) }).catch(next)
    })
    router.get('/send', (request, response, next) => { change(request).then(() => { response.sendStatus(422) }, next) })
    app.use(router)
    app.use(expressStoreErrors())
    app.use(((error: Error & { statusCode: number }, _request, response, _next) => {
      response.status(error.statusCode).send(error.message)
    }) as express.ErrorRequestHandler)
    const { get } = await overHttp1(t, app as RequestListener)
    t.strictSame(await get('/fail'), [422, 'no'])
    t.equal(await jobs.get('key', { timeout: 5 }), undefined)
    t.equal((await get('/send'))[0], 422)
    t.equal(await jobs.get('key', { timeout: 5 }), '/send', 'a handler that sends the status itself has not failed')
  }
})

t.test('invalid options are rejected', async t => {
  t.throws(() => expressStore({ store: {} as never }), { code: 'STORE_OPTION_INVALID' })
  t.throws(() => expressStore({ prefix: 1 } as object), {
    code: 'STORE_OPTION_INVALID', message: /unknown option "prefix"/
  })
})
