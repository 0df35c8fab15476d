// The sites that are measured over HTTP.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fastify, { type FastifyInstance } from 'fastify'
import fastifyCookie from '@fastify/cookie'
import fastifySession, { type FastifySessionOptions } from '@fastify/session'
import express from 'express'
import expressSession, { type SessionData } from 'express-session'
import { SessionStore } from '../../src/adapters/session.js'
import strongStore, { createStore } from '../../src/index.js'
import { freePort } from '../../test/support/ports.js'
import { batchedClient, batchedEcho } from './limits.js'
import { serveRedis, type IoredisModule, type NodeRedisModule } from './redis.js'
import { load } from './rival.js'

export interface Site {
  /** Called in the primary. Resolves with the argument of `listen`. */
  serve (): Promise<string>
  /** Called in the worker. */
  listen (address: string): Promise<Listening>
  path: string
  /** The bearer token to send. */
  token?: string
}

export interface Listening {
  port: number
  /** The id of the process that serves the requests. */
  pid: number
}

const value = { text: 'x'.repeat(289) }
const PREFIX = '/_store/v1'
const TOKEN = 't'.repeat(32)

function site (
  path: string, routes: (app: FastifyInstance, address: string) => Promise<unknown>, serve = async () => ''
): Site {
  return {
    serve,
    path,
    listen: async address => {
      const app = fastify()
      await routes(app, address)
      const url = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
      return { port: Number(url.port), pid: process.pid }
    }
  }
}

type SessionOptions = FastifySessionOptions & { store: NonNullable<FastifySessionOptions['store']> }

/** Each request reads a session, which is saved according to the default settings of @fastify/session. */
async function session (app: FastifyInstance, store: SessionOptions['store']): Promise<void> {
  await app.register(fastifyCookie)
  await app.register(fastifySession, { store, secret: 's'.repeat(32), cookie: { secure: false } })
  app.get('/session', async request => {
    const session = request.session as unknown as { user?: string }
    session.user ??= 'x'.repeat(200)
    return { user: session.user }
  })
}

/** The same with express-session. */
function expressSite (storeOf: (address: string) => Promise<expressSession.Store>, serve = async () => ''): Site {
  return {
    serve,
    path: '/session',
    listen: async address => {
      const app = express()
      const store = await storeOf(address)
      app.use(expressSession({ store, secret: 's'.repeat(32), resave: false, saveUninitialized: false }))
      app.get('/session', (request, response) => {
        const session = request.session as unknown as { user?: string }
        session.user ??= 'x'.repeat(200)
        response.json({ user: session.user })
      })
      const server = app.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return { port: (server.address() as AddressInfo).port, pid: process.pid }
    }
  }
}

const begun = { user: 'x'.repeat(200), cookie: { originalMaxAge: null } }

/** A memory store of one worker that has every requested session, as if this worker had created it. */
class WorkerMemory extends fastifySession.MemoryStore {
  override get (id: string, callback: (error: unknown, session: any) => void): void {
    super.get(id, (error, session) => { callback(error, session ?? begun) }) // the request saves it
  }
}

class ExpressWorkerMemory extends expressSession.MemoryStore {
  readonly #begun = new Set<string>()

  override get (id: string, callback: (error: unknown, session?: SessionData | null) => void): void {
    if (!this.#begun.has(id)) this.set(id, begun as unknown as SessionData) // so that the touch of the request finds it
    this.#begun.add(id)
    super.get(id, callback)
  }
}

type Answer = (error?: unknown, session?: unknown) => void

/**
 * A limit: each call is the JSON of a session and a round trip to the primary that does nothing else. The round trips
 * of one iteration of the event loop share a write, as those of strong-store do.
 */
async function bareStore (address: string): Promise<object> {
  const { get: roundTrip } = await batchedClient(address, setImmediate)
  let text = JSON.stringify(begun)
  const call = (callback: Answer): void => { roundTrip('').then(() => { callback() }, callback) }
  return {
    get: (_id: string, callback: Answer) => { call(error => { callback(error, JSON.parse(text)) }) },
    set (_id: string, session: object, callback: Answer) {
      text = JSON.stringify(session)
      call(callback)
    },
    touch: (_id: string, _session: object, callback: Answer) => { call(callback) }
  }
}

const bareAddress = async (): Promise<string> => (await batchedEcho.serve({ bytes: 300, operation: 'get' })).address

type RedisStoreClass<S> = { RedisStore: new (options: object) => S }

/** connect-redis, for the Redis at a socket path. */
async function connectRedis<S> (path: string): Promise<S> {
  const client = load<NodeRedisModule>('redis').createClient({ socket: { path } })
  await client.connect()
  const { RedisStore } = load<RedisStoreClass<S>>('connect-redis')
  return new RedisStore({ client })
}

const redisAddress = async (): Promise<string> => (await serveRedis()).address

export const sites = {
  constant: site('/value', async app => {
    app.get('/value', async () => value)
  }),

  'req.store': site('/value', async app => {
    await app.register(strongStore)
    await createStore().collection('bench').set('value', value)
    app.get('/value', async request => await request.store.collection('bench').get('value'))
  }),

  'admin API': {
    ...site(`${PREFIX}/collections/bench/keys/value`, async app => {
      await app.register(strongStore, { admin: { prefix: PREFIX, token: TOKEN } })
      await createStore().collection('bench').set('value', value)
    }),
    token: TOKEN
  },

  /** Redis over HTTP, from the Debian package. Its plain text format is the closest to a JSON value. */
  webdis: {
    path: '/GET/value.txt',
    serve: redisAddress,
    listen: async path => {
      const { Redis } = load<IoredisModule>('ioredis')
      await new Redis({ path }).set('value', JSON.stringify(value))
      return await serveWebdis(path)
    }
  },

  '@fastify/session, its memory store': site('/session', app => session(app, new WorkerMemory())),

  '@fastify/session, SessionStore': site('/session', app => session(app, new SessionStore() as unknown as SessionOptions['store'])),

  '@fastify/session, bare round trips': site('/session', async (app, address) => {
    await session(app, await bareStore(address) as SessionOptions['store'])
  }, bareAddress),

  '@fastify/session, connect-redis': site('/session', async (app, path) => {
    await session(app, await connectRedis(path))
  }, redisAddress),

  'express-session, its memory store': expressSite(async () => new ExpressWorkerMemory()),

  'express-session, SessionStore': expressSite(async () => new SessionStore() as unknown as expressSession.Store),

  'express-session, bare round trips': expressSite(
    async address => Object.assign(new (expressSession.Store as any)(), await bareStore(address)), bareAddress
  ),

  'express-session, connect-redis': expressSite(connectRedis, redisAddress)
} satisfies Record<string, Site>

export type SiteName = keyof typeof sites

/** Starts Webdis for the Redis at a socket path. It exits with this process. */
async function serveWebdis (path: string): Promise<Listening> {
  const port = await freePort()
  const config = join(mkdtempSync(join(tmpdir(), 'bench-webdis-')), 'webdis.json')
  writeFileSync(
    config,
    JSON.stringify({
      redis_host: path,
      http_host: '127.0.0.1',
      http_port: port,
      threads: 1,
      pool_size: 4,
      verbosity: 0,
      logfile: '/dev/null'
    })
  )
  const server = spawn('webdis', [config], { stdio: 'ignore' })
  process.on('exit', () => {
    server.kill('SIGKILL')
    rmSync(dirname(config), { recursive: true, force: true })
  })
  await new Promise<void>((resolve, reject) => {
    server.on('spawn', resolve)
    server.on('error', () => { reject(new Error('missing: webdis (apt-get install webdis)')) })
  })
  while (!await fetch(`http://127.0.0.1:${port}/PING`).then(({ ok }) => ok, () => false)) await sleep(10)
  return { port, pid: server.pid! }
}
