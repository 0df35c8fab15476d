// The callback API as strong-store-cluster documents it, statement by statement, in one process.
import { EventEmitter } from 'node:events'
import t from 'tap'
import { StoreError, collection, createStore, type CallbackKeyLock } from '../../src/index.js'

t.after(async () => { await createStore().close() })

/** Resolves with the arguments that the callback is called with. */
function called (start: (callback: (...args: any[]) => void) => void): Promise<any[]> {
  return new Promise(resolve => { start((...args) => { resolve(args) }) })
}

const test = collection('test')

t.test('a collection is an EventEmitter, and the same object per name', async t => {
  t.ok(test instanceof EventEmitter)
  t.equal(collection('test'), test)
  t.equal(test.name, 'test')
  t.equal(test.promises, createStore().collection('test'))
  t.throws(() => collection(undefined as unknown as string), { code: 'STORE_NAME_INVALID' })
})

t.test('the example in its README works', async t => {
  test.configure({ expireKeys: 0 })
  const value = { a: 0, b: 'Hiya', c: { d: 99 } }
  t.strictSame(await called(cb => { test.set('ThisIsMyKey', value, cb) }), [null], 'the callback gets one argument')
  t.strictSame(await called(cb => { test.get('ThisIsMyKey', cb) }), [null, value])
})

t.test('a missing key reads as undefined, and can be locked', async t => {
  t.strictSame(await called(cb => { test.get('none', cb) }), [null, undefined])
  const [err, lock, value] = await called(cb => { test.acquire('none', cb) })
  t.equal(err, null)
  t.equal(value, undefined)
  t.equal(lock.get(), undefined)
  lock.release()
})

t.test('del, and set without a value or with undefined, delete the key', async t => {
  for (const remove of [
    (cb: () => void) => { test.set('key', cb) },
    (cb: () => void) => { test.set('key', undefined, cb) },
    (cb: () => void) => { test.del('key', cb) },
    (cb: () => void) => { test.set('key'); test.get('key', cb) },
    (cb: () => void) => { test.del('key'); test.get('key', cb) }
  ]) {
    await called(cb => { test.set('key', 1, cb) })
    t.equal((await called(remove))[0], null)
    t.strictSame(await called(cb => { test.get('key', cb) }), [null, undefined])
  }
})

t.test('calls without a callback ignore errors, and stay in order', async t => {
  test.set('silent', 1n)
  test.set(5 as unknown as string, 1)
  for (let i = 0; i < 10; i++) test.set('silent', i)
  t.strictSame(await called(cb => { test.get('silent', cb) }), [null, 9])
})

t.test('errors are passed to the callback, with a code', async t => {
  const [error] = await called(cb => { test.set('key', 1n, cb) })
  t.ok(error instanceof StoreError)
  t.equal(error.code, 'STORE_VALUE_INVALID')
  t.match(await called(cb => { test.get(5 as unknown as string, cb) }), [{ code: 'STORE_KEY_INVALID' }])
  t.match(await called(cb => { test.acquire(5 as unknown as string, cb) }), [{ code: 'STORE_KEY_INVALID' }])
  t.throws(() => { test.get('key', undefined as never) }, { code: 'STORE_OPTION_INVALID' })
  t.throws(() => { test.acquire('key', undefined as never) }, { code: 'STORE_OPTION_INVALID' })
})

t.test('the lock shows its changes immediately, other calls see them after release', async t => {
  test.set('locked', { n: 1 })
  const [err, lock, value] = (await called(cb => {
    test.acquire('locked', cb)
  })) as [null, CallbackKeyLock, { n: number }]
  t.equal(err, null)
  t.strictSame(value, { n: 1 })
  t.strictSame(lock.get(), value, 'get() initially returns the value')
  value.n = 100
  lock.get().n = 100
  t.strictSame(lock.get(), { n: 1 }, 'get() returns a new copy each time')
  const read = called(cb => { test.get('locked', cb) })
  lock.set({ n: 2 })
  t.strictSame(lock.get(), { n: 2 })
  lock.del()
  t.equal(lock.get(), undefined)
  lock.set({ n: 3 })
  t.strictSame(await called(cb => { lock.release(cb) }), [null])
  t.strictSame(await read, [null, { n: 3 }])
  t.throws(() => { lock.set(4) }, { code: 'STORE_LOCK_RELEASED' })
  t.throws(() => { lock.del() }, { code: 'STORE_LOCK_RELEASED' })
  t.throws(() => { lock.release() }, { code: 'STORE_LOCK_RELEASED' })
  test.set('locked', 5)
  t.strictSame(lock.get(), { n: 3 }, 'get() still works and shows no later changes')
})

t.test('set(undefined) and del() of a lock delete the key', async t => {
  for (const change of ['set', 'del'] as const) {
    test.set('locked', 1)
    const [, lock] = await called(cb => { test.acquire('locked', cb) }) as [null, CallbackKeyLock]
    lock[change]()
    lock.release()
    t.strictSame(await called(cb => { test.get('locked', cb) }), [null, undefined])
  }
})

t.test('keys expire after the idle time', async t => {
  const brief = collection('brief')
  t.equal(brief.configure({ expireKeys: 0.05 }), brief)
  brief.configure()
  brief.set('key', 1)
  t.strictSame(await called(cb => { brief.get('key', cb) }), [null, 1])
  const { until } = await import('../support/until.js')
  await until(async () => await brief.promises.size() === 0)
  t.strictSame(await called(cb => { brief.get('key', cb) }), [null, undefined])
})

t.test('an error that belongs to no call is emitted as an error event, or as a warning if nobody listens', async t => {
  const warned = new Promise<Error>(resolve => { process.once('warning', resolve) })
  collection('nobody').configure({ expireKeys: -1 })
  t.match(await warned, { code: 'STORE_OPTION_INVALID' })
  const heard = collection('somebody')
  const error = new Promise(resolve => { heard.on('error', resolve) })
  heard.configure({ expireKeys: -1 })
  t.match(await error, { code: 'STORE_OPTION_INVALID' })
})

t.test('errors thrown by a callback are not swallowed', async t => {
  const thrown = new Promise(resolve => { process.once('uncaughtException', resolve) })
  test.get('key', () => { throw new Error('mine') })
  t.match(await thrown, { message: 'mine' })
})

t.test('with the URL memory:, all calls on a collection still use the same store', async t => {
  await createStore().close()
  process.env.STRONG_STORE_URL = 'memory:'
  t.teardown(() => { delete process.env.STRONG_STORE_URL })
  const alone = collection('alone')
  alone.set('key', 'kept')
  t.strictSame(await called(cb => { alone.get('key', cb) }), [null, 'kept'])
  t.equal(alone.promises, alone.promises)
})
