// Changes over HTTP: server-sent events and long polling.
import { Agent, get, type IncomingMessage } from 'node:http'
import Fastify from 'fastify'
import { mock } from 'node:test'
import t, { type Test } from 'tap'
import strongStore, { createStore, type AdminTokenOptions, type Store } from '../../src/index.js'
import { READ_TOKEN, TOKEN, serveAdmin, type Server } from '../support/admin.js'
import { NO_REDIS, hasRedis, startServer } from '../support/redis.js'
import { until } from '../support/until.js'

interface Event { event: string, id?: string, data: any }

interface Stream {
  response: IncomingMessage
  /** The next `count` events. */
  take (count: number): Promise<Event[]>
  /** All data received so far. */
  text (): string
  isEnded (): boolean
  close (): void
}

/** A stream of events. With `paused` it reads only what is taken. */
async function open (t: Test, port: number, path: string, headers: Record<string, string> = {}): Promise<Stream> {
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => { agent.destroy() })
  const request = get({
    host: '127.0.0.1',
    port,
    path: `/_store/v1${path}`,
    headers: { authorization: `Bearer ${TOKEN}`, ...headers },
    agent
  })
  const response = await new Promise<IncomingMessage>(
    (resolve, reject) => { request.on('response', resolve).on('error', reject) }
  )
  let text = ''
  let taken = 0
  let isEnded = false
  response.setEncoding('utf8').on(
    'data', (part: string) => { text += part }
  ).on('end', () => { isEnded = true }).on('error', () => { isEnded = true })
  const close = (): void => { request.destroy() }
  t.teardown(close)
  const events = (): Event[] => text.split('\n\n').slice(0, -1).flatMap(block => {
    const fields = block.split('\n').map(
      line => /^(\w*): ?(.*)$/.exec(line) ?? []
    ).map(([, name, value]) => [name, value])
    const data = fields.filter(([name]) => name === 'data').map(([, value]) => value).join('\n')
    return data === '' ? [] : [{ ...Object.fromEntries(fields) as Event, data: JSON.parse(data) as unknown }]
  })
  return {
    response,
    take: async count => {
      const found = await until(
        () => { const all = events(); return all.length >= taken + count && all.slice(taken, taken + count) }
      )
      taken += count
      return found
    },
    text: () => text,
    isEnded: () => isEnded,
    close
  }
}

const short = (
  { event, data: { key, value } }: Event
): unknown[] => [event, key, value].filter(part => part !== undefined)

async function serve (t: Test): Promise<{ store: Store } & Server> {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  return { store, ...await serveAdmin(t, store) }
}

t.test('a stream sends the existing keys, ready, and each change', async t => {
  const { store, port } = await serve(t)
  const items = store.collection<any>('items')
  await items.text.set('a', '{\n  "é": [1,\r\n 2]\n}')
  const stream = await open(t, port, '/collections/items/events?values=true&prefix=a')
  t.match(stream.response.headers, {
    'content-type': /^text\/event-stream/,
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
    connection: 'close' // an idle connection would delay the close of the app
  })
  const [listed, ready] = await stream.take(2)
  t.strictSame([listed!.event, listed!.id, listed!.data.value], ['set', undefined, { é: [1, 2] }])
  t.ok(listed!.data.version > 0)
  t.strictSame([ready!.event, ready!.id], ['ready', String(ready!.data.revision)])
  t.match(stream.text(), /^retry: \d+\n\n/)
  await items.set('b', 1)
  await items.set('a', 2)
  await items.del('a')
  const changes = await stream.take(1)
  t.equal(changes[0]!.data.key, 'a')
  if (changes[0]!.event === 'set') await stream.take(1)
  await items.set('a/c', 3)
  t.strictSame((await stream.take(1)).map(short), [['set', 'a/c', 3]])
  await items.touch('a/c', { ttl: 0.01 })
  t.strictSame((await stream.take(1)).map(short), [['expired', 'a/c']])
  const names = await open(t, port, '/collections/items/events')
  t.strictSame((await names.take(2)).map(short), [['set', 'b'], ['ready']])
  const key = await open(t, port, '/collections/items/keys/b', {
    accept: 'text/event-stream', authorization: `Bearer ${READ_TOKEN}`
  })
  t.strictSame((await key.take(2)).map(short), [['set', 'b', 1], ['ready']])
  await items.set('b', 2)
  t.strictSame((await key.take(1)).map(short), [['set', 'b', 2]])
})

t.test('a client that reconnects gets the events that it missed', async t => {
  const { store, port, ask } = await serve(t)
  const items = store.collection('items')
  await items.set('a', 1)
  const stream = await open(t, port, '/collections/items/events?values=true')
  await stream.take(2)
  await items.set('a', 2)
  const [{ id }] = await stream.take(1) as [Event]
  stream.close()
  await items.set('b', 3)
  for (const [query, headers] of [['', { 'last-event-id': id! }], [`&since=${id}`, {}]] as const) {
    const again = await open(t, port, `/collections/items/events?values=true${query}`, headers)
    t.strictSame((await again.take(2)).map(short), [['set', 'b', 3], ['ready']])
  }
  const lost = await open(t, port, '/collections/items/events', { 'last-event-id': '7' })
  t.strictSame((await lost.take(4)).map(({ event }) => event), ['reset', 'set', 'set', 'ready'])
  const old = await ask('GET', '/collections/items/events?since=7')
  t.match(old, { status: 410, json: { code: 'ADMIN_TOO_OLD' } })
  t.match(await ask('GET', '/collections/items/events?since=x'), { status: 400 })
  t.match(
    await ask('GET', '/collections/items/events', { headers: { authorization: 'Bearer wrong' } }), { status: 401 }
  )
})

t.test('a stream that continues after an unknown event id starts with a reset, on any engine', async t => {
  const { store: memory, origin } = await serve(t)
  const http = createStore({ url: `${origin}/_store/v1`, token: TOKEN })
  const engines = hasRedis ? { memory, http, redis: createStore((await startServer(t)).options) } : { memory, http }
  if (!hasRedis) t.comment(`redis ${NO_REDIS}`)
  for (const [name, store] of Object.entries(engines)) {
    t.teardown(() => store.close())
    const { port, ask } = await serveAdmin(t, store)
    await store.collection(name).set('a', 1)
    const watch = store.collection(name).watch()
    const take = async (): Promise<unknown> => (await watch.next()).value
    await take()
    const { revision } = await take() as { revision: number }
    const ids = [
      'junk', '-1', '1e3', `${revision}.5`, ` ${revision}x`, '0', '7', '0'.repeat(64), '9'.repeat(16), '9'.repeat(1000),
      String(revision + 10 ** 12)
    ]
    for (const path of [`/collections/${name}/events?values=true`, `/collections/${name}/keys/a`]) {
      for (const id of ids) {
        const stream = await open(t, port, path, { 'last-event-id': id, accept: 'text/event-stream' })
        t.strictSame(
          (await stream.take(3)).map(short), [['reset'], ['set', 'a', 1], ['ready']], `${name} ${path} ${id}`
        )
        stream.close()
      }
      const without = await open(t, port, path, { 'last-event-id': '', accept: 'text/event-stream' })
      t.strictSame((await without.take(2)).map(short), [['set', 'a', 1], ['ready']])
      without.close()
    }
    for (const since of ['0', '7', String(revision + 10 ** 12)]) {
      const { status } = await ask('GET', `/collections/${name}/events?since=${since}`)
      t.equal(status, 410, `${name} since ${since}`)
    }
    for (const since of ['junk', '-1', '9'.repeat(16)]) {
      const { status } = await ask('GET', `/collections/${name}/events?since=${since}`)
      t.equal(status, 400, `${name} since ${since}`)
    }
    const headers = { 'if-none-match': 'junk, "7"', prefer: 'wait=60' }
    t.match(await ask('GET', `/collections/${name}/keys/a`, { headers }), { status: 200, json: 1 }, 'long polling')
    await watch.return()
  }
})

t.test('long polling waits for another version', async t => {
  const { store, ask } = await serve(t)
  const items = store.collection('items')
  await items.set('key', 1)
  const { headers: { etag } } = await ask('GET', '/collections/items/keys/key')
  const poll = (seconds: number, tag = String(etag)): ReturnType<typeof ask> => (
    ask('GET', '/collections/items/keys/key', { headers: { 'if-none-match': tag, prefer: `wait=${seconds}` } })
  )
  t.match(await poll(1), { status: 304, headers: { etag } })
  const changed = poll(60)
  await until(async () => (await store.stats()).reads! >= 3)
  await items.set('key', 2)
  const answer = await changed
  t.match(answer, { status: 200, json: 2 })
  t.match(await poll(60), { status: 200, json: 2 }, 'immediately, since the version differs')
  const deleted = poll(60, String(answer.headers.etag))
  await items.del('key')
  t.match(await deleted, { status: 404 })
  const never = poll(60)
  t.match(await never, { status: 404 })
})

t.test('streams end when the server closes, and a watch of a client continues on the next server', async t => {
  const store = createStore('memory:')
  const first = Fastify()
  await first.register(strongStore, { store, admin: { token: TOKEN } })
  await first.listen({ port: 0, host: '127.0.0.1' })
  const { port } = first.server.address() as { port: number }
  const client = createStore({ url: `http://127.0.0.1:${port}/_store/v1`, token: TOKEN })
  const events = client.collection('items').watch()
  t.match(await events.next(), { value: { type: 'ready' } })
  const waits = events.next()
  const stream = await open(t, port, '/collections/items/events')
  await stream.take(1)
  const poll = fetch(`http://127.0.0.1:${port}/_store/v1/collections/items/keys/key`, {
    headers: { authorization: `Bearer ${TOKEN}`, 'if-none-match': '"1"', prefer: 'wait=60' }
  })
  await poll
  await first.close()
  await until(() => stream.isEnded())
  const second = Fastify({ forceCloseConnections: true })
  await second.register(strongStore, { store, admin: { token: TOKEN } })
  await second.listen({ port, host: '127.0.0.1' })
  await store.collection('items').set('key', 1)
  t.match(await waits, { value: { type: 'set', key: 'key', value: 1 } })
  await events.return()
  await client.close()
  await second.close()
  await store.close()
})

t.test('an unread stream does not block others, and gets the latest state of each key', async t => {
  const { store, port } = await serve(t)
  const items = store.collection('items')
  const paused = get({
    host: '127.0.0.1',
    port,
    path: '/_store/v1/collections/items/events?values=true',
    headers: { authorization: `Bearer ${TOKEN}` },
    agent: false
  })
  const response = await new Promise<IncomingMessage>(
    (resolve, reject) => { paused.on('response', resolve).on('error', reject) }
  )
  response.pause()
  const streams = await Promise.all(Array.from({ length: 50 }, () => open(t, port, '/collections/items/events')))
  for (const stream of streams) await stream.take(1)
  const large = 'x'.repeat(20_000)
  for (let i = 0; i < 1000; i++) await items.set(`key ${i % 100}`, large + String(i)) // more than socket buffers hold
  await items.set('last', 'done')
  for (const stream of streams) await until(() => stream.text().includes('"last"'))
  for (const stream of streams) stream.close()
  let text = ''
  response.setEncoding('utf8').on('data', (part: string) => { text += part }).resume()
  await until(() => text.includes('"done"'), 60)
  for (let i = 0; i < 100; i++) t.ok(text.includes(`x${i + 900}"`), `the latest state of key ${i}`)
  t.ok(text.length < 20_000_000, 'it does not get each change')
  paused.destroy()
})

t.test('a stream ends when its token is no longer valid, or no longer covers the collection', async t => {
  const store = createStore('memory:')
  const token = { name: 'ops', token: 'exchangeable', access: 'read' } as const
  let tokens: () => AdminTokenOptions[] = () => [token]
  const { port } = await serveAdmin(t, store, { tokens: () => tokens() })
  const beat = async (): Promise<void> => {
    mock.timers.tick(15_000)
    await new Promise(resolve => { setImmediate(resolve) })
  }
  t.teardown(() => { mock.timers.reset() })
  for (const left of [[], [{ ...token, collections: ['other'] }]]) {
    mock.timers.enable({ apis: ['setInterval'] })
    tokens = () => [token]
    const { take, isEnded } = await open(t, port, '/collections/c/events', { authorization: 'Bearer exchangeable' })
    await take(1)
    await beat()
    tokens = () => { throw new Error('no answer from the vault') }
    await beat()
    tokens = () => [{ ...token, name: 'renamed', collections: ['c'] }]
    await beat()
    await store.collection('c').set('k', 1)
    await take(1)
    t.notOk(isEnded(), 'the token covers the collection, or cannot be checked')
    tokens = () => left
    await beat()
    await until(isEnded)
    mock.timers.reset()
    await store.collection('c').del('k')
  }
})
