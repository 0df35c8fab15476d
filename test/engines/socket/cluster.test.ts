// The cluster engine with real workers that are killed, stopped and disconnected. This process is the primary.
import t from 'tap'
import { createStore } from '../../../src/index.js'
import type { Tools } from '../../fixtures/worker.js'
import { fork } from '../../support/cluster.js'
import { until } from '../../support/until.js'

const store = createStore()
t.after(async () => { await store.close() })

const lockOf = async (collection: string) => (await store.locks()).find(lock => lock.collection === collection)
const waiters = async (collection: string): Promise<number | undefined> => (await lockOf(collection))?.waiters

t.test('a killed worker loses its locks, its uncommitted changes and its waits', async t => {
  const jobs = store.collection('killed')
  await jobs.set('held', 'before')
  const [holder, other] = await Promise.all([fork(t), fork(t)])
  await holder.run(async ({ store }) => {
    const jobs = store.collection('killed')
    const lock = await jobs.acquire('held')
    lock.set('never')
  })
  const mine = await jobs.acquire('wanted')
  await holder.run(({ store, kept }) => { kept.wait = store.collection('killed').set('wanted', 'never') })
  const next = other.run(async ({ store }) => {
    const lock = await store.collection('killed').acquire('held')
    const value = lock.get()
    await lock.release()
    return value
  })
  await until(async () => (await store.locks()).every(lock => lock.waiters === 1))
  t.match((await store.locks()).map(({ owner }) => owner).sort(), [`pid ${holder.pid}`, `pid ${process.pid}`].sort())
  holder.kill('SIGKILL')
  t.equal(await next, 'before')
  await until(async () => await waiters('killed') === 0)
  await mine.release()
  t.equal(await jobs.get('wanted'), undefined)
  t.strictSame(await store.locks(), [])
})

t.test('a worker that exits or disconnects loses its locks, and the store does not keep it alive', async t => {
  for (const end of ['disconnect', 'exit'] as const) {
    const worker = await fork(t)
    await worker.run(async ({ store, kept }) => { kept.lock = await store.collection('ending').acquire('key') })
    const lock = store.collection('ending').acquire('key')
    await until(async () => await waiters('ending') === 1)
    if (end === 'disconnect') worker.worker.disconnect()
    else await worker.run(() => { setImmediate(() => process.exit(7)) })
    t.strictSame(await worker.exited, [end === 'exit' ? 7 : 0, null])
    await (await lock).release()
  }
})

t.test('a stopped worker loses a lock when the lease expires, and is notified when it continues', async t => {
  const [worker, other] = await Promise.all([fork(t), fork(t)])
  await worker.run(async ({ store, kept }) => {
    kept.lock = await store.collection('stopped').acquire('key', { lease: 100 })
    kept.lock.set('too late')
    kept.aborted = new Promise(resolve => { kept.lock.signal.addEventListener('abort', resolve) })
    await kept.lock.renew(0.3)
  })
  worker.kill('SIGSTOP')
  t.equal(await other.run(async ({ store }) => {
    const value = await store.collection('stopped').get('key')
    await store.collection('stopped').set('key', 'mine')
    return value
  }), undefined)
  worker.kill('SIGCONT')
  t.equal(await worker.run(async ({ kept }) => {
    await kept.aborted
    return kept.lock.signal.reason.code
  }), 'STORE_LOCK_LOST')
  await t.rejects(worker.run(({ kept }) => kept.lock.release()), { code: 'STORE_LOCK_LOST' })
  t.equal(await worker.run(({ store }) => store.collection('stopped').get('key')), 'mine')
})

t.test('a stopped worker without a lease keeps its lock, and its calls are answered when it continues', async t => {
  const worker = await fork(t)
  await worker.run(async ({ store, kept }) => {
    kept.lock = await store.collection('asleep').acquire('key')
    kept.lock.set('kept')
  })
  worker.kill('SIGSTOP')
  const read = store.collection('asleep').get('key')
  t.equal(await store.collection('asleep').tryAcquire('key'), undefined)
  worker.kill('SIGCONT')
  await worker.run(({ kept }) => kept.lock.release())
  t.equal(await read, 'kept')
})

t.test('close delivers unconfirmed writes, and process.exit may follow immediately', async t => {
  const worker = await fork(t)
  await worker.run(({ store }) => {
    const collection = store.collection('unconfirmed')
    for (let i = 0; i < 5000; i++) collection.set(`key ${i}`, 'x'.repeat(200), { confirm: false }).catch(() => {})
    store.close().then(() => process.exit(0), () => process.exit(1))
  }).catch(() => {})
  t.strictSame(await worker.exited, [0, null])
  await until(async () => await store.collection('unconfirmed').size() === 5000)
})

t.test('unconfirmed writes are delivered even if replies arrive after the process has stopped reading', async t => {
  const worker = await fork(t)
  await worker.run(({ store }) => store.collection('unread').set('closing', false))
  worker.run(async ({ store }) => {
    const collection = store.collection('unread')
    process.send!('closing')
    await new Promise(resolve => { setImmediate(resolve) })
    for (let n = 0; n < 250; n++) {
      collection.get(`key ${n}`.padEnd(500)).catch(() => {})
      collection.set(`key ${n}`, 'x', { confirm: false }).catch(() => {})
    }
    await store.close()
    process.exit(0)
  }).catch(() => {})
  await new Promise<void>(resolve => {
    worker.worker.on('message', message => {
      if (message === 'closing') resolve()
    })
  })
  // While the primary is blocked, the worker disconnects. The primary notices when it answers the first call.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500)
  t.strictSame(await worker.exited, [0, null])
  t.equal(await store.collection('unread').size(), 251)
})

t.test('a closed store rejects its calls, releases its locks, and can be reopened', async t => {
  const worker = await fork(t)
  const codes = await worker.run(async ({ store, strongStore }) => {
    const collection = store.collection('closed')
    const lock = await collection.acquire('held')
    const waiting = collection.get('held')
    const lost = new Promise(resolve => { lock.signal.addEventListener('abort', resolve) })
    const closed = store.close()
    const later = collection.get('key')
    const codes = await Promise.all([waiting, later].map(call => call.then(() => 'no error', error => error.code)))
    await closed
    await lost
    const again = strongStore.createStore()
    return [
      ...codes,
      again !== store,
      await again
        .collection('closed')
        .tryAcquire('held')
        .then(lock => lock !== undefined)
    ]
  })
  t.strictSame(codes, ['STORE_CLOSED', 'STORE_CLOSED', true, true])
})

t.test('when the connection is lost, pending calls reject, locks are lost, and the next call reconnects', async t => {
  const worker = await fork(t)
  const mine = await store.collection('cut').acquire('wanted')
  await worker.run(async ({ store, kept }) => {
    const cut = store.collection('cut')
    kept.errors = []
    store.on('error', error => { kept.errors.push(error.code) })
    kept.lock = await cut.acquire('key')
    kept.pending = [cut.get('wanted'), cut.set('wanted', 1), cut.acquire('wanted')].map(call =>
      call.catch(error => error.code)
    )
  })
  await until(async () => (await store.locks()).some(lock => lock.key === 'wanted' && lock.waiters === 3))
  t.strictSame(
    await worker.run(async ({ store, kept, cutConnection }) => {
      cutConnection()
      const codes = await Promise.all(kept.pending)
      return {
        codes,
        errors: kept.errors,
        lost: kept.lock.signal.reason?.code,
        held: kept.lock.held,
        works: (await store.collection('cut').get('other')) === undefined
      }
    }),
    {
      codes: Array(3).fill('STORE_DISCONNECTED'),
      errors: ['STORE_DISCONNECTED'],
      lost: 'STORE_LOCK_LOST',
      held: false,
      works: true
    }
  )
  await until(async () => (await store.locks()).length === 1)
  await mine.release()
})

t.test('10,000 waiters of one worker get the lock in order', async t => {
  const worker = await fork(t)
  const mine = await store.collection('queue').acquire('key')
  const order = worker.run(async ({ store }) => {
    const queue = store.collection('queue')
    const order: number[] = []
    await Promise.all(Array.from({ length: 10_000 }, async (_, i) => {
      const lock = await queue.acquire('key')
      order.push(i)
      await lock.release()
    }))
    return order.every((value, i) => value === i)
  })
  await until(async () => await waiters('queue') === 10_000)
  await mine.release()
  t.equal(await order, true)
})

t.test('concurrent large values of several workers arrive intact', async t => {
  const workers = await Promise.all([fork(t), fork(t)])
  const oks = await Promise.all(workers.map((worker, i) => worker.run(async ({ store }, i) => {
    const large = store.collection('large')
    let ok = true
    await Promise.all(Array.from({ length: 30 }, async (_, n) => {
      const value = `${i}${n}`.padEnd(1000 + n * 20_000, String(n % 10))
      await large.set(`${i} ${n}`, value)
      ok &&= await large.get(`${i} ${n}`) === value
    }))
    return ok
  }, i)))
  t.strictSame(oks, [true, true])
})

t.test('waits that time out leave no state', async t => {
  const worker = await fork(t)
  const mine = await store.collection('impatient').acquire('key')
  await worker.run(async ({ store }) => {
    const impatient = store.collection('impatient')
    await Promise.all(
      Array.from({ length: 1000 }, (_, i) =>
        impatient.acquire('key', { timeout: 0.001 + (i % 10) / 1000 }).catch(() => {})
      )
    )
  })
  await until(async () => await waiters('impatient') === 0)
  await mine.release()
  t.equal(await lockOf('impatient'), undefined)
})

t.test('large values can be sent in both directions at the same time', async t => {
  const worker = await fork(t)
  await store.collection('both').set('large', 'x'.repeat(1_000_000))
  t.strictSame(await worker.run(async ({ store }) => {
    const both = store.collection<string>('both')
    const reads = Array.from({ length: 20 }, () => both.get('large'))
    const writes = Array.from({ length: 20 }, (_, i) => both.set(`key ${i}`, 'y'.repeat(1_000_000)))
    await Promise.all(writes)
    return (await Promise.all(reads)).every(value => value?.length === 1_000_000)
  }), true)
  await store.collection('both').clear()
})

t.test('watches and subscriptions survive a lost connection and a stop, and end with their worker', async t => {
  const [worker, other] = await Promise.all([fork(t), fork(t)])
  const follow = async ({ store, kept }: Tools): Promise<void> => {
    kept.state = {}
    kept.messages = []
    const events = store.collection('watched').watch()
    const subscription = store.channel('watched').subscribe()
    kept.watching = (async () => {
      for await (const event of events) {
        if (event.type === 'set') kept.state[event.key] = event.value
        else if (event.type === 'reset') kept.state = {}
        else if (event.type !== 'ready') kept.state[event.key] = undefined
      }
    })()
    kept.hearing = (async () => {
      for await (const { message, missed } of subscription) kept.messages.push(message ?? `missed ${String(missed)}`)
    })()
    await subscription.ready
  }
  await Promise.all([worker.run(follow), other.run(follow)])
  const items = store.collection('watched')
  const channel = store.channel('watched')
  const stateOf = (of: typeof worker): Promise<Record<string, unknown>> =>
    of.run(({ kept }) => kept.state as Record<string, unknown>)
  await items.set('a', 1)
  t.equal(await channel.publish('one'), 2)
  for (const each of [worker, other]) await until(async () => (await stateOf(each)).a === 1)

  await worker.run(({ cutConnection }) => { cutConnection() })
  await items.set('b', 2)
  for (const each of [worker, other]) await until(async () => (await stateOf(each)).b === 2)
  await until(async () => await channel.publish('two') === 2)
  await until(async () => (await worker.run(({ kept }) => kept.messages as string[])).includes('two'))

  worker.kill('SIGSTOP')
  for (let i = 0; i < 20_000; i++) items.set(`key ${i % 100}`, i, { confirm: false }).catch(t.threw)
  await items.set('c', 3)
  await until(async () => (await stateOf(other)).c === 3, 30)
  worker.kill('SIGCONT')
  await until(async () => (await stateOf(worker)).c === 3, 30)
  for (const each of [worker, other]) {
    const state = await stateOf(each)
    for (let i = 0; i < 100; i++) {
      if (state[`key ${i}`] !== 19_900 + i) t.fail(`key ${i} is ${String(state[`key ${i}`])}`)
    }
  }

  worker.kill('SIGKILL')
  await worker.exited
  await until(async () => await channel.publish('three') === 1)
  await items.del('a')
  await until(async () => (await stateOf(other)).a === undefined)
})
