// The types of the public API: a mistake in them fails to compile here.
import Fastify from 'fastify'
import t from 'tap'
import strongStore, {
  collection, createStore, ERRORS, StoreError,
  type Collection, type Entry, type KeyLock, type Store, type StoreErrorCode
} from '../../src/index.js'

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false

/** Compiles only if the expression has exactly that type. */
function is<Expected> () {
  return <Actual>(_value: Actual, ..._same: Same<Actual, Expected> extends true ? [] : [never]): void => {}
}

interface Cart { items: string[] }

t.test('values have the type of their collection', async t => {
  const store = createStore({ url: 'memory:' })
  t.teardown(() => store.close())
  is<Store>()(store)
  const carts = store.collection<Cart>('carts')
  is<Collection<Cart>>()(carts)
  is<Cart | undefined>()(await carts.get('key'))
  is<Entry<Cart> | undefined>()(await carts.entry('key', { timeout: 1, signal: AbortSignal.timeout(1000) }))
  is<number>()(await carts.set('key', { items: [] }, { ttl: 1, ifVersion: 0 }))
  is<boolean>()(await carts.del('key'))
  // @ts-expect-error -- not a number
  t.equal(await carts.increment('n'), 1)
  // @ts-expect-error -- not a number
  t.equal(await store.collection<string>('n').increment('string'), 1)
  // @ts-expect-error -- there is no such option
  await t.rejects(carts.get('key', { ttl: 1 }), { code: 'STORE_OPTION_INVALID' })
  // @ts-expect-error -- there is no such option
  await t.rejects(carts.set('key', { items: [] }, { tll: 1 }), { code: 'STORE_OPTION_INVALID' })
  // @ts-expect-error -- there is no such option
  await t.rejects(carts.acquire('key', { leese: 1 }), { code: 'STORE_OPTION_INVALID' })
  is<number>()(await store.collection<number>('n').increment('n'))
  is<number>()(await store.collection('n').increment('n'))
  is<number>()(await store.collection<any>('n').decrement('n'))
  is<number>()((await store.collection<number | string>('n').count('n')).value)
  is<Cart>()(await carts.getOrSet('new', () => ({ items: [] }), { ttl: 1, lease: 1 }))
  is<Cart | undefined>()(await carts.update('new', (_, lock) => lock.del()))
  // @ts-expect-error -- a return was forgotten
  await carts.update('key', async cart => { cart?.items.push('tea') })
  is<Array<Cart | undefined>>()(await carts.getMany(['key']))
  is<string | undefined>()(await carts.text.get('key'))
  is<Cart | undefined>()(await carts.update('key', cart => ({ items: [...cart?.items ?? [], 'tea'] })))
  for await (const key of carts.keys({ prefix: 'k' })) is<string>()(key)
  // @ts-expect-error -- not a cart
  await carts.set('key', { itms: [] })
  // @ts-expect-error -- misspelt
  await t.rejects(carts.configure({ expireKey: 1 }), { code: 'STORE_OPTION_INVALID' })
  // @ts-expect-error -- the key is missing
  await t.rejects(carts.get(), { code: 'STORE_KEY_INVALID' })
  is<unknown>()(await store.collection('any').get('key'))

  await using lock = await carts.acquire('key', { lease: 5 })
  is<KeyLock<Cart>>()(lock)
  is<Cart | undefined>()(lock.get())
  is<number>()(lock.fence)
  is<AbortSignal>()(lock.signal)
  lock.set({ items: ['milk'] })
  // @ts-expect-error -- not a cart
  lock.set('milk')
  lock.set()
  is<KeyLock<Cart> | undefined>()(await carts.tryAcquire('key'))
})

t.test('the callback API has the type of its collection', async t => {
  t.teardown(() => createStore().close())
  const carts = collection<Cart>('carts')
  is<Collection<Cart>>()(carts.promises)
  await new Promise<void>(resolve => {
    carts.acquire('key', (err, keylock, value) => {
      is<StoreError | null>()(err)
      is<Cart | undefined>()(value)
      is<Cart | undefined>()(keylock!.get())
      keylock!.set({ items: [] })
      keylock!.release(err => {
        is<StoreError | null>()(err)
        resolve()
      })
    })
  })
  carts.set('key', { items: [] })
  carts.set('key')
  carts.on('error', error => { is<StoreError>()(error) })
  // @ts-expect-error -- a callback is required
  t.throws(() => { carts.get('key') })
})

t.test('errors and the plugin are typed', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(strongStore, { url: 'memory:' })
  is<Store>()(app.store)
  app.get('/', async request => {
    is<Store>()(request.store)
    // @ts-expect-error -- it is read-only
    request.store = app.store
  })
  const misspelt = { code: 'STORE_OPTION_INVALID' }
  // @ts-expect-error -- misspelt
  await t.rejects(async () => { await Fastify().register(strongStore, { ulr: 'memory:' }) }, misspelt)
  const error = new StoreError('STORE_FULL')
  is<StoreErrorCode>()(error.code)
  is<507>()(ERRORS.STORE_FULL.status)
  t.equal(error.statusCode, 507)
  // @ts-expect-error -- there is no such code
  t.throws(() => new StoreError('STORE_NONE'))
})
