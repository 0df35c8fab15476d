// What is asked over HTTP, each in a worker of its own.
import fastify, { type FastifyInstance } from 'fastify'
import fastifyCookie from '@fastify/cookie'
import fastifySession, { type FastifySessionOptions } from '@fastify/session'
import { SessionStore } from '../../src/adapters/session.js'
import strongStore, { createStore } from '../../src/index.js'
import { serveRedis, type NodeRedisModule } from './redis.js'
import { load } from './rival.js'

export interface Site {
  /** In the primary; gives what `listen` needs to know. */
  serve (): Promise<string>
  /** In the worker. */
  listen (address: string): Promise<unknown>
  path: string
}

const value = { text: 'x'.repeat(289) }

function site (path: string, routes: (app: FastifyInstance, address: string) => Promise<unknown>, serve = async () => ''): Site {
  return {
    serve,
    path,
    listen: async address => {
      const app = fastify()
      await routes(app, address)
      await app.listen({ port: 0, host: '127.0.0.1' })
    }
  }
}

type SessionOptions = FastifySessionOptions & { store: NonNullable<FastifySessionOptions['store']> }

/** A session that is read by each request, and kept by the settings as they come. */
async function session (app: FastifyInstance, store: SessionOptions['store']): Promise<void> {
  await app.register(fastifyCookie)
  await app.register(fastifySession, { store, secret: 's'.repeat(32), cookie: { secure: false } })
  app.get('/session', async request => {
    const session = request.session as unknown as { user?: string }
    session.user ??= 'x'.repeat(200)
    return { user: session.user }
  })
}

export const sites = {
  constant: site('/value', async app => {
    app.get('/value', async () => value)
  }),

  'req.store': site('/value', async app => {
    await app.register(strongStore)
    await createStore().collection('bench').set('value', value)
    app.get('/value', async request => await request.store.collection('bench').get('value'))
  }),

  SessionStore: site('/session', app => session(app, new SessionStore() as unknown as SessionOptions['store'])),

  'connect-redis': site('/session', async (app, path) => {
    const client = load<NodeRedisModule>('redis').createClient({ socket: { path } })
    await client.connect()
    const { RedisStore } = load<{ RedisStore: new (options: object) => SessionOptions['store'] }>('connect-redis')
    await session(app, new RedisStore({ client }))
  }, async () => (await serveRedis()).address)
} satisfies Record<string, Site>

export type SiteName = keyof typeof sites
