// `npm start`: four workers that share a counter, carts and logins. Whichever of them answers, all see one state.
import cluster from 'node:cluster'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify from 'fastify'
import strongStore, { type Store } from 'strong-store' // in the primary, importing it is all there is to do
import { fastifyRateLimitStore } from 'strong-store/rate-limit'

const WORKERS = Number(process.env.WORKERS ?? 4)
const ADMIN = '/_store/v1'

if (cluster.isPrimary) await primary()
else await worker()

async function primary (): Promise<void> {
  const env = { STORE_TOKEN: process.env.STORE_TOKEN ?? randomUUID() }
  let isStopping = false
  const stop = (): void => {
    if (isStopping) return
    isStopping = true
    for (const worker of Object.values(cluster.workers!)) worker!.process.kill('SIGTERM')
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  cluster.on('exit', worker => {
    if (isStopping) return
    console.log(`worker ${worker.process.pid} has gone; its locks were released, and another worker starts`)
    cluster.fork(env)
  })
  const addresses = await Promise.all(Array.from({ length: WORKERS }, async () => {
    const [{ port }] = await once(cluster.fork(env), 'listening') as [{ port: number }]
    return `http://localhost:${port}`
  }))
  const url = addresses[0]!
  console.log(`
Admin page:  ${url}${ADMIN}/
Its token:   ${env.STORE_TOKEN}

${WORKERS} workers serve ${url}. Each answer names the one that gave it. Try, more than once:

  curl -X POST ${url}/counter
  curl -X POST ${url}/carts/42 -H 'content-type: application/json' -d '{"item": "tea"}'
  curl ${url}/carts/42
  curl -c /tmp/cookies -X POST ${url}/login -H 'content-type: application/json' -d '{"name": "Ada"}'
  curl -b /tmp/cookies ${url}/me

The admin API, which needs the token; ${url}/docs describes all of it:

  curl -H 'authorization: Bearer ${env.STORE_TOKEN}' ${url}${ADMIN}/collections
  curl -H 'authorization: Bearer ${env.STORE_TOKEN}' ${url}${ADMIN}/collections/counters/keys/hits
  curl -H 'authorization: Bearer ${env.STORE_TOKEN}' ${url}${ADMIN}/collections/carts/locks/42 -X POST
  curl -H 'authorization: Bearer ${env.STORE_TOKEN}' ${url}${ADMIN}/locks

Ctrl-C stops it.`)
}

interface Cart { items: string[] }
interface Session { name: string, visits: number }

async function worker (): Promise<void> {
  const app = Fastify({ forceCloseConnections: true })
  // It covers the admin API, too.
  await app.register(rateLimit, { max: 1000, timeWindow: '1 minute', store: fastifyRateLimitStore() })
  await app.register(strongStore, { admin: { prefix: ADMIN, token: process.env.STORE_TOKEN } })
  const openapi = fileURLToPath(new URL('../../openapi.yaml', import.meta.url))
  await app.register(swagger, { mode: 'static', specification: { path: openapi, baseDir: '' } })
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true })

  const sessions = app.store.collection<Session>('sessions')
  await sessions.configure({ expireKeys: 30 * 60 }) // seconds without a visit

  app.post('/counter', async request => {
    const count = await request.store.collection<number>('counters').increment('hits')
    return { worker: process.pid, count }
  })

  app.post<{ Params: { id: string }, Body: { item: string } }>('/carts/:id', {
    schema: { body: { type: 'object', required: ['item'], properties: { item: { type: 'string' } } } }
  }, async request => {
    // Two requests for one cart run one after the other, in whichever workers. A failed one changes nothing.
    const lock = await request.store.collection<Cart>('carts').acquire(request.params.id)
    const cart = lock.get() ?? { items: [] }
    cart.items.push(request.body.item)
    lock.set(cart)
    await lock.release()
    return { worker: process.pid, ...cart }
  })

  app.get<{ Params: { id: string } }>('/carts/:id', async (request, reply) => {
    const cart = await request.store.collection<Cart>('carts').get(request.params.id)
    return cart === undefined ? reply.code(404).send({ error: 'no such cart' }) : { worker: process.pid, ...cart }
  })

  app.post<{ Body: { name: string } }>('/login', {
    schema: { body: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } } }
  }, async (request, reply) => {
    const id = randomUUID()
    await sessions.set(id, { name: request.body.name, visits: 0 })
    reply.header('set-cookie', `session=${id}; HttpOnly; SameSite=Lax; Path=/`)
    return { worker: process.pid, hello: request.body.name }
  })

  app.get('/me', async (request, reply) => {
    const id = /(?:^|; )session=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1] ?? ''
    const session = await request.store
      .collection<Session>('sessions')
      .update(id, session => session && { ...session, visits: session.visits + 1 })
    return session === undefined ? reply.code(401).send({ error: 'log in first' }) : { worker: process.pid, ...session }
  })

  play(app.store)

  let isStopping = false
  const stop = (): void => {
    if (isStopping) return
    isStopping = true
    setTimeout(500, undefined, { ref: false }).then(() => process.exit(), () => {})
    app.close().then(() => process.exit(), () => process.exit(1))
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)

  await app.listen({ port: Number(process.env.PORT ?? 3000) })
}

/** A few things going on, so that the admin page has something to show. */
function play (store: Store): void {
  const prices = store.collection<{ at: string, price: number }>('demo-prices')
  const pages = store.collection<string>('demo-pages')
  const reports = store.collection<{ runs: number }>('demo-reports')
  pages.configure({ maxKeys: 200 }).catch(() => {})
  const every = (ms: number, fn: () => Promise<unknown>): void => {
    let isBusy = false
    setInterval(() => {
      if (isBusy) return
      isBusy = true
      fn().catch(() => {}).finally(() => { isBusy = false })
    }, ms).unref()
  }
  const random = (n: number): number => Math.floor(Math.random() * n)
  every(200, async () => {
    await prices.set(
      `EUR/${random(40)}`, { at: new Date().toISOString(), price: Math.random() * 100 }, { ttl: 5 + random(60) }
    )
    for (let i = random(20); i > 0; i--) await prices.get(`EUR/${random(40)}`)
  })
  every(500, () =>
    pages.getOrSet(`/articles/${random(400)}`, () => `<h1>Article</h1>${'<p>text</p>'.repeat(random(200))}`)
  )
  every(4000, async () => { // one worker at a time makes a report; the others wait
    const lock = await reports.acquire('weekly', { owner: `pid ${process.pid}, weekly report`, timeout: 5 })
    await setTimeout(500 + random(1500), undefined, { ref: false })
    lock.set({ runs: (lock.get()?.runs ?? 0) + 1 })
    await lock.release()
  })
}
