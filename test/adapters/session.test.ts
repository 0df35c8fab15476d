// Sessions of express-session and @fastify/session in real workers over HTTP, and the contract of a session store.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import express from 'express'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import expressSession from 'express-session'
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import t, { type Test } from 'tap'
import { SessionStore, type SessionStoreOptions } from '../../src/adapters/session.js'
import { readsOfRequest } from '../../src/adapters/session-read.js'
import { createStore, type Collection, type Store } from '../../src/index.js'
import type { SessionServer } from '../fixtures/session-server.js'
import { WORKERS, cookieOf, servers } from '../support/servers.js'
import { until } from '../support/until.js'

t.teardown(() => createStore().close())

const SERVERS: SessionServer[] = [
  { name: 'express5', library: 'express 5', maxAge: 100_000 },
  { name: 'express4', library: 'express 4', maxAge: 100_000 },
  { name: 'fastify', library: 'fastify', maxAge: 100_000 },
  { name: 'express5-locking', library: 'express 5', maxAge: 100_000, options: { locking: true } },
  { name: 'fastify-locking', library: 'fastify', options: { locking: true } },
  { name: 'express5-lease', library: 'express 5', options: { locking: true, lease: 0.3 } },
  { name: 'express5-patient', library: 'express 5', options: { locking: true, collection: 'express5-lease' } }
]
const { get, output } = await servers(t, 'session-server', SERVERS)
const counters = createStore().collection<number>('counters')
let gates = 0

async function only (sessions: Collection<any>): Promise<[string, any]> {
  const found = []
  for await (const entry of sessions.entries()) found.push(entry)
  if (found.length !== 1) throw new Error(`${found.length} sessions`)
  return found[0]!
}

for (const name of ['express5', 'express4', 'fastify']) {
  t.test(`${name}: a login is valid in every worker`, async t => {
    const sessions = createStore().collection<any>(name)
    t.equal((await get(`/${name}/me`)).body.user, undefined)
    t.equal(await sessions.size(), 0)
    const login = await get(`/${name}/login?user=Ada`)
    t.equal(login.status, 200)
    const headers = { cookie: cookieOf(login) }
    const workers = new Set<number>()
    for (const { body } of await Promise.all(Array.from({ length: 20 }, () => get(`/${name}/me`, headers)))) {
      t.equal(body.user, 'Ada')
      workers.add(body.worker)
    }
    t.equal(workers.size, WORKERS)
    const [sid, session] = await only(sessions)
    const { expiresAt } = (await sessions.entry(sid))!
    t.ok(
      expiresAt!.getTime() > Date.now() + 50_000 && expiresAt!.getTime() < Date.now() + 101_000,
      'it expires with its cookie'
    )

    await sessions.set(
      sid, { ...session, cookie: { ...session.cookie, expires: new Date(Date.now() - 1).toISOString() } }
    )
    t.equal((await get(`/${name}/me`, headers)).body.user, undefined, 'an expired session is a miss')
    await sessions.set(sid, session)
    t.equal(
      (await get(`/${name}/me`, { cookie: `${headers.cookie.slice(0, -3)}xyz` })).body.user, undefined,
      'a forged session id is a miss'
    )
    t.equal((await get(`/${name}/logout`, headers)).status, 200)
    t.equal(await sessions.size(), 0)
    t.equal((await get(`/${name}/me`, headers)).body.user, undefined)
    t.equal(output(), '')
  })
}

for (const library of ['express5', 'fastify']) {
  t.test(`${library}: locking keeps the updates of concurrent requests, which are lost without it`, async t => {
    const REQUESTS = 12
    const add = async (name: string, together: number): Promise<number> => {
      const sessions = createStore().collection<any>(name)
      const gate = `gate${++gates}`
      const headers = { cookie: cookieOf(await get(`/${name}/login?user=Ada`)) }
      const answers = await Promise.all(
        Array.from({ length: REQUESTS }, () => get(`/${name}/add?together=${together}&gate=${gate}`, headers))
      )
      for (const { status } of answers) t.equal(status, 200)
      const [sid, { n, user }] = await only(sessions)
      t.equal(user, 'Ada')
      await sessions.del(sid)
      t.equal(output(), '')
      return n as number
    }
    t.equal(await add(library, REQUESTS), 1, 'all requests read the same session, and the last save wins')
    t.equal(await add(`${library}-locking`, 1), REQUESTS)
    await until(async () => (await createStore().locks()).length === 0)
  })
}

for (const name of ['express5', 'express5-locking']) {
  t.test(`${name}: touch extends the stored session, and changes nothing else`, async t => {
    const sessions = createStore().collection<any>(name)
    const headers = { cookie: cookieOf(await get(`/${name}/login?user=Ada`)) }
    const [sid] = await only(sessions)
    await sessions.touch(sid, { ttl: 90 })
    const before = (await sessions.entry(sid))!
    const { body } = await get(`/${name}/me`, headers)
    const after = (await sessions.entry(sid))!
    t.ok(after.expiresAt! > before.expiresAt!, 'the session is extended')
    t.strictSame([after.value, after.version], [before.value, before.version])
    t.ok(body.cookie.expires >= before.value.cookie.expires)
    await sessions.touch(sid, { ttl: 200 })
    t.ok((await get(`/${name}/me`, headers)).body.cookie.expires > body.cookie.expires, 'its cookie is extended')

    await get(`/${name}/remember`, headers) // changes the cookie, and nothing else
    const remembered = (await sessions.entry(sid))!
    t.equal(remembered.value.cookie.originalMaxAge, 1e9)
    t.ok(remembered.expiresAt!.getTime() > Date.now() + 0.5e9)
    t.equal(remembered.value.user, 'Ada')
    await sessions.del(sid)
    t.equal(output(), '')
  })
}

for (const name of ['express5', 'fastify']) {
  t.test(`${name}: a request that changes nothing does not undo concurrent changes`, async t => {
    const sessions = createStore().collection<any>(name)
    const headers = { cookie: cookieOf(await get(`/${name}/login?user=Ada`)) }
    const [sid] = await only(sessions)
    for (const other of ['login?user=Bob', 'logout']) {
      const gate = `gate${++gates}`
      await sessions.touch(sid, { ttl: 90 })
      const slow = get(`/${name}/wait?gate=${gate}`, headers) // has read the session, and will only extend it
      await until(async () => await counters.get(gate) === 1)
      t.equal((await get(`/${name}/${other}`, headers)).status, 200)
      await sessions.touch(sid, { ttl: 80 })
      await counters.increment(gate)
      t.equal((await slow).status, 200)
      const stored = await sessions.entry(sid)
      if (other === 'logout') t.equal(stored, undefined, 'a destroyed session stays destroyed')
      else {
        t.equal(stored!.value.user, 'Bob')
        t.ok(stored!.expiresAt!.getTime() > Date.now() + 90_000, 'the session is extended')
      }
    }
    t.equal(output(), '')
  })
}

for (const name of ['express5', 'express4', 'express5-locking', 'fastify', 'fastify-locking']) {
  t.test(`${name}: a logout is not undone by a request that saves after it`, async t => {
    const sessions = createStore().collection<any>(name)
    const headers = { cookie: cookieOf(await get(`/${name}/login?user=Ada`)) }
    const [sid] = await only(sessions)
    for (const [end, left] of [['nothing', 1], ['other', 1], ['destroy', 0]] as const) {
      const gate = `gate${++gates}`
      const slow = get(`/${name}/add?together=2&gate=${gate}`, headers)
      await until(async () => await counters.get(gate) === 1)
      if (end === 'other') await sessions.set(sid, { ...await sessions.get(sid), n: 100 })
      if (end === 'destroy') await sessions.del(sid) // like a process that destroys the session
      await counters.increment(gate)
      t.equal((await slow).status, 200)
      t.equal(await sessions.size(), left)
      if (end === 'other') t.equal((await sessions.get(sid)).n, 2, 'the last save wins')
    }
    t.equal((await get(`/${name}/me`, headers)).body.user, undefined)
    t.equal(await sessions.size(), 0)
    t.equal(output(), '')
  })
}

t.test('a request that does not end loses its lock after the lease, and cannot save the session', async t => {
  const sessions = createStore().collection<any>('express5-lease')
  const headers = { cookie: cookieOf(await get('/express5-patient/login?user=Ada')) }
  const gate = `gate${++gates}`
  const slow = get(`/express5-lease/add?together=3&gate=${gate}`, headers)
  await until(async () => await counters.get(gate) === 1)
  t.equal((await get('/express5-patient/login?user=Bob', headers)).status, 200)
  await counters.increment(gate, 2)
  await slow
  const [sid, { user, n }] = await only(sessions)
  t.strictSame([user, n], ['Bob', undefined])
  await until(() => output() === 'STORE_LOCK_LOST\n') // express-session passes the error on
  await sessions.del(sid)
})

t.test('while the store is unreachable, a request fails or has no session', async t => {
  const closed = createStore('memory:')
  await closed.close()
  const secret = 'a secret of some thirty-two characters'
  for (const [unreachable, status] of [['fail', 503], ['no-session', 200]] as const) {
    const store = new SessionStore({ store: closed, collection: unreachable, unreachable })
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(fastifyCookie)
    await app.register(fastifySession, { store, secret, cookie: { secure: false } })
    app.get('/', async () => 'done')
    const cookie = `sessionId=${encodeURIComponent(new fastifyCookie.Signer(secret).sign('sid'))}`
    t.equal((await app.inject({ url: '/', headers: { cookie } })).statusCode, status, unreachable)

    const get = promisify(store.get.bind(store) as any)
    const set = promisify(store.set.bind(store) as any)
    const touch = promisify(store.touch.bind(store) as any)
    if (unreachable === 'fail') {
      await t.rejects(get('sid'), { code: 'STORE_CLOSED' })
      await t.rejects(set('sid', { cookie: {} }), { code: 'STORE_CLOSED' })
      await t.rejects(touch('sid', { cookie: {} }), { code: 'STORE_CLOSED' })
    } else {
      t.equal(await get('sid'), undefined)
      await set('sid', { cookie: {} })
      await touch('sid', { cookie: {} })
      await t.rejects(set('sid', { cookie: {}, bad: 1n }), { code: 'STORE_VALUE_INVALID' }, 'other errors are reported')
    }
    await t.rejects(
      promisify(store.destroy.bind(store) as any)('sid'), { code: 'STORE_CLOSED' },
      'a failed logout is not reported as successful'
    )
  }
})

type Method = 'get' | 'set' | 'touch' | 'destroy' | 'all' | 'length' | 'clear'

interface Alone extends Record<Method, (...args: unknown[]) => Promise<any>> {
  store: Store
  sessionStore: SessionStore
  sessions: Collection<any>
}

/** A SessionStore whose methods return promises. */
function alone (t: Test, options: SessionStoreOptions = {}): Alone {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const sessionStore = new SessionStore({ store, ...options })
  const method = (name: Method) =>
    async (...args: unknown[]): Promise<any> => await promisify(sessionStore[name] as any).call(sessionStore, ...args)
  return {
    store,
    sessionStore,
    sessions: store.collection('sessions'),
    get: method('get'),
    set: method('set'),
    touch: method('touch'),
    destroy: method('destroy'),
    all: method('all'),
    length: method('length'),
    clear: method('clear')
  }
}

t.test('a session expires with its cookie, or after the ttl', async t => {
  const { set, touch, sessions } = alone(t, { ttl: 1000 })
  const soon = new Date(Date.now() + 100_000)
  for (const [expires, end] of [
    [soon, 100], [soon.toISOString(), 100], [soon.toString(), 100],
    [undefined, 1000], [null, 1000], [false, 1000], ['no date', 1000],
    [new Date(NaN), 1000], [new Date(8.64e15), 2 ** 39]
  ] as const) {
    for (const write of [set, touch]) {
      await write('sid', { cookie: { expires } })
      const { expiresAt } = (await sessions.entry('sid'))!
      const left = (expiresAt!.getTime() - Date.now()) / 1000
      t.ok(left <= end && left > end - 60, `${String(expires)} leaves ${left} s`)
    }
  }
  await set('sid', {})
  t.ok(await sessions.has('sid'), 'a session without a cookie')
  for (const write of [set, touch]) {
    await sessions.set('sid', { cookie: {} })
    await write('sid', { cookie: { expires: new Date(Date.now() - 1) } })
    t.equal(await sessions.has('sid'), false, 'an expiry in the past deletes the session')
  }
})

t.test('a SessionStore implements get, set, touch, destroy, all, length and clear', async t => {
  const { get, set, touch, destroy, all, length, clear, sessions } = alone(t)
  t.equal(await get('none'), undefined)
  const session = { cookie: { originalMaxAge: null, expires: null, path: '/' }, user: { name: 'Ada' }, views: 1 }
  await set('a', session)
  session.user.name = 'changed'
  t.strictSame(await get('a'), { ...session, user: { name: 'Ada' } })
  t.strictSame(Reflect.ownKeys({ ...await get('a') }), Object.keys(session), 'copies have nothing else')
  await touch('none', session)
  t.equal(await get('none'), undefined)
  const expires = new Date(Date.now() + 100_000)
  await touch('a', { cookie: { expires, path: '/x' }, user: { name: 'old' } })
  await touch('a', undefined)
  t.strictSame(await get('a'), { ...session, user: { name: 'Ada' } })
  await set('b', { cookie: {}, n: 1 })
  t.equal(await length(), 2)
  await sessions.set('over', { cookie: { expires: '2001-01-01T00:00:00Z' } })
  t.equal(await get('over'), undefined)
  await sessions.set('none', 'of a session')
  t.equal(await get('none'), undefined)
  t.strictSame(
    (await all() as Array<{ id: string, n?: number }>).map(({ id, n }) => [id, n]).sort(), [['a', undefined], ['b', 1]]
  )
  await destroy('none')
  await destroy('a')
  await destroy('a')
  t.equal(await get('a'), undefined)
  await clear()
  t.equal(await length(), 0)
  t.strictSame(await all(), [])
  await t.rejects(set('a', { cookie: {}, bad: 1n }), { code: 'STORE_VALUE_INVALID' })
  await t.rejects(get('\ud800'), { code: 'STORE_KEY_INVALID' })
})

t.test('touch rewrites a cookie that has gained, lost or changed an attribute other than its end', async t => {
  const { get, set, touch, sessions } = alone(t)
  const before = { path: '/', secure: true, expires: new Date(Date.now() + 50_000), originalMaxAge: 50_000 }
  const end = new Date(Date.now() + 100_000)
  for (const [change, isRewritten] of [
    [{}, false], [{ expires: end }, false], [{ expires: end.toISOString() }, false], [{ originalExpires: end }, false],
    [{ sameSite: undefined }, false], [{ sameSite: 'lax' }, true], [{ secure: undefined }, true],
    [{ path: '/x' }, true], [{ expires: null }, true]
  ] as const) {
    await set('sid', { cookie: before, user: 'Ada' })
    const { version } = (await sessions.entry('sid'))!
    const session = await get('sid')
    session.cookie = { ...before, ...change }
    await touch('sid', session)
    const stored = (await sessions.entry('sid'))!
    t.equal(stored.version > version, isRewritten, JSON.stringify(Object.entries(change)))
    await sessions.del('sid')
  }
})

t.test('two SessionStores share sessions only if they name the same collection', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const first = new SessionStore({ store })
  const second = new SessionStore({ store })
  const other = new SessionStore({ store, collection: 'others' })
  const sharing = new SessionStore({ store, collection: 'sessions' })
  first.set('sid', { cookie: {} })
  const has = async (sessions: SessionStore): Promise<boolean> =>
    await promisify(sessions.get.bind(sessions) as any)('sid') !== undefined
  t.strictSame([await has(first), await has(other), await has(sharing)], [true, false, true])
  t.equal(await has(second), true, 'the first one may have been replaced')
  t.equal(await has(first), true, 'the first one is still in use')
  const refused = { code: 'STORE_OPTION_INVALID', message: /give each a collection of its own/ }
  await t.rejects(has(second), refused)
  await t.rejects(promisify(second.set.bind(second) as any)('sid', { cookie: {} }), refused)
  await t.rejects(promisify(second.touch.bind(second) as any)('sid', { cookie: {} }), refused)
  t.strictSame([await has(first), await has(other), await has(sharing)], [true, false, true])
  const own = new SessionStore({ url: 'memory:' })
  await own.close()
  await t.rejects(has(own), { code: 'STORE_CLOSED' })
})

t.test('of two SessionStores with the default collection, the newer one is refused once both are in use', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const old = new SessionStore({ store })
  const recent = new SessionStore({ store })
  const set = (sessions: SessionStore): Promise<any> =>
    promisify(sessions.set.bind(sessions) as any)('sid', { cookie: {} })
  const get = (sessions: SessionStore): Promise<any> => promisify(sessions.get.bind(sessions) as any)('sid')
  await get(old)
  await set(recent)
  await set(old) // the end of a last request
  await set(recent)
  await get(old)
  await t.rejects(set(recent), { code: 'STORE_OPTION_INVALID' })
  await set(old)
  await promisify(recent.destroy).call(recent, 'sid') // for example by code that logs users out
  t.equal(await get(old), undefined)
})

t.test('an application can be built any number of times in one process', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const build = {
    async fastify (): Promise<() => Promise<void>> {
      const app = Fastify()
      await app.register(fastifyCookie)
      await app.register(
        fastifySession, { store: new SessionStore({ store }), secret: 's'.repeat(32), cookie: { secure: false } }
      )
      app.get('/', async request => { request.session.set('user' as never, 'Ada' as never) })
      return async () => {
        const { headers } = await app.inject('/')
        const cookie = String(headers['set-cookie']).split(';')[0]!
        t.equal((await app.inject({ url: '/', headers: { cookie } })).statusCode, 200)
        await app.close()
      }
    },
    async express (): Promise<() => Promise<void>> {
      const app = express()
      app.use(
        expressSession({ store: new SessionStore({ store }), secret: 's', resave: false, saveUninitialized: true })
      )
      app.get('/', (_request, response) => { response.end() })
      return async () => {
        const server = app.listen(0, '127.0.0.1')
        await once(server, 'listening')
        const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
        const cookie = (await fetch(url)).headers.getSetCookie()[0]!.split(';')[0]!
        t.equal((await fetch(url, { headers: { cookie } })).status, 200)
        server.close()
        server.closeAllConnections()
      }
    }
  }
  for (const name of ['fastify', 'express', 'fastify', 'express'] as const) {
    await build[name]() // and never used
    const use = await build[name]()
    await use()
  }
})

t.test('invalid options are rejected, and both libraries accept a SessionStore without a cast', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const wrong = [
    { ttl: 0 }, { ttl: '1' }, { ttl: NaN }, { lease: -1 }, { locking: 1 }, { unreachable: 'ignore' },
    { collection: 5 }, { lcoking: true }
  ]
  for (const options of wrong) {
    t.throws(
      () => new SessionStore({ store, ...options as object }), { code: /STORE_(OPTION|NAME)_INVALID/ },
      JSON.stringify(options)
    )
  }
  expressSession({ store: new SessionStore({ store }), secret: 's', resave: false, saveUninitialized: false })
  const app = Fastify()
  await app.register(fastifyCookie)
  await app.register(
    fastifySession, { store: new SessionStore({ store, collection: 'fastify' }), secret: 's'.repeat(32) }
  )
  await app.close()
})

t.test('an id that is used again, or in another collection, belongs to a new session', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const app = express()
  app.use(expressSession({
    store: new SessionStore({ store }), secret: 'x', resave: false, saveUninitialized: false, genid: () => 'user-1'
  }))
  app.get('/', (request, response) => {
    request.session.regenerate(() => { response.json(Object.assign(request.session, { user: request.query.user })) })
  })
  const server = app.listen(0)
  t.teardown(() => { server.closeAllConnections() })
  t.teardown(() => { server.close() })
  const { port } = server.address() as AddressInfo
  const login = async (user: string, headers = {}): Promise<Response> =>
    await fetch(`http://localhost:${port}/?user=${user}`, { headers })
  const first = await login('first')
  await login('second', { cookie: first.headers.get('set-cookie')!.split(';')[0], connection: 'close' })
  t.match(await store.collection('sessions').get('user-1'), { user: 'second' })

  const [from, to] = ['from', 'to'].map(collection => new SessionStore({ store, collection })) as [any, any]
  const session = { cookie: {}, n: 1 }
  await promisify(from.set).call(from, 'id', session)
  await promisify(to.set).call(to, 'id', session)
  t.match(await store.collection('to').get('id'), { n: 1 })
})

t.test('a session that a request has stored counts as read by it, in copies as well', async t => {
  const { app, store } = await locking(t, false, (app, sessions) => {
    app.get('/', async () => {
      const set = promisify(sessions.set).bind(sessions) as (sid: string, session: object) => Promise<unknown>
      for (const [sid, session] of Object.entries({ copy: { cookie: {} }, frozen: Object.freeze({ cookie: {} }) })) {
        await set(sid, session)
        await store.collection('sessions').del(sid) // by another request
        await set(sid, sid === 'copy' ? { ...session } : session)
      }
    })
  }, { locking: false })
  t.equal((await app.inject('/')).statusCode, 200)
  t.strictSame(await store.collection('sessions').getMany(['copy', 'frozen']), [undefined, undefined])
})

t.test('a chain of callbacks that never ends tracks a bounded number of sessions', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const sessions = new SessionStore({ store })
  const collection = store.collection<object>('sessions')
  for (let i = 0; i < 100; i++) await collection.set(String(i), { cookie: {}, i })
  await new Promise<void>((resolve, reject) => {
    const look = (i: number): void => {
      if (i < 100) {
        sessions.get(String(i), (error, session) => {
          if (error != null || session.i !== i) reject(error ?? new Error('another session'))
          else look(i + 1)
        })
        return
      }
      t.equal(readsOfRequest().length, 16)
      t.strictSame([readsOfRequest()[0]!.sid, readsOfRequest().at(-1)!.sid], ['99', '0'])
      collection.del('0').then(() => { sessions.set('0', { cookie: {} }, () => { resolve() }) }, reject)
    }
    look(0)
  })
  t.equal(await collection.has('0'), false, 'its first session is still tracked')
})

t.test('a request starts without the reads of earlier ones of its connection, and keeps its own', async t => {
  const { get: read, set } = alone(t)
  for (const sid of ['a', 'b', 'c']) await set(sid, { cookie: {} })
  const idsOfReads = (): string[] => readsOfRequest().map(({ sid }) => sid).sort()
  const server = createServer((request, response) => {
    const before = idsOfReads()
    const reads = Promise.all(request.url!.slice(1).split('').map(sid => read(sid)))
    reads.then(() => { response.end(JSON.stringify([before, idsOfReads()])) }, t.fail)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close().closeAllConnections() })
  const ask = async (path: string): Promise<unknown> => {
    const { port } = server.address() as AddressInfo
    return await (await fetch(`http://127.0.0.1:${port}/${path}`)).json()
  }
  t.strictSame(await ask('ab'), [[], ['a', 'b']])
  t.strictSame(await ask('c'), [[], ['c']])
})

t.test('a save is one call, however many requests save the session', async t => {
  const { store, sessions, get, set } = alone(t)
  await set('sid', { cookie: {} })
  const reads = await Promise.all(Array.from({ length: 20 }, () => get('sid')))
  const before = (await store.stats()).calls!
  await Promise.all(reads.map((session, n) => { session.n = n; return set('sid', session) }))
  const { set: saves, ...others } = (await store.stats()).calls!
  t.strictSame({ ...before, set: saves! - 20 }, { ...others, set: before.set })
  t.equal((await sessions.get('sid')).n, 19, 'the last one wins')
})

t.test('a session is written only if it has changed since it was read', async t => {
  const { sessions, get, set } = alone(t)
  const stored = async (): Promise<unknown> => ({ ...await sessions.get('sid'), cookie: undefined })
  await set('sid', { cookie: { path: '/' }, cart: ['tea'] })
  const [unchanged, changed, shuffled] = [await get('sid'), await get('sid'), await get('sid')]
  changed.cart.push('milk')
  await set('sid', changed)
  await set('sid', unchanged)
  t.strictSame(await stored(), { cart: ['tea', 'milk'], cookie: undefined }, 'the change is not undone')
  changed.cart.pop()
  await set('sid', changed)
  t.strictSame(await stored(), { cart: ['tea'], cookie: undefined }, 'what was saved is what counts from then on')
  await sessions.set('sid', { cookie: { path: '/' }, cart: ['coffee'] })
  await set('sid', changed)
  t.strictSame(await stored(), { cart: ['coffee'], cookie: undefined })

  await sessions.set('sid', { cookie: { path: '/' }, cart: [] })
  const { cookie, ...rest } = shuffled
  await set('sid', Object.assign(shuffled, { cookie: { ...cookie, path: '/shop' } }))
  t.strictSame(await sessions.get('sid'), { cart: [], cookie: { path: '/shop' } }, 'its cookie alone is written')

  await sessions.set('sid', { 7: 'Ada', cookie })
  const numbered = await get('sid')
  await sessions.set('sid', { 7: 'Bob', cookie })
  await set('sid', numbered)
  t.equal((await sessions.get('sid'))[7], 'Bob', 'also if the cookie is not its first property')
  const circular = await get('sid')
  circular.self = circular
  await t.rejects(set('sid', circular), { code: 'STORE_VALUE_INVALID' })
  t.ok(rest.cart)
})

t.test('a request that reads its session again still saves what it has changed itself', async t => {
  const { sessions, sessionStore, get } = alone(t)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifyCookie)
  await app.register(fastifySession, { store: sessionStore as any, secret: 'x'.repeat(32), cookie: { secure: false } })
  app.get('/', async request => {
    const session = request.session as unknown as { sessionId: string, n?: number }
    session.n ??= 1
    return session.sessionId
  })
  app.get('/peek', async request => {
    const session = request.session as unknown as { sessionId: string, n: number }
    const { cookie } = await get(session.sessionId)
    await sessions.set(session.sessionId, { cookie, n: 2 }) // by another request
    await get(session.sessionId)
    if ((request.query as { n?: string }).n !== undefined) session.n = 2
    await sessions.set(session.sessionId, { cookie, n: 3 })
    return session.n
  })
  const login = await app.inject('/')
  const headers = { cookie: String(login.headers['set-cookie']).split(';')[0] }
  await app.inject({ url: '/peek', headers })
  t.equal((await sessions.get(login.body)).n, 3, 'it has changed nothing')
  await sessions.set(login.body, { cookie: { path: '/' }, n: 1 })
  await app.inject({ url: '/peek?n', headers })
  t.equal((await sessions.get(login.body)).n, 2, 'it has changed n')
})

t.test('a maxAge that express-session has shortened by a millisecond is not a change of the cookie', async t => {
  const { sessions, get, set, touch } = alone(t)
  const cookie = (maxAge: number): object => ({ originalMaxAge: maxAge, expires: new Date(Date.now() + 100_000) })
  const version = async (): Promise<number> => (await sessions.entry('sid'))!.version
  await set('sid', { cookie: cookie(100_000) })
  await sessions.touch('sid', { ttl: 50 })
  const before = await version()
  const session = await get('sid')
  session.cookie = cookie(99_999)
  await touch('sid', session)
  t.equal(await version(), before)
  t.ok((await sessions.entry('sid'))!.expiresAt!.getTime() > Date.now() + 90_000)
  session.cookie = cookie(90_000)
  await touch('sid', session)
  t.not(await version(), before)
})

t.test('a burst of requests extends its session once', async t => {
  const { store, sessions, get, set, touch } = alone(t, { ttl: 1000 })
  await set('sid', { cookie: {}, n: 1 })
  const touches = async (): Promise<number> => (await store.stats()).calls!.touch!
  const request = async (): Promise<void> => {
    const session = await get('sid')
    await touch('sid', session)
    await set('sid', session)
  }
  for (let i = 0; i < 10; i++) await request()
  t.equal(await touches(), 0)
  await sessions.touch('sid', { ttl: 998 })
  await request()
  t.equal(await touches(), 3, 'the session was two seconds from its full life')
  t.ok((await sessions.entry('sid'))!.expiresAt!.getTime() > Date.now() + 999_000)
  await request()
  t.equal(await touches(), 3)

  await set('brief', { cookie: { expires: new Date(Date.now() + 300) } })
  const brief = await get('brief')
  brief.cookie.expires = new Date(Date.now() + 310)
  await touch('brief', brief)
  t.equal(await touches(), 4, 'of a short life, a smaller part counts')
})

t.test('a request that only extends its session does not change the life that another request has stored', async t => {
  const { sessions, get, set, touch } = alone(t)
  const HOUR = 3_600_000
  const left = async (): Promise<number> => (await sessions.entry('sid'))!.expiresAt!.getTime() - Date.now()
  const cookie = (life: number): object => ({ originalMaxAge: life, expires: new Date(Date.now() + life) })
  for (const write of [set, touch]) {
    for (const [life, others] of [[HOUR, 24 * HOUR], [24 * HOUR, HOUR]] as const) {
      await sessions.del('sid')
      await set('sid', { cookie: cookie(life), user: 'u' })
      await sessions.touch('sid', { ttl: life / 2000 })
      const [one, other] = [await get('sid'), await get('sid')]
      await set('sid', { ...other, remember: true, cookie: cookie(others) })
      one.cookie = cookie(life)
      await write('sid', one)
      t.ok(Math.abs(await left() - others) < 5000, 'it is that of the other request')
      const { cookie: stored, ...content } = await get('sid')
      t.strictSame([content, stored.originalMaxAge], [{ user: 'u', remember: true }, others])
      one.n = 1
      await set('sid', one)
      await sessions.touch('sid', { ttl: life / 2000 })
      await write('sid', one)
      t.ok(Math.abs(await left() - life) < 5000, 'it extends what it has stored itself')
    }
  }
})

t.test('a request that changes nothing but the cookie stores what the cookie ends with', async t => {
  const { sessions, get, set, touch } = alone(t)
  const DAY = 86_400_000
  const left = async (): Promise<number> => (await sessions.entry('sid'))!.expiresAt!.getTime() - Date.now()
  const cookie = (): object => ({ originalMaxAge: DAY, expires: new Date(Date.now() + DAY) })
  for (const write of [set, touch]) {
    await sessions.set('sid', { n: 1, cookie: cookie() }, { ttl: DAY / 1000 })
    const sooner = await get('sid')
    sooner.cookie.expires = new Date(Date.now() + 100_000)
    await write('sid', sooner)
    t.ok(await left() < 101_000)
    const [next, other] = [await get('sid'), await get('sid')]
    t.ok(Date.parse(next.cookie.expires) < Date.now() + 101_000, 'a sooner end is stored')
    Object.assign(sooner.cookie, cookie())
    await write('sid', sooner)
    t.ok(await left() > DAY - 1000, 'and restored in the same request')

    other.cookie = { originalMaxAge: null, expires: null }
    await write('sid', other)
    t.equal((await sessions.get('sid')).cookie.expires, null)
    other.cookie = cookie()
    await write('sid', other)
    t.equal((await sessions.get('sid')).cookie.originalMaxAge, DAY)
  }
})

t.test('a session lives for its maxAge after a request, however long that takes', async t => {
  const { sessions, get, set, touch } = alone(t)
  for (const [write, n] of [[set, 1], [touch, 1], [set, 2]] as const) {
    const restarted = (): object => ({ originalMaxAge: 300, expires: new Date(Date.now() + 300) })
    await sessions.set('sid', { cookie: restarted(), n: 1 }, { ttl: 100 })
    const session = Object.assign(await get('sid'), { n })
    session.cookie = restarted() // by the library, before the application handles the request
    await sleep(320)
    await write('sid', session)
    const { expiresAt } = (await sessions.entry('sid'))!
    t.ok(expiresAt!.getTime() > Date.now() + 50, 'longer than its cookie, which has expired during the request')
  }
})

t.test('a session that is stored under the id of a destroyed one counts as the same session', async t => {
  const { sessions, get, set, destroy } = alone(t)
  await set('sid', { cookie: {}, user: 'Ada' })
  const [early, late] = [await get('sid'), await get('sid')]
  await destroy('sid')
  await set('sid', early)
  t.equal(await sessions.has('sid'), false)
  await set('sid', { cookie: {}, user: 'Bob' }) // by code that has not read it: a new session
  late.seen = true
  await set('sid', late)
  t.equal((await sessions.get('sid')).user, 'Ada', 'the last save wins')
})

t.test('the ttl and the lease can be infinite', async t => {
  const { set, sessions } = alone(t, { ttl: Infinity, locking: true, lease: Infinity })
  await set('sid', { cookie: {} })
  t.ok((await sessions.entry('sid'))!.expiresAt!.getTime() > Date.now() + 1e13)
})

t.test('express-session loads sessions through a SessionStore', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const sessions = new SessionStore({ store })
  const stored = {
    cookie: { originalMaxAge: 1000, expires: new Date(Date.now() + 100_000), path: '/x', sameSite: 'lax' }, user: 'Ada'
  }
  sessions.set('sid', stored)
  const load = promisify(sessions.load.bind(sessions) as any)
  await t.rejects(load('sid'), { code: 'STORE_OPTION_INVALID' }, 'it cannot create a session without express-session')

  expressSession({ store: sessions, secret: 's', resave: false, saveUninitialized: false })
  const reference = new expressSession.MemoryStore()
  expressSession({ store: reference, secret: 's', resave: false, saveUninitialized: false })
  reference.set('sid', JSON.parse(JSON.stringify(stored)))
  const [session, same] = await Promise.all(
    [load('sid'), promisify(reference.load.bind(reference) as any)('sid')]
  ) as [expressSession.Session, expressSession.Session]
  t.equal(
    Object.getPrototypeOf(session), Object.getPrototypeOf(same), 'it has the class of the sessions of the memory store'
  )
  t.equal(Object.getPrototypeOf(session.cookie), Object.getPrototypeOf(same.cookie))
  t.strictSame(
    [session.id, JSON.parse(JSON.stringify(session)).user, session.cookie.expires instanceof Date],
    ['sid', 'Ada', true]
  )
  const { cookie: { expires, ...cookie }, ...rest } = JSON.parse(JSON.stringify(session)) as typeof stored
  const { cookie: { expires: until, ...sameCookie }, ...sameRest } = JSON.parse(JSON.stringify(same)) as typeof stored
  t.strictSame([cookie, rest], [sameCookie, sameRest])
  t.ok(expires >= until, 'it lasts as long as its key, which was set a little later')
  t.equal(await load('none'), undefined)
})

interface Locking {
  app: FastifyInstance
  sessions: SessionStore
  store: Store
  /** Sends a request as a client that is logged in. */
  ask (path: string): Promise<{ statusCode: number, body: any }>
}

/** A Fastify application whose sessions are locked by default, with routes of a test. */
async function locking (
  t: Test, http2: boolean, routes: (app: FastifyInstance, sessions: SessionStore) => void,
  options: SessionStoreOptions = {}
): Promise<Locking> {
  const store = createStore('memory:')
  const sessions = new SessionStore({ store, locking: true, ...options })
  const app = Fastify(http2 ? { http2 } as object : {})
  t.teardown(async () => { await app.close(); await store.close() })
  await app.register(fastifyCookie)
  await app.register(fastifySession, { store: sessions, secret: 's'.repeat(32), cookie: { secure: false } })
  app.get('/login', async request => { (request.session as any).user = 'Ada'; return '' })
  routes(app, sessions)
  await app.ready()
  const { headers } = await app.inject('/login')
  const cookie = String(headers['set-cookie']).split(';')[0]!
  return {
    app,
    sessions,
    store,
    ask: async path => {
      const { statusCode, body } = await app.inject({ url: path, headers: { cookie } })
      return { statusCode, body: body === '' ? undefined : JSON.parse(body) }
    }
  }
}

const add = (app: FastifyInstance): void => {
  let running = 0
  app.get('/add', async request => {
    const session = request.session as unknown as { n?: number }
    const { n = 0 } = session
    const together = ++running
    await setImmediate()
    session.n = n + 1
    running--
    return { n: session.n, together }
  })
}

t.test('with app.inject, requests of one session run one after another', async t => {
  for (const http2 of [false, true]) {
    const { ask, store } = await locking(t, http2, add)
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask('/add')))
    t.strictSame(answers.map(({ body }) => body.n).sort(), [1, 2, 3, 4, 5, 6, 7, 8])
    t.ok(answers.every(({ body }) => body.together === 1))
    await until(async () => (await store.locks()).length === 0)
  }
})

t.test('over HTTP/2, requests of one session run one after another, also after a client disconnects', async t => {
  const hung: string[] = []
  const { app, store } = await locking(t, true, app => {
    add(app)
    app.get('/hang', request => { hung.push(request.id) })
  })
  const client = connect(await app.listen({ host: '127.0.0.1', port: 0 }))
  t.teardown(() => { client.destroy() })
  const ask = async (path: string, cookie = ''): Promise<{ cookie: string, body: any }> => {
    const stream = client.request({ ':path': path, cookie })
    const [headers] = await once(stream, 'response') as [Record<string, string | string[]>]
    let body = ''
    for await (const chunk of stream) body += String(chunk)
    return { cookie: String(headers['set-cookie']).split(';')[0]!, body: body === '' ? undefined : JSON.parse(body) }
  }
  const { cookie } = await ask('/login')
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask('/add', cookie)))
  t.strictSame(answers.map(({ body }) => body.n).sort(), [1, 2, 3, 4, 5, 6, 7, 8])
  const stream = client.request({ ':path': '/hang', cookie })
  await until(() => hung.length === 1)
  const next = ask('/add', cookie)
  await until(async () => (await store.locks())[0]?.waiters === 1)
  stream.close()
  t.equal((await next).body.n, 9)
})

t.test('with locking, a request waits only for its own session, and a request for itself gets an error', async t => {
  let base = ''
  const { app, ask, sessions, store } = await locking(t, false, (app, sessions) => {
    const call = (name: 'all' | 'get' | 'length' | 'clear', ...args: unknown[]): Promise<any> =>
      promisify(sessions[name] as any).call(sessions, ...args)
    app.get('/all', async () => (await call('all') as object[]).length)
    app.get('/others', async () => {
      await Promise.all((await call('all') as Array<{ id: string }>).map(({ id }) => call('get', id)))
      return await call('length')
    })
    app.get('/fetch', async request => {
      const response = await fetch(`${base}/all`, { headers: { cookie: request.headers.cookie! } })
      return await response.json()
    })
    app.get('/inject', async request => {
      const response = await app.inject({ url: '/all', headers: { cookie: request.headers.cookie! } })
      return response.json()
    })
    app.get('/other-site', async () => await (await fetch(`${base}/all`)).json())
    app.get('/clear', async () => { await call('clear'); return {} })
  })
  base = await app.listen({ host: '127.0.0.1', port: 0 })
  await app.inject('/login')
  t.strictSame((await ask('/all')).body, 2)
  const [held] = await promisify(sessions.all).call(sessions) as Array<{ id: string }>
  const lock = await store.collection('sessions').acquire(`lock:${held!.id}`) // like a slow request
  const other = await app.inject('/login')
  const cookie = String(other.headers['set-cookie']).split(';')[0]!
  for (const path of ['/all', '/others']) {
    t.strictSame((await app.inject({ url: path, headers: { cookie } })).json(), 3, path)
  }
  for (const path of ['/fetch', '/inject']) {
    t.match((await app.inject({ url: path, headers: { cookie } })).json(), { code: 'STORE_DEADLOCK' }, path)
  }
  t.strictSame((await app.inject({ url: '/other-site', headers: { cookie } })).json(), 3)
  t.equal((await app.inject({ url: '/clear', headers: { cookie } })).statusCode, 200)
  t.equal(await store.collection('sessions').size(), 0, 'cleared sessions are not saved again')
  await lock.release()
})

t.test('a session also stays destroyed if the reply is sent from another context', async t => {
  for (const isLocking of [false, true]) {
    const polls: FastifyReply[] = []
    const { app, ask, sessions, store } = await locking(t, false, app => {
      app.get('/poll', (request, reply) => { Object.assign(request.session, { n: 1 }); polls.push(reply) })
      app.get('/new', (request, reply) => {
        request.session.regenerate().then(() => { polls.push(reply) }, error => { reply.send(error) })
      })
    }, { locking: isLocking })
    const stored = store.collection('sessions')
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    const fetched = async (path: string): Promise<{ statusCode: number }> => {
      const cookie = (await fetch(`${url}/login`)).headers.getSetCookie()[0]!.split(';')[0]!
      const { status } = await fetch(url + path, { headers: { cookie } })
      return { statusCode: status }
    }
    for (const send of [ask, fetched]) {
      const poll = send('/poll')
      await until(() => polls.length === 1)
      await promisify(sessions.clear).call(sessions)
      polls.pop()!.send({})
      t.equal((await poll).statusCode, 200)
      t.equal(await stored.size(), 0)
    }
    const regenerated = fetched('/new')
    await until(() => polls.length === 1)
    polls.pop()!.send({})
    t.equal((await regenerated).statusCode, 200)
    t.equal(await stored.size(), 1, 'a new session is saved')
  }
})

t.test('a request that has lost its lock cannot save in the context of another one that has it', async t => {
  const polls: FastifyReply[] = []
  const { ask, store } = await locking(t, false, app => {
    app.get('/poll', (request, reply) => { Object.assign(request.session, { n: 1 }); polls.push(reply) })
    app.get('/answer', async request => {
      Object.assign(request.session, { n: 100 })
      await polls.pop()!.send({})
      return {}
    })
  }, { lease: 0.3 })
  const poll = ask('/poll')
  await until(() => polls.length === 1)
  const answer = ask('/answer') // runs after the lease of the first one
  t.match(await poll, { statusCode: 409, body: { code: 'STORE_LOCK_LOST', message: /the lease of 0.3 seconds/ } })
  t.equal((await answer).statusCode, 200)
  t.match(await only(store.collection('sessions')), [String, { n: 100 }])
})

t.test('a session that was created, saved and reloaded stays destroyed', async t => {
  const { app, store } = await locking(t, false, (app, sessions) => {
    app.get('/', async ({ session }, reply) => {
      await session.save()
      await session.reload()
      await promisify(sessions.destroy).call(sessions, session.sessionId)
      Object.assign(reply.request.session, { n: 1 })
    })
  }, { locking: false })
  await store.collection('sessions').clear()
  t.equal((await app.inject('/')).statusCode, 200)
  t.equal(await store.collection('sessions').size(), 0)
})

t.test('a request that loses its store fails, or saves nothing, with locking as without', async t => {
  for (const isLocking of [true, false]) {
    for (const [unreachable, statusCode] of [['fail', 503], ['no-session', 200]] as const) {
      const { ask, store } = await locking(t, false, app => {
        app.get('/', async request => {
          Object.assign(request.session, { n: 1 })
          await store.close()
          return {}
        })
      }, { locking: isLocking, unreachable })
      const answer = await ask('/')
      t.match(answer, { statusCode, body: unreachable === 'fail' ? { code: 'STORE_CLOSED' } : {} })
    }
  }
})
