// Failed authentications in one process, on a clock that the test advances. cluster.test.ts tests several workers.
import t from 'tap'
import { AuthThrottle, networkOf } from '../../routes/auth-throttle.js'
import { createStore } from '../../src/index.js'

t.test('an address is blocked after twenty failures per minute, even while the store is closed', async t => {
  for (const isClosed of [false, true]) {
    const store = createStore('memory:')
    if (isClosed) await store.close()
    let now = Date.now()
    const tries = new AuthThrottle(store, () => now)
    t.equal(tries.blocked('a'), 0)
    for (let i = 0; i < 20; i++) t.equal(await tries.add('a'), 0)
    const seconds = tries.blocked('a')
    t.ok(seconds > 0 && seconds <= 60, String(seconds))
    t.ok(await tries.add('a') > 0, 'a failure that was in flight')
    t.equal(tries.blocked('b'), 0, 'another address')
    now += 30_000
    t.ok(tries.blocked('a') <= 30)
    now += 30_001
    t.equal(tries.blocked('a'), 0, 'the minute is over')
    if (isClosed) t.equal(await tries.add('a'), 0, 'a new minute has begun')
    else {
      t.equal(await store.collection('admin-tries').get('a'), 21)
      await store.close()
    }
  }
})

t.test('concurrent failures are counted before the store replies', async t => {
  const store = createStore('memory:')
  const tries = new AuthThrottle(store)
  const added = Array.from({ length: 20 }, () => tries.add('a'))
  t.ok(tries.blocked('a') > 0)
  await Promise.all(added)
  await store.close()
})

t.test('failures counted by another process block an address from the next failure on', async t => {
  const store = createStore('memory:')
  await store.collection('admin-tries').count('a', 20, { ttl: 30 })
  const tries = new AuthThrottle(store)
  t.equal(tries.blocked('a'), 0, 'the count is not fetched before a failure')
  const seconds = await tries.add('a')
  t.ok(seconds > 0 && seconds <= 30, 'until the minute of the other process ends')
  t.equal(tries.blocked('a'), seconds)
  await store.close()
})

t.test('the number of networks is bounded', async t => {
  const store = createStore('memory:')
  const tries = new AuthThrottle(store)
  for (let i = 0; i < 20; i++) await tries.add('first')
  for (let i = 0; i < 10_000; i++) await tries.add(`address ${i}`)
  t.equal(tries.blocked('first'), 0, 'the oldest network is dropped')
  t.match(await store.collection('admin-tries').stats(), { keys: 10_000, maxKeys: 10_000, evicted: 1 })
  const long = 'x'.repeat(10_000)
  for (let i = 0; i < 20; i++) await tries.add(long)
  t.ok(tries.blocked(long) > 0, 'an address can have any length')
  await store.close()
})

t.test('IPv6 addresses are counted by /64, IPv4 addresses in any notation', async t => {
  for (const [address, network] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['0:0:0:0:0:FFFF:C000:0201', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::', '2001:db8:1:2::/64'],
    ['2001:db8:1:2:ffff:ffff:192.0.2.1', '2001:db8:1:2::/64'],
    ['2001:db8:1:3::1', '2001:db8:1:3::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['local', 'local'],
    ['x'.repeat(100), 'x'.repeat(64)]
  ] as const) t.equal(networkOf(address), network, address)
  const store = createStore('memory:')
  const tries = new AuthThrottle(store)
  for (let i = 0; i < 20; i++) await tries.add(`2001:db8::${i}`)
  t.ok(tries.blocked('2001:db8::ffff') > 0)
  t.equal(tries.blocked('2001:db8:0:1::1'), 0)
  t.equal(await store.collection('admin-tries').get('2001:db8:0:0::/64'), 20)
  await store.close()
})
