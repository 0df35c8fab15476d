// Bugs that strong-store-cluster (2013) had. This process is the primary.
import t from 'tap'
import { collection, createStore, type CallbackKeyLock } from '../../src/index.js'
import { fork } from '../support/cluster.js'
import { until } from '../support/until.js'

const store = createStore()
t.after(async () => { await store.close() })

t.test('a lock is released when its owner is killed', async t => {
  const worker = await fork(t)
  await worker.run(({ strongStore }) => new Promise<void>(resolve => {
    strongStore.collection('killed').acquire('key', () => { resolve() })
  }))
  const lock = new Promise<CallbackKeyLock>((resolve, reject) => {
    collection('killed').acquire('key', (err, lock) => { if (err === null) resolve(lock!); else reject(err) })
  })
  worker.kill('SIGKILL');
  (await lock).release()
})

t.test('a reply to a dead worker does not crash the primary', async t => {
  const [worker, other] = await Promise.all([fork(t), fork(t)])
  const lock = await store.collection('dead').acquire('key')
  await worker.run(({ store, kept }) => {
    kept.calls = Array.from({ length: 1000 }, (_, i) =>
      store.collection('dead').set(i % 2 === 0 ? 'key' : 'free', 'x'.repeat(10_000))
    )
  })
  await until(async () => (await store.locks())[0]!.waiters === 500)
  worker.kill('SIGSTOP') // it no longer reads
  const write = other.run(({ store }) => store.collection('dead').set('key', 'other'))
  worker.kill('SIGKILL')
  await lock.release()
  await write
  t.equal(await store.collection('dead').get('key'), 'other')
})

t.test('an acquire queued after a waiting del is granted', async t => {
  const key = collection('behind')
  const order: string[] = []
  await new Promise<void>((resolve, reject) => {
    key.acquire('key', (err, first) => {
      if (err !== null) return reject(err)
      key.del('key', () => order.push('del'))
      key.acquire('key', (err, second) => {
        if (err !== null) return reject(err)
        order.push('acquire')
        second!.release(() => { resolve() })
      })
      first!.release()
    })
  })
  t.strictSame(order, ['del', 'acquire'])
})

t.test('the key __proto__ is stored like any other', async t => {
  const names = collection<string>('__proto__')
  for (const key of ['__proto__', 'constructor', 'hasOwnProperty']) names.set(key, key)
  for (const key of ['__proto__', 'constructor', 'hasOwnProperty']) t.equal(await names.promises.get(key), key)
  t.equal(({} as Record<string, unknown>).key, undefined)
})

t.test('reading a missing key leaves no entry', async t => {
  const missing = store.collection('missing')
  await missing.getMany(Array.from({ length: 1000 }, (_, i) => `key ${i}`))
  t.equal(await missing.size(), 0)
  t.match((await store.collections()).find(({ name }) => name === 'missing'), { keys: 0, bytes: 0, locks: 0 })
})

t.test('releasing a lock that is not held is an error of the call, not of the primary', async t => {
  const worker = await fork(t)
  await t.rejects(
    worker.run(({ store }) => store.collection('wrong').release('key', 'no such token')), { code: 'STORE_LOCK_LOST' }
  )
  await worker.run(({ strongStore }) => new Promise<void>((resolve, reject) => {
    strongStore.collection('wrong').acquire('key', (_, lock) => {
      lock!.release()
      try {
        lock!.release()
      } catch (error) {
        if ((error as { code?: string }).code === 'STORE_LOCK_RELEASED') resolve()
      }
      reject(new Error('released twice'))
    })
  }))
  t.equal(await worker.run(({ store }) => store.collection('wrong').get('key')), undefined)
})

t.test('errors keep their class, code, message and status on the way to a worker', async t => {
  const worker = await fork(t)
  const error = await worker.run(async ({ store, strongStore }) => {
    await store.collection('errors').set('text', 'x')
    const error = (await store
      .collection('errors')
      .increment('text')
      .catch((error: Error) => error)) as InstanceType<typeof strongStore.StoreError>
    const { code, message, statusCode } = error
    return { isError: error instanceof strongStore.StoreError, code, message, statusCode }
  })
  t.strictSame(error, {
    isError: true,
    code: 'STORE_NOT_A_NUMBER',
    message: 'Only a number can be incremented, and the result must be finite: increment of "text" in collection "errors"',
    statusCode: 409
  })
})
