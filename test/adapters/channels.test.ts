// The adapters that use channels, with the real libraries in four workers: Socket.IO and GraphQL subscriptions.
import { buildSchema, parse, subscribe, type ExecutionResult } from 'graphql'
import { withFilter } from 'graphql-subscriptions'
import { io as connect, type Socket } from 'socket.io-client'
import t from 'tap'
import type * as socketIo from 'socket.io'
import type { Server } from 'socket.io'
import type * as pubSubs from '../../src/adapters/graphql-subscriptions.js'
import { StorePubSub } from '../../src/adapters/graphql-subscriptions.js'
import type * as adapters from '../../src/adapters/socket-io.js'
import { packBinary, unpackBinary } from '../../src/adapters/socket-io-binary.js'
import { createStore } from '../../src/index.js'
import { fork, type TestWorker } from '../support/cluster.js'
import { until } from '../support/until.js'

const WORKERS = 4
const urlOf = (path: string): string => new URL(`../../src/adapters/${path}.js`, import.meta.url).href
const workers = await Promise.all(Array.from({ length: WORKERS }, () => fork(t)))

t.test('Socket.IO: the servers of all workers act as one', async t => {
  const ports = await Promise.all(workers.map(worker => worker.run(async ({ store, kept }, adapter, library) => {
    const { createServer } = await import('node:http')
    const { Server } = await import(library) as typeof socketIo
    const { socketAdapter } = await import(adapter) as typeof adapters
    const server = createServer()
    const io = new Server(server, { adapter: socketAdapter({ store, heartbeatInterval: 200, heartbeatTimeout: 5000 }) })
    kept.io = io
    io.on('connection', socket => {
      socket.on('join', (room: string, joined: () => void) => {
        Promise.resolve(socket.join(room)).then(joined, joined)
      })
    })
    io.on('add', (number: number, answer: (sum: number) => void) => { answer(number + process.pid) })
    // Otherwise all workers would get the same port.
    await new Promise<void>(resolve => { server.listen({ port: 0, host: '127.0.0.1', exclusive: true }, resolve) })
    return (server.address() as { port: number }).port
  }, urlOf('socket-io'), import.meta.resolve('socket.io'))))
  const on = <T>(worker: TestWorker, fn: (io: Server) => T): Promise<Awaited<T>> => {
    return worker.run(({ kept }, text) => {
      // eslint-disable-next-line no-eval -- it comes from below
      return (0, eval)(`(${text})`)(kept.io) as T
    }, fn.toString()) as Promise<Awaited<T>>
  }
  const heard: unknown[][] = Array.from({ length: WORKERS }, () => [])
  const clients: Socket[] = ports.map((port, i) => {
    const client = connect(`http://127.0.0.1:${port}`, { transports: ['websocket'], reconnection: false })
    client.on('news', (...news: unknown[]) => { heard[i]!.push(...news) })
    client.on('ask', (question: number, answer: (answer: unknown) => void) => { answer([i, question]) })
    t.teardown(() => { client.disconnect() })
    return client
  })
  const [first, second, third, fourth] = workers as [TestWorker, TestWorker, TestWorker, TestWorker]
  await Promise.all(clients.slice(0, 3).map(client => client.emitWithAck('join', 'red')))
  for (const worker of workers) {
    await until(async () => (await on(worker, io => io.of('/').adapter.serverCount())) === WORKERS)
  }

  await t.test('rooms contain the clients of all workers', async t => {
    await on(fourth, io => { io.to('red').emit('news', 1, { file: Buffer.from('é'), list: [new Uint8Array([1, 2])] }) })
    await until(() => heard.slice(0, 3).every(({ length }) => length === 2))
    const expected = [1, { file: Buffer.from('é'), list: [Buffer.from([1, 2])] }]
    t.strictSame(heard.slice(0, 3), [expected, expected, expected])
    await on(first, io => { for (let i = 0; i < 100; i++) io.emit('news', i) })
    await until(() => heard[3]!.length === 100)
    t.strictSame(heard[3], [...Array(100).keys()], 'broadcasts arrive in order, without the message to the room')
    await on(second, io => { io.in('red').socketsLeave('red') })
    await on(second, io => { io.socketsJoin('blue') })
    await until(async () => (await on(third, async io => (await io.in('blue').fetchSockets()).length)) === 4)
    t.equal(await on(third, async io => (await io.in('red').fetchSockets()).length), 0)
  })

  await t.test('acknowledgements are collected from all workers', async t => {
    const answers = await on(second, io => io.timeout(20_000).emitWithAck('ask', 7)) as unknown[][]
    t.strictSame(answers.sort(), [[0, 7], [1, 7], [2, 7], [3, 7]])
    const sums = await on(first, io => io.serverSideEmitWithAck('add', 1)) as number[]
    t.strictSame(sums.sort(), workers.slice(1).map(({ pid }) => pid + 1).sort())
  })

  await t.test('a killed worker is no longer counted', async t => {
    third.kill('SIGKILL')
    await third.exited
    const left = [first, second, fourth]
    for (const worker of left) {
      await until(async () => await on(worker, io => io.of('/').adapter.serverCount()) === WORKERS - 1, 30)
    }
    const answers = await on(first, io => io.timeout(20_000).emitWithAck('ask', 8)) as unknown[][]
    t.strictSame(answers.sort(), [[0, 8], [1, 8], [3, 8]])
    t.strictSame((await on(first, io => io.serverSideEmitWithAck('add', 1))).length, 2)
    t.equal((await on(fourth, async io => (await io.fetchSockets()).length)), 3)
    t.equal(await createStore().channel('socket.io:/').publish({}), 3, 'its subscription is removed from the store')
  })

  await t.test('a closed server is no longer counted', async t => {
    await on(second, io => io.close())
    await until(async () => await on(first, io => io.of('/').adapter.serverCount()) === 2)
    t.equal(await createStore().channel('socket.io:/').publish(null), 2)
  })
})

t.test('binary data in packets arrives unchanged', async t => {
  const there = (message: object): unknown => unpackBinary(JSON.parse(JSON.stringify(packBinary(message))) as object)
  t.strictSame(there({ a: [1, null, 'x'] }), { a: [1, null, 'x'] })
  const bytes = new Uint8Array([0, 255])
  t.strictSame(there({ a: [bytes, bytes.buffer, new DataView(bytes.buffer, 1)], b: { message: 'x' } }), {
    a: [Buffer.from(bytes), Buffer.from(bytes), Buffer.from([255])], b: { message: 'x' }
  })
  t.strictSame(there({ message: Buffer.alloc(0), date: new Date(0) }), {
    message: Buffer.alloc(0), date: '1970-01-01T00:00:00.000Z'
  })
})

t.test('GraphQL subscriptions receive the events of all workers', async t => {
  const store = createStore()
  const missed: unknown[] = []
  const pubSub = new StorePubSub({ store, onmissed: (event, count) => { missed.push([event, count]) } })
  const schema = buildSchema('type Query { a: Int } type Subscription { price (of: String!): Int }')
  const { price } = schema.getSubscriptionType()!.getFields()
  price!.subscribe = withFilter(
    () => pubSub.asyncIterableIterator('price'), (event, args) => (event as { of: string }).of === args!.of
  )
  price!.resolve = event => event.price as number
  const follow = async (of: string): Promise<AsyncGenerator<ExecutionResult>> => {
    return (await subscribe({
      schema, document: parse(`subscription { price (of: "${of}") }`)
    })) as AsyncGenerator<ExecutionResult>
  }
  const [tea, milk] = [await follow('tea'), await follow('milk')]
  const next = [tea.next(), milk.next()]
  const channel = store.channel('graphql:price')
  await until(async () => await channel.publish({ of: 'nothing' }) === 2)
  await workers[0]!.run(async ({ store, kept }, adapter) => {
    const { StorePubSub } = await import(adapter) as typeof pubSubs
    kept.pubSub = new StorePubSub({ store })
    for (let i = 0; i < 3; i++) await kept.pubSub.publish('price', { of: i === 1 ? 'milk' : 'tea', price: i })
  }, urlOf('graphql-subscriptions'))
  const prices = [await next[0], await next[1], await tea.next()].map(result => ({ ...result!.value.data }))
  t.strictSame(prices, [{ price: 0 }, { price: 1 }, { price: 2 }])
  await Promise.all([tea.return(undefined), milk.return(undefined)])
  await until(async () => await channel.publish({ of: 'nothing' }) === 0)

  const found: unknown[] = []
  const id = await pubSub.subscribe('any', payload => { found.push(payload) })
  await pubSub.publish('any', undefined)
  await until(() => found.length === 1)
  t.strictSame(found, [null])
  pubSub.unsubscribe(id)
  await pubSub.publish('any', 2)
  await pubSub.subscribe('any', () => {})
  await pubSub.close()
  t.equal(await store.channel('graphql:any').publish(3), 0)
  t.strictSame(found, [null])
  t.throws(() => new StorePubSub({ prefix: 1 as unknown as string }), { code: 'STORE_OPTION_INVALID' })
  t.strictSame(missed, [])
})

t.teardown(async () => { await createStore().close() })
