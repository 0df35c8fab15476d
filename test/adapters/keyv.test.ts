// Keyv 5 and 6 and cache-manager over one store for all workers; and what a store for Keyv has to do.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createCache } from 'cache-manager'
import { Keyv } from 'keyv'
import { Keyv as Keyv6 } from 'keyv6'
import t, { type Test } from 'tap'
import { KeyvStore } from '../../src/adapters/keyv.js'
import { createStore, type Collection, type Store } from '../../src/index.js'
import type { KeyvServer } from '../fixtures/keyv-server.js'
import { servers } from '../support/servers.js'
import { until } from '../support/until.js'

t.teardown(() => createStore().close())

const SERVERS: KeyvServer[] = [{ name: 'keyv5' }, { name: 'keyv6' }, { name: 'cache-manager' }]
const { get, output } = await servers(t, 'keyv-server', SERVERS)

t.test("Keyv's own test suite passes", async t => {
  const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
  const vitest = [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', '--root', join(ROOT, 'dist/test/fixtures'), '--reporter', 'json']
  // Without what the test runner adds to every Node that it starts.
  const { stdout } = await promisify(execFile)('env', ['-u', 'NODE_OPTIONS', process.execPath, ...vitest]).catch((error: { stdout: string }) => error)
  const { testResults } = JSON.parse(stdout) as { testResults: Array<{ assertionResults: Array<{ fullName: string, status: string, failureMessages: string[] }> }> }
  const results = testResults.flatMap(({ assertionResults }) => assertionResults)
  t.ok(results.length >= 42, `${results.length} tests`)
  for (const { fullName, status, failureMessages } of results) t.equal(status, 'passed', fullName, { failureMessages })
})

for (const { name } of SERVERS) {
  t.test(`${name}: what one worker has stored all others read`, async t => {
    const { body: { worker } } = await get(`/${name}/set?key=tea&value=green`)
    const answers = await Promise.all(Array.from({ length: 12 }, () => get(`/${name}/get?key=tea`)))
    for (const { body } of answers) t.strictSame(body.body, { value: 'green', worker })
    t.ok(new Set(answers.map(({ body }) => body.worker)).size > 1)
    const keys = []
    for await (const key of createStore().collection(name).keys()) keys.push(key)
    t.strictSame(keys, ['test:tea'])
    await get(`/${name}/clear`)
    t.equal((await get(`/${name}/get?key=tea`)).body.body, undefined)
    t.equal(output(), '')
  })
}

t.test('cache-manager: what one worker has made for a key serves all', async t => {
  const first = (await get('/cache-manager/wrap?key=report')).body.body
  const answers = await Promise.all(Array.from({ length: 12 }, () => get('/cache-manager/wrap?key=report')))
  for (const { body } of answers) t.strictSame(body.body, first)
})

interface Alone {
  keyv: Keyv6
  store: Store
  keys: Collection<unknown>
}

const VERSIONS: Record<string, (t: Test, namespace?: string, store?: Store) => Alone> = {
  'Keyv 5': (t, namespace = 'ns', store = createStore('memory:')) => {
    t.teardown(() => store.close())
    const keyv: unknown = new Keyv({ store: new KeyvStore({ store }), namespace })
    return { keyv: keyv as Keyv6, store, keys: store.collection('keyv') }
  },
  'Keyv 6': (t, namespace = 'ns', store = createStore('memory:')) => {
    t.teardown(() => store.close())
    return { keyv: new Keyv6({ store: new KeyvStore({ store }), namespace }), store, keys: store.collection('keyv') }
  }
}

for (const [version, alone] of Object.entries(VERSIONS)) {
  t.test(`${version}: what is set ends with its time`, async t => {
    const { keyv, keys } = alone(t)
    await keyv.set('long', 1, 100_000)
    await keyv.setMany([{ key: 'many', value: 2, ttl: 100_000 }, { key: 'ever', value: 3 }])
    for (const key of ['long', 'many']) {
      const { expiresAt } = (await keys.entry(`ns:${key}`))!
      const left = expiresAt!.getTime() - Date.now()
      t.ok(left <= 100_001 && left > 40_000, `${key}: ${left} ms`)
    }
    t.equal((await keys.entry('ns:ever'))!.expiresAt, undefined)
    await keyv.set('short', 1, 20)
    await until(async () => !await keys.has('ns:short'))
    t.equal(await keyv.get('short'), undefined)
    await keyv.set('ages', 1, 1e18)
    t.ok(await keys.has('ns:ages'))
  })

  t.test(`${version}: many at once, has, delete`, async t => {
    const { keyv } = alone(t)
    t.strictSame(await keyv.setMany<unknown>([{ key: 'a', value: 1 }, { key: 'b', value: { c: ['é'] } }, { key: '__proto__', value: null }]), [true, true, true])
    t.strictSame(await keyv.getMany(['a', 'none', 'b', '__proto__']), [1, undefined, { c: ['é'] }, null])
    t.strictSame([await keyv.has('a'), await keyv.has('none')], [true, false])
    t.strictSame(await keyv.has(['none', 'a']), [false, true])
    t.strictSame([await keyv.delete('a'), await keyv.delete('a')], [true, false])
    await keyv.set('a', 1)
    t.strictSame(await keyv.deleteMany(['a', 'b']), version === 'Keyv 5' ? true : [true, true])
    t.strictSame(await keyv.getMany(['a', 'b']), [undefined, undefined])
    t.strictSame(await keyv.deleteMany(['a', '__proto__']), version === 'Keyv 5' ? false : [false, true])
  })

  t.test(`${version}: namespaces are kept apart, iterated and cleared apart`, async t => {
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

  t.test(`${version}: while no store answers a read is a miss, a write is false, and there is an error`, async t => {
    const { keyv, store } = alone(t)
    const codes: unknown[] = []
    keyv.on('error', (error: { code: string }) => { codes.push(error.code) })
    await store.close()
    t.equal(await keyv.get('key'), undefined)
    t.equal(await keyv.set('key', 1), false)
    t.equal(await keyv.delete('key'), false)
    t.strictSame(codes, Array(version === 'Keyv 5' ? 2 : 3).fill('STORE_CLOSED')) // Keyv 5 does not tell of reads that fail
  })
}

t.test('both versions name keys alike', async t => {
  const { keyv: five, store } = VERSIONS['Keyv 5']!(t)
  const { keyv: six } = VERSIONS['Keyv 6']!(t, 'ns', store)
  await five.set('key', { a: 1 })
  t.strictSame(await six.get('key'), { a: 1 })
  await six.set('key', 2)
  t.equal(await five.get('key'), 2)
})

t.test('disconnect ends a store of its own, and no other', async t => {
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

t.test('Keyv and cache-manager take it without a cast', async t => {
  const make = (): KeyvStore => new KeyvStore({ url: 'memory:' })
  t.type(new Keyv({ store: make() }), Keyv)
  t.type(new Keyv(make()), Keyv)
  t.type(new Keyv6({ store: make() }), Keyv6)
  t.type(new Keyv6(make()), Keyv6)
  const cache = createCache({ stores: [new Keyv({ store: make() })] })
  t.equal(await cache.set('key', 1), 1)
  t.equal(await cache.get('key'), 1)
})
