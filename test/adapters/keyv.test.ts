// Keyv 5 and 6 and cache-manager with one store for all workers, and the contract of a Keyv store.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect, promisify } from 'node:util'
import { createCache } from 'cache-manager'
import { Keyv } from 'keyv'
import { Keyv as Keyv6 } from 'keyv6'
import t, { type Test } from 'tap'
import { KeyvStore } from '../../src/adapters/keyv.js'
import { createStore, type Collection, type Store } from '../../src/index.js'
import type { KeyvServer } from '../fixtures/keyv-server.js'
import { WORKERS, servers } from '../support/servers.js'
import { until } from '../support/until.js'

t.teardown(() => createStore().close())

const SERVERS: KeyvServer[] = [{ name: 'keyv5' }, { name: 'keyv6' }, { name: 'cache-manager' }]
const ALL: KeyvServer[] = [...SERVERS, { name: 'cache-manager-lease' }]
const { get, output } = await servers(t, 'keyv-server', ALL)

t.test("Keyv's own test suite passes", async t => {
  const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
  const vitest = [
    join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', '--root', join(ROOT, 'dist/test/fixtures'),
    '--reporter', 'json'
  ]
  // Without the options that the test runner passes to every Node.js process.
  const { stdout } = await promisify(execFile)(
    'env', ['-u', 'NODE_OPTIONS', process.execPath, ...vitest]
  ).catch((error: { stdout: string }) => error)
  const { testResults } = JSON.parse(stdout) as {
    testResults: Array<{ assertionResults: Array<{ fullName: string, status: string, failureMessages: string[] }> }>
  }
  const results = testResults.flatMap(({ assertionResults }) => assertionResults)
  t.ok(results.length >= 42, `${results.length} tests`)
  for (const { fullName, status, failureMessages } of results) t.equal(status, 'passed', fullName, { failureMessages })
})

for (const { name } of SERVERS) {
  t.test(`${name}: all workers read what one of them has stored`, async t => {
    const { body: { worker } } = await get(`/${name}/set?key=tea&value=green`)
    const answers = await Promise.all(Array.from({ length: 12 }, () => get(`/${name}/get?key=tea`)))
    for (const { body } of answers) t.strictSame(body.body, { value: 'green', worker })
    t.equal(new Set(answers.map(({ body }) => body.worker)).size, WORKERS)
    const keys = []
    for await (const key of createStore().collection(name).keys()) keys.push(key)
    t.strictSame(keys, [name === 'keyv6' ? ':test::tea' : 'test:tea'])
    await get(`/${name}/clear`)
    t.equal((await get(`/${name}/get?key=tea`)).body.body, undefined)
    t.equal(output(), '')
  })
}

t.test('cache-manager: all workers use the value that one of them has computed', async t => {
  const first = (await get('/cache-manager/wrap?key=report')).body.body
  const answers = await Promise.all(Array.from({ length: 12 }, () => get('/cache-manager/wrap?key=report')))
  for (const { body } of answers) t.strictSame(body.body, first)
})

t.test('with a lease, a missing value is computed once for all workers, also after a failure', async t => {
  const counters = createStore().collection<number>('counters')
  const answers = await Promise.all(Array.from({ length: 8 }, () => get('/cache-manager-lease/slow?key=report')))
  for (const { body } of answers) t.strictSame(body.body, answers[0]!.body.body)
  t.equal(await counters.get('report'), 1)
  await get('/cache-manager-lease/clear')
  t.match((await get('/cache-manager-lease/fail?key=report')).body, /failed/)
  t.equal((await get('/cache-manager-lease/slow?key=report')).status, 200, 'the next caller computes after the lease')
  t.equal(await counters.get('report'), 2)
  await until(async () => (await createStore().locks()).length === 0)

  const keyv = new Keyv({ store: new KeyvStore({ url: 'memory:', lease: 1000 }) })
  const missed = keyv.get('key')
  t.equal(await missed, undefined)
  const waiting = keyv.get('key')
  await keyv.delete('key')
  t.equal(await waiting, undefined)
  const next = keyv.get('key')
  await keyv.set('key', 1, -1)
  t.equal(await next, undefined)
  await keyv.set('key', 1)
  t.equal(await keyv.get('key'), 1)
  t.throws(() => new KeyvStore({ lease: 0 }), { code: 'STORE_OPTION_INVALID' })
})

interface Alone {
  keyv: Keyv6
  store: Store
  keys: Collection<unknown>
  /** The name in the store of a key of the namespace. */
  name (key: string): string
}

type Make = (t: Test, namespace?: string | null, store?: Store) => Alone

const VERSIONS: Record<string, Make> = {
  'Keyv 5': (t, namespace = 'ns', store = createStore('memory:')) => {
    t.teardown(() => store.close())
    const none = { namespace: undefined as unknown as string, useKeyPrefix: false }
    const options = namespace === null ? none : { namespace }
    const keyv: unknown = new Keyv({ store: new KeyvStore({ store }), ...options })
    return { keyv: keyv as Keyv6, store, keys: store.collection('keyv'), name: key => `${namespace}:${key}` }
  },
  'Keyv 6': (t, namespace = 'ns', store = createStore('memory:')) => {
    t.teardown(() => store.close())
    const keyv = new Keyv6({ store: new KeyvStore({ store, version: 6 }), ...namespace === null ? {} : { namespace } })
    return { keyv, store, keys: store.collection('keyv'), name: key => `${namespace}:${key}` }
  },
  'Keyv 6 by default': (t, namespace = 'ns', store = createStore('memory:')) => {
    t.teardown(() => store.close())
    const keyv = new Keyv6({ store: new KeyvStore({ store }), ...namespace === null ? {} : { namespace } })
    return { keyv, store, keys: store.collection('keyv'), name: key => `:${namespace}::${key}` }
  }
}

for (const [version, alone] of Object.entries(VERSIONS)) {
  t.test(`${version}: values expire after their ttl`, async t => {
    const { keyv, keys, name } = alone(t)
    await keyv.set('long', 1, 100_000)
    await keyv.setMany([{ key: 'many', value: 2, ttl: 100_000 }, { key: 'ever', value: 3 }])
    for (const key of ['long', 'many']) {
      const { expiresAt } = (await keys.entry(name(key)))!
      const left = expiresAt!.getTime() - Date.now()
      t.ok(left <= 100_001 && left > 40_000, `${key}: ${left} ms`)
    }
    t.equal((await keys.entry(name('ever')))!.expiresAt, undefined)
    await keyv.set('short', 1, 20)
    await until(async () => !await keys.has(name('short')))
    t.equal(await keyv.get('short'), undefined)
    await keyv.set('ages', 1, 1e18)
    t.ok(await keys.has(name('ages')))
  })

  t.test(`${version}: setMany, getMany, has, delete and deleteMany return what Keyv documents`, async t => {
    const { keyv } = alone(t)
    t.strictSame(
      await keyv.setMany<unknown>(
        [{ key: 'a', value: 1 }, { key: 'b', value: { c: ['é'] } }, { key: '__proto__', value: null }]
      ),
      [true, true, true]
    )
    t.strictSame(await keyv.getMany(['a', 'none', 'b', '__proto__']), [1, undefined, { c: ['é'] }, null])
    t.strictSame([await keyv.has('a'), await keyv.has('none')], [true, false])
    t.strictSame(await keyv.has(['none', 'a']), [false, true])
    t.strictSame([await keyv.delete('a'), await keyv.delete('a')], [true, false])
    await keyv.set('a', 1)
    t.strictSame(await keyv.deleteMany(['a', 'b']), version === 'Keyv 5' ? true : [true, true])
    t.strictSame(await keyv.getMany(['a', 'b']), [undefined, undefined])
    t.strictSame(await keyv.deleteMany(['a', '__proto__']), version === 'Keyv 5' ? false : [false, true])
  })

  t.test(`${version}: namespaces are stored, iterated and cleared separately`, async t => {
    const { keyv: one, store, keys } = alone(t, 'one')
    const { keyv: two } = alone(t, 'two', store)
    for (let i = 0; i < 700; i++) await one.set(`key:${i}`, i)
    await two.set('key:0', 'other')
    t.equal(await two.get('key:0'), 'other')
    t.equal(await two.get('key:1'), undefined)
    const seen = new Map<string, unknown>()
    for await (const [key, value] of one.iterator()) seen.set(key, value)
    t.equal(seen.size, 700)
    t.equal(seen.get('key:699'), 699)
    await one.clear()
    t.equal(await one.get('key:1'), undefined)
    t.equal(await two.get('key:0'), 'other')
    t.equal(await keys.size(), 1)
  })

  t.test(`${version}: namespaces with a common prefix are separate, and so are keys without a namespace`, async t => {
    const { keyv: users, store } = alone(t, 'users')
    const NAMES = [
      'users:archive', 'users%3Aarchive', 'users-archive', 'users*', 'user',
      ...version.endsWith('default') ? [] : [null]
    ]
    const others = NAMES.map(namespace => alone(t, namespace, store).keyv)
    for (const keyv of [users, ...others]) t.equal(await keyv.set('archive:k', 1), true)
    for (const keyv of [users, ...others]) await keyv.set('k', 2)
    for (const keyv of [users, ...others]) {
      const seen = []
      for await (const entry of keyv.iterator()) seen.push(entry)
      t.strictSame(seen.sort(), [['archive:k', 1], ['k', 2]])
    }
    await users.clear()
    t.equal(await users.get('k'), undefined)
    for (const [i, keyv] of others.entries()) {
      t.strictSame(await keyv.getMany(['archive:k', 'k']), [1, 2], String(NAMES[i]))
    }
    await others.at(-1)!.clear()
    t.equal(await others.at(-1)!.get('k'), undefined)
    for (const keyv of others.slice(0, -1)) t.equal(await keyv.get('k'), 2)
  })

  t.test(`${version}: with a closed store, reads are misses, writes return false, and 'error' is emitted`, async t => {
    const { keyv, store } = alone(t)
    const codes: unknown[] = []
    keyv.on('error', (error: { code: string }) => { codes.push(error.code) })
    await store.close()
    t.equal(await keyv.get('key'), undefined)
    t.equal(await keyv.set('key', 1), false)
    t.equal(await keyv.delete('key'), false)
    const reported = version === 'Keyv 5' ? 2 : 3 // Keyv 5 does not report failed reads
    t.strictSame(codes, Array(reported).fill('STORE_CLOSED'))
  })
}

t.test('both versions use the same names for keys', async t => {
  const { keyv: five, store } = VERSIONS['Keyv 5']!(t)
  const { keyv: six } = VERSIONS['Keyv 6']!(t, 'ns', store)
  await five.set('key', { a: 1 })
  t.strictSame(await six.get('key'), { a: 1 })
  await six.set('key', 2)
  t.equal(await five.get('key'), 2)
})

t.test('two Keyvs on one KeyvStore have separate keys, or are rejected', async t => {
  const refused = { code: 'STORE_OPTION_INVALID', message: /create a KeyvStore for each/ }
  const five = new KeyvStore({ url: 'memory:' })
  const [one, two] = ['one', 'two'].map(
    namespace => new Keyv({ store: five, namespace, throwOnErrors: true })
  ) as [Keyv, Keyv]
  for (const keyv of [one, two]) await keyv.set('k', keyv.namespace)
  for (const keyv of [one, two]) {
    t.equal(await keyv.get('k'), keyv.namespace)
    for await (const entry of keyv.iterator!({})) t.strictSame(entry, ['k', keyv.namespace])
    keyv.on('error', () => {})
    await t.rejects(keyv.clear(), { code: 'STORE_OPTION_INVALID' }, 'it is unknown which one to clear')
    t.equal(await keyv.get('k'), keyv.namespace, 'nothing was deleted')
  }
  await t.rejects(five.get('k'), { code: 'STORE_OPTION_INVALID' })
  for (const namespace of ['one:more', undefined]) {
    t.throws(() => new Keyv({ store: five, namespace: namespace as string }), refused)
  }
  t.type(new Keyv({ store: five, namespace: 'one' }), Keyv)

  const six = new KeyvStore({ url: 'memory:', version: 6 })
  t.type(new Keyv6({ store: six, namespace: 'a' }), Keyv6)
  t.throws(() => new Keyv6({ store: six, namespace: 'b' }), refused)

  const byDefault = new KeyvStore({ url: 'memory:' }) // Keyv 6 names the keys itself
  const [a, b] = ['a', 'b'].map(namespace => new Keyv6({ store: byDefault, namespace })) as [Keyv6, Keyv6]
  await a.set('k', 'a')
  await b.set('k', 'b')
  t.equal(await a.get('k'), 'a')
  await a.clear()
  t.strictSame([await a.get('k'), await b.get('k')], [undefined, 'b'])
})

t.test('the version option decides the meaning of times, and inspecting the store does not change that', async t => {
  const five = new KeyvStore({ url: 'memory:' })
  inspect(five, { getters: true, showHidden: true })
  t.equal(five.capabilities, undefined)
  await five.set('k', 1, 60_000)
  t.equal(await five.get('k'), 1)
  const six = new KeyvStore({ url: 'memory:', version: 6 })
  await six.set('k', 1, Date.now() + 60_000)
  t.equal(await six.get('k'), 1)
  await six.set('k', 1, Date.now() - 1)
  t.equal(await six.get('k'), undefined)
  const times = [
    [five, NaN], [five, Infinity], [six, NaN], [six, Infinity], [five, 1e300], [six, 1e300], [five, 0.001]
  ] as const
  for (const [store, time] of times) {
    await store.set('k', 1, time)
    if (time > 1) t.equal(await store.get('k'), 1, String(time))
  }
  t.throws(() => new KeyvStore({ version: 4 as 5 }), { code: 'STORE_OPTION_INVALID' })
})

t.test('Keyv 5 gets an error from a KeyvStore for Keyv 6, and nothing is stored with a wrong time', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const wrong = { code: 'STORE_OPTION_INVALID', message: /expects milliseconds since 1970/ }
  const keyv = new Keyv({ store: new KeyvStore({ store, version: 6 }), throwOnErrors: true })
  keyv.on('error', () => {})
  await t.rejects(keyv.set('k', 1, 60_000), wrong)
  await t.rejects(new KeyvStore({ store, version: 6 }).setMany([{ key: 'k', value: 1, ttl: 60_000 }]), wrong)
  await keyv.setMany([{ key: 'k', value: 1, ttl: 60_000 }]).catch(() => {})
  t.equal(await store.collection('keyv').size(), 0)
})

t.test('disconnect closes a store that the KeyvStore has created, and no other', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const borrowing = new Keyv({ store: new KeyvStore({ store }) })
  await borrowing.disconnect()
  await borrowing.set('key', 1)
  t.equal(await borrowing.get('key'), 1)
  const own = new KeyvStore({ url: 'memory:' })
  await new Keyv({ store: own }).disconnect()
  await t.rejects(own.get('key'), { code: 'STORE_CLOSED' })
  t.throws(() => new KeyvStore({ namespace: 'x' } as object), { code: 'STORE_OPTION_INVALID' })
})

t.test('Keyv and cache-manager accept a KeyvStore without a cast', async t => {
  const make = (): KeyvStore => new KeyvStore({ url: 'memory:' })
  t.type(new Keyv({ store: make() }), Keyv)
  t.type(new Keyv(make()), Keyv)
  t.type(new Keyv6({ store: make() }), Keyv6)
  t.type(new Keyv6(make()), Keyv6)
  const cache = createCache({ stores: [new Keyv({ store: make() })] })
  t.equal(await cache.set('key', 1), 1)
  t.equal(await cache.get('key'), 1)
})
