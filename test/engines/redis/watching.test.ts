// Watches and channels in Redis: what they leave on the server, and what happens when connections and processes end.
// See ../../contract/watching.ts for the rest.
import t, { type Test } from 'tap'
import { Request } from '../../../src/core/engine.js'
import { redisEngine } from '../../../src/engines/redis/engine.js'
import { createStore, type Store, type WatchOptions } from '../../../src/index.js'
import { fork } from '../../support/cluster.js'
import { Follower, follow } from '../../support/follower.js'
import { NO_REDIS, hasRedis, startServer, type TestServer } from '../../support/redis.js'
import { until } from '../../support/until.js'

const SEED = Number(process.env.STRONG_STORE_SEED ?? Date.now() % 2 ** 31)

if (hasRedis) all(await startServer(t))
else t.plan(0, NO_REDIS)

function all (server: TestServer): void {
  const { options, redis } = server
  const open = (t: Test): Store => {
    const store = createStore(options)
    t.teardown(() => store.close())
    return store
  }
  const members = (set: string): Promise<string[]> => redis.zrange(`strong-store:{c:${set}`, '0', '-1')

  t.test(`every watch reaches the state of the store despite faults, seed ${SEED}`, async t => {
    const [writer, reader] = [open(t), open(t)]
    const targets: WatchOptions[] = [
      {}, { prefix: 'a' }, { prefix: 'b1' }, { key: 'a3' }, { prefix: 'a', values: false }
    ]
    const followers = targets.map((target, i) => {
      return new Follower((i % 2 === 0 ? reader : writer).collection('model'), target)
    })
    let cuts = 0
    const cut = (): Promise<unknown> => (
      redis.call('CLIENT', 'KILL', 'TYPE', ['normal', 'pubsub'][cuts++ % 2]!, 'SKIPME', 'yes')
    )
    const replace = (): Promise<unknown> => redis.flushall()
    await follow(writer.collection('model'), followers, { seed: SEED, steps: 600, many: 500, cut, replace })
    await until(async () => (await members('model}:armed')).length + (await members('model}:owned')).length === 0)
  })

  t.test('ended watches and subscriptions leave no waiting calls and no messages', async t => {
    const store = open(t)
    const items = store.collection<number>('ended')
    const channel = store.channel<unknown>('ended')
    const controller = new AbortController()
    await items.set('a', 1)
    for (let round = 0; round < 10; round++) {
      await Promise.all(Array.from({ length: 10 }, async (_, i) => {
        const watch = items.watch(i % 2 === 0 ? { key: `key ${i}` } : { prefix: 'a', signal: controller.signal })
        const subscription = channel.subscribe({ signal: controller.signal })
        for (let n = i % 4; n > 0; n--) {
          const next = watch.next()
          if (n > 1 && i % 2 === 1) await next
        }
        if (i % 3 === 0) await subscription.ready
        await Promise.all([watch.return(), subscription.return()])
      }))
    }
    await until(async () => (await redis.keys('strong-store:{m:*')).length === 0)
    await until(async () => (await members('ended}:armed')).length === 0)
    t.equal(await redis.hlen('strong-store:{c:ended}:waiting'), 0)
    const subscription = channel.subscribe()
    await subscription.ready
    for (const message of ['short', 'long'.repeat(1000)]) {
      await channel.publish(message)
      t.equal((await subscription.next()).value?.message, message)
    }
    await until(async () => await redis.exists('strong-store:{m:ended}:messages') === 0)
    t.notOk((await store.collections()).some(({ name }) => name.includes('m:')), 'channels are not collections')
    await subscription.return()
  })

  t.test('a process sends heartbeats for a subscription even while no call waits for its messages', async t => {
    const engine = redisEngine({ url: options.url, connectTimeout: 5000, life: 1 })
    t.teardown(() => engine.close())
    const subscribe = (change: Partial<Request>): Promise<unknown> => (
      engine.call(Object.assign(new Request('subscribe', '', 'idle'), { token: 'token', number: 1 }, change))
    )
    await subscribe({ nowait: true })
    const heartbeats = new Set<string>()
    await until(async () => {
      heartbeats.add((await redis.zrange('strong-store:{m:idle}:alive', '0', '-1', 'WITHSCORES'))[1]!)
      return heartbeats.size > 5
    })
    await subscribe({ release: true })
    await until(async () => (await redis.keys('strong-store:{m:idle}:*')).length === 0)
  })

  t.test('a process without heartbeats loses its subscription, unless it publishes first', async t => {
    const [silent, other] = [0, 0].map(() => {
      const store = createStore({ ...options, redis: { life: 3600 } }) // it sends no heartbeat during the test
      t.teardown(() => store.close())
      return store.channel('silent')
    })
    const subscription = silent!.subscribe()
    await subscription.ready
    const alive = 'strong-store:{m:silent}:alive'
    const [process] = await redis.zrange(alive, '0', '-1')
    const beSilent = async (): Promise<void> => {
      await until(async () => await redis.hlen('strong-store:{m:silent}:waiting') === 1)
      await redis.zadd(alive, 'XX', 1, process!)
    }
    await beSilent()
    t.equal(await silent!.publish('its own'), 1)
    t.strictSame((await subscription.next()).value, { message: 'its own' })
    await beSilent()
    t.equal(await other!.publish('not for it'), 0)
    t.strictSame((await subscription.next()).value, { missed: Infinity })
    await until(async () => await other!.publish('again') === 1)
    t.strictSame((await subscription.next()).value, { message: 'again' })
    await subscription.return()
  })

  t.test('a killed process is not counted as a subscriber, and no changes are kept for it', async t => {
    const worker = await fork(t)
    await worker.run(async ({ strongStore, kept }, options) => {
      const store = strongStore.createStore(options)
      kept.subscription = store.channel('killed').subscribe()
      await kept.subscription.ready
      kept.watch = store.collection('killed').watch()
      await kept.watch.next()
      kept.next = kept.watch.next()
    }, options)
    const store = open(t)
    const channel = store.channel('killed')
    t.equal(await channel.publish(1), 1)
    await until(async () => (await members('killed}:armed')).length > 0)
    worker.kill('SIGKILL')
    await worker.exited
    await until(async () => await channel.publish(2) === 0)
    await store.collection('killed').set('a', 1)
    t.strictSame(await members('killed}:armed'), [])
    t.strictSame(await redis.keys('strong-store:{m:killed}:*'), [])
  })
}
