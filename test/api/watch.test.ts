// Watches and channels of the API: compared with a model, shared, and cleaned up.
import t from 'tap'
import { collection, createStore, type WatchEvent, type WatchOptions } from '../../src/index.js'
import { unstorageDriver } from '../../src/adapters/unstorage.js'
import { Channel } from '../../src/api/channel.js'
import { Collection } from '../../src/api/collection.js'
import { NO_DEFAULTS } from '../../src/api/collection-calls.js'
import { countFeeds } from '../../src/api/feed.js'
import { countHubs } from '../../src/api/hub.js'
import { offAbort, onAbort } from '../../src/core/abort-signals.js'
import { Request, type Engine, type Reply, type Wait } from '../../src/core/engine.js'
import { StoreError } from '../../src/core/errors.js'
import { MemoryEngine } from '../../src/engines/memory/engine.js'
import { Keyspace } from '../../src/engines/memory/keyspace.js'
import { Follower, follow } from '../support/follower.js'
import { until } from '../support/until.js'

const SEED = Number(process.env.STRONG_STORE_SEED ?? Date.now() % 2 ** 31)

/** A store whose watches can be disconnected, and which can be replaced by an empty one. */
class Fragile implements Engine {
  readonly maxValueBytes = 2 ** 20
  readonly isShared = false
  onerror: Engine['onerror']
  onclose: Engine['onclose']
  keyspace = new Keyspace()
  watches = 0
  #inner = new MemoryEngine(this.keyspace)
  readonly #cuts = new Set<() => void>()

  async call (request: Request): Promise<Reply> {
    if (request.op !== 'watch') return await this.#inner.call(request)
    this.watches++
    const cut = new AbortController()
    const end = (): void => { cut.abort() }
    const { signal } = request.wait ?? {}
    if (signal !== undefined) onAbort(signal, end)
    this.#cuts.add(end)
    const wait: Wait = { timeout: undefined, scope: undefined, ...request.wait, signal: cut.signal }
    const copy = Object.assign(new Request(request.op, request.collection, request.key), request, { wait })
    try {
      if (signal?.aborted === true) throw new StoreError('STORE_ABORTED')
      return await this.#inner.call(copy)
    } catch (error) {
      const isCut = (error as StoreError).code === 'STORE_ABORTED' && signal?.aborted !== true
      throw isCut ? new StoreError('STORE_DISCONNECTED') : error
    } finally {
      if (signal !== undefined) offAbort(signal, end)
      this.#cuts.delete(end)
    }
  }

  post (request: Request): void {
    this.#inner.post(request)
  }

  cut (): void {
    for (const cut of this.#cuts) cut()
  }

  async replace (): Promise<void> {
    this.cut()
    const old = this.#inner
    this.keyspace = new Keyspace()
    this.#inner = new MemoryEngine(this.keyspace)
    await old.close()
  }

  async close (): Promise<void> {
    await this.#inner.close()
  }
}

t.test(`every watch converges to the state of the store, across disconnects and restarts, seed ${SEED}`, async t => {
  const engine = new Fragile()
  const items = new Collection<any>(engine, 'model', NO_DEFAULTS)
  const targets: WatchOptions[] = [
    {}, {}, { prefix: 'a' }, { prefix: 'b1' }, { key: 'a3' }, { key: 'b7' }, { prefix: 'a', values: false }
  ]
  const cut = (): void => { engine.cut() }
  const replace = (): Promise<void> => engine.replace()
  const followers = targets.map(target => new Follower(items, target))
  await follow(items, followers, { seed: SEED, steps: 2000, many: 1500, cut, replace })
  t.equal(countFeeds(engine), 0)
  t.equal(engine.keyspace.watches.waiters, 0)
  await engine.close()
})

t.test('a thousand watches of the same keys cost the store no more than one', async t => {
  const engine = new Fragile()
  const items = new Collection<number>(engine, 'shared', NO_DEFAULTS)
  const watches = Array.from({ length: 1000 }, () => items.watch({ prefix: 'a' }))
  for (const watch of watches) t.match((await watch.next()).value, { type: 'ready' })
  const waiting = watches.map(watch => watch.next())
  await until(() => engine.keyspace.watches.waiters === 1)
  const before = engine.watches
  for (let i = 0; i < 10; i++) {
    await items.set('a', i)
    for (const [n, next] of waiting.entries()) {
      const { value } = await next
      if (value!.type !== 'set' || value!.value !== i) t.fail(`watch ${n} got ${JSON.stringify(value)}`)
      waiting[n] = watches[n]!.next()
    }
  }
  t.ok(engine.watches - before <= 20, `${engine.watches - before} calls`)
  t.equal(countFeeds(engine), 1)
  for (const watch of watches) await watch.return()
  t.strictSame([countFeeds(engine), engine.keyspace.watches.waiters], [0, 0])
  await engine.close()
})

t.test('closed watches and subscriptions leave no state', async t => {
  const engine = new Fragile()
  const items = new Collection<number>(engine, 'opened', NO_DEFAULTS)
  const channel = new Channel<number>(engine, 'opened')
  const controller = new AbortController()
  await items.set('a', 1)
  for (let round = 0; round < 50; round++) {
    await Promise.all(Array.from({ length: 10 }, async (_, i) => {
      const watch = items.watch(i % 2 === 0 ? {} : { signal: controller.signal })
      const subscription = channel.subscribe({ signal: controller.signal })
      for (let n = i % 4; n > 0; n--) {
        const next = watch.next()
        if (n > 1) await next
      }
      if (i % 3 === 0) await subscription.ready
      const message = i % 3 === 1 ? subscription.next() : undefined
      await Promise.all([watch.return(), subscription.return(), message])
    }))
  }
  t.strictSame([countFeeds(engine), countHubs(engine), engine.keyspace.watches.waiters], [0, 0, 0])
  await until(() => engine.keyspace.channels.size === 0)
  t.equal(await channel.publish(1), 0)
  await engine.close()
})

t.test('a watch that is not read makes no calls, and continues with the latest state', async t => {
  const engine = new Fragile()
  const items = new Collection<number>(engine, 'unread', NO_DEFAULTS)
  const watch = items.watch()
  t.match((await watch.next()).value, { type: 'ready' })
  await items.set('first', 0)
  t.match((await watch.next()).value, { key: 'first' })
  await items.setMany(Array.from({ length: 5000 }, (_, i) => [`key ${i}`, i]))
  await until(() => engine.keyspace.watches.waiters === 0)
  const { watches } = engine
  await items.setMany(Array.from({ length: 5000 }, (_, i) => [`key ${i}`, -i]))
  t.equal(engine.watches, watches)
  const seen = new Map<string, unknown>()
  while (seen.size < 5000) {
    const { value } = await watch.next()
    if (value!.type !== 'set') throw new Error(value!.type)
    if (seen.has(value!.key) || value!.value > 0) t.fail(`${value!.key} is not in its latest state`)
    seen.set(value!.key, value!.value)
  }
  const next = watch.next()
  await items.del('first')
  t.match((await next).value, { type: 'del', key: 'first' })
  await watch.return()
  await engine.close()
})

t.test('watches and subscriptions reject when the store is closed or unreachable', async t => {
  const store = createStore('memory:')
  const waits = store.collection('a').watch()
  t.match((await waits.next()).value, { type: 'ready' })
  const [next, message] = [waits.next(), store.channel('a').subscribe().next()]
  await new Promise(resolve => { setImmediate(resolve) })
  await store.close()
  await t.rejects(next, { code: 'STORE_CLOSED' })
  await t.rejects(message, { code: 'STORE_CLOSED' })
  t.strictSame(await waits.next(), { value: undefined, done: true })
  await t.rejects(store.collection('a').watch().next(), { code: 'STORE_CLOSED' })
  const nowhere = createStore({ url: 'http://127.0.0.1:1/', connectTimeout: 1 })
  await t.rejects(nowhere.collection('a').watch().next(), { code: 'STORE_UNREACHABLE' })
  await t.rejects(nowhere.channel('a').subscribe().next(), { code: 'STORE_UNREACHABLE' })
  await nowhere.close()
})

t.test("a callback collection emits 'change' events while it has listeners", async t => {
  const items = collection<number>('callback changes')
  const events: unknown[] = []
  const listener = (event: WatchEvent<number>): void => {
    events.push(event.type === 'set' ? [event.key, event.value] : event.type)
  }
  items.on('change', listener)
  items.set('a', 1)
  await until(() => events.includes('ready'))
  items.set('b', 2)
  items.del('b')
  await until(() => events.at(-1) === 'del')
  items.off('change', listener)
  const { length } = events
  await items.promises.set('c', 3)
  await new Promise(resolve => { setImmediate(resolve) })
  t.equal(events.length, length)
  items.once('change', listener)
  await until(() => events.length > length)
  await createStore().close()
})

t.test('unstorage: watch reports updates and removals until it is stopped', async t => {
  const store = createStore('memory:')
  const driver = unstorageDriver({ store })
  await driver.setItem('there', 'x')
  const events: string[] = []
  const unwatch = await driver.watch((event, key) => { events.push(`${event} ${key}`) })
  await driver.setItem('a', '1')
  await until(() => events.length === 1)
  await driver.removeItem('a')
  await until(() => events.length === 2)
  t.strictSame(events, ['update a', 'remove a'])
  await unwatch()
  await driver.setItem('b', '1')
  await new Promise(resolve => { setImmediate(resolve) })
  t.equal(events.length, 2)
  await store.close()
})
