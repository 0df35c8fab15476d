// The contract of all engines. `a` and `b` are two clients of one store, in one process or in two.
import type { Test } from 'tap'
import type { Collection, Entry, KeyLock, LockInfo, Store } from '../../src/index.js'
import { until } from '../support/until.js'

/** A store, or a proxy of one in another process, whose methods all return promises. */
export interface Peer {
  collection (name: string): PeerCollection
  locks (): ReturnType<Store['locks']>
}
export type PeerCollection = Pick<
  Collection<any>,
  'name' | 'get' | 'set' | 'del' | 'has' | 'increment' | 'count' | 'decrement' | 'update'
> & { acquire(...args: Parameters<Collection['acquire']>): Promise<PeerLock> }
export interface PeerLock {
  get (): unknown
  set (value?: unknown): unknown
  release (options?: { discard?: boolean }): Promise<void>
}

export interface Arrangement {
  a: Store
  b: Peer
  end (): Promise<void>
}

const LIMIT = 2 ** 20
let collections = 0

export function contract (t: Test, name: string, arrange: () => Promise<Arrangement>): void {
  t.test(`${name} fulfils the contract`, async t => {
    const { a, b, end } = await arrange()
    /** A new collection, as seen by both clients. */
    const fresh = (): { mine: Collection<any>, theirs: PeerCollection } => {
      const name = `contract ${process.pid} ${++collections}`
      return { mine: a.collection(name), theirs: b.collection(name) }
    }

    for (const [title, test] of Object.entries(TESTS)) {
      await t.test(title, async t => { await test(t, fresh(), a, b) })
    }
    t.strictSame(await a.locks(), [], 'no lock is left')
    await end()
  })
}

type Contract = (t: Test, pair: { mine: Collection<any>, theirs: PeerCollection }, a: Store, b: Peer) => Promise<void>

const TESTS: Record<string, Contract> = {
  async 'one client reads what the other writes' (t, { mine, theirs }) {
    t.equal(await mine.get('key'), undefined)
    const value = { a: 0, b: 'Hiya', c: { d: [99, null, true] }, e: 'é€😀\u0000"\\' }
    await mine.set('key', value)
    t.strictSame(await theirs.get('key'), value)
    t.equal(await theirs.has('key'), true)
    await theirs.set('key', 'other')
    t.equal(await mine.get('key'), 'other')
    t.equal(await theirs.del('key'), true)
    t.equal(await mine.get('key'), undefined)
    t.equal(await mine.has('key'), false)
    t.equal(await mine.del('key'), false)
  },

  async 'values are copied' (t, { mine }) {
    const value = { list: [1] }
    await mine.set('key', value)
    value.list.push(2)
    const read = await mine.get('key')
    t.strictSame(read, { list: [1] })
    read.list.push(3)
    t.strictSame(await mine.get('key'), { list: [1] })
  },

  async 'every JSON value can be stored' (t, { mine, theirs }) {
    for (const value of [
      null, false, true, 0, -1.5, 1e300, '', 'text', '\u2028', [], {}, [[]], { __proto__: null, a: 1 }
    ]) {
      await mine.set('key', value)
      t.strictSame(await theirs.get('key'), JSON.parse(JSON.stringify(value)))
    }
    const tricky = JSON.parse('{"__proto__":{"x":1},"constructor":2}') as unknown
    await mine.set('key', tricky)
    t.equal(JSON.stringify(await theirs.get('key')), JSON.stringify(tricky))
  },

  async 'set(undefined) deletes the key' (t, { mine, theirs }) {
    await mine.set('key', 1)
    t.equal(await mine.set('key', undefined), 0)
    t.equal(await theirs.has('key'), false)
  },

  async 'values that JSON cannot represent are rejected, and the key keeps its value' (t, { mine }) {
    await mine.set('key', 'kept')
    for (const value of [() => {}, Symbol('s'), 1n]) {
      await t.rejects(mine.set('key', value), { code: 'STORE_VALUE_INVALID' })
    }
    t.equal(await mine.get('key'), 'kept')
  },

  async 'values are accepted up to the size limit, and rejected one byte above it' (t, { mine, theirs }) {
    for (const bytes of [3, 32 * 1024 - 1, 32 * 1024, 64 * 1024, LIMIT]) {
      const value = 'x'.repeat(bytes - 2)
      await mine.set('key', value)
      t.ok(await theirs.get('key') === value, `${bytes} bytes`)
      await theirs.set('key', value + 'y'.repeat(LIMIT - bytes))
      t.ok(await mine.get('key') === value + 'y'.repeat(LIMIT - bytes))
    }
    const wide = '€'.repeat((LIMIT - 2) / 3)
    await mine.set('key', wide)
    t.ok(await theirs.get('key') === wide, 'sizes are UTF-8 bytes')
    await t.rejects(mine.set('key', wide + '€'), { code: 'STORE_VALUE_TOO_LARGE' })
    await t.rejects(mine.set('key', 'x'.repeat(LIMIT - 1)), { code: 'STORE_VALUE_TOO_LARGE' })
    t.ok(await mine.get('key') === wide, 'the old value is kept')
    await mine.set('key', 1)
    t.equal(await theirs.get('key'), 1, 'a one-byte value')
  },

  async 'any well-formed key of up to 1024 bytes is valid' (t, { mine, theirs }) {
    const keys = [
      '', ' ', '/', 'a/b?c#d%', '.', '..', '../..', '__proto__', 'constructor', 'toString', 'hasOwnProperty', '\u0000',
      '\n', 'é', '😀', '😀'.repeat(256), 'k'.repeat(1024), '\u007f\u0080\u00ff\u0100', '\ufffd', 'NaN', '0', '-0'
    ]
    for (const [i, key] of keys.entries()) await mine.set(key, i)
    for (const [i, key] of keys.entries()) t.equal(await theirs.get(key), i, JSON.stringify(key.slice(0, 20)))
    const seen = []
    for await (const key of mine.keys()) seen.push(key)
    t.strictSame(seen.sort(), keys.slice().sort())
    for (const key of ['k'.repeat(1025), '€'.repeat(342), '\ud800', 'a\udc00b', 5, null, undefined, {}]) {
      await t.rejects(mine.get(key as string), { code: 'STORE_KEY_INVALID' })
    }
  },

  async 'any well-formed collection name of up to 1024 bytes is valid' (t, _, a, b) {
    for (const name of ['', '__proto__', 'a/b', 'é€😀', 'c'.repeat(1024)]) {
      await a.collection(name).set('key', name.length)
      t.equal(await b.collection(name).get('key'), name.length)
      await a.collection(name).del('key')
    }
    for (const name of ['c'.repeat(1025), '\ud800', 5]) {
      t.throws(() => a.collection(name as string), { code: 'STORE_NAME_INVALID' })
    }
  },

  async 'a client can use more collections than its connection has slots' (t, { mine }, a) {
    const names = Array.from({ length: 600 }, (_, i) => `${mine.name} ${i}`)
    await Promise.all(names.map((name, i) => a.collection(name).set('key', i)))
    t.strictSame(await Promise.all(names.map(name => a.collection(name).get('key'))), names.map((_, i) => i))
    await Promise.all(names.map(name => a.collection(name).clear()))
  },

  async 'versions increase and never repeat, even after a delete' (t, { mine, theirs }) {
    const versions = [await mine.set('key', 1), await theirs.set('key', 2)]
    await mine.increment('key')
    versions.push((await mine.entry('key'))!.version)
    await mine.del('key')
    versions.push(await mine.set('key', 1))
    versions.push((await mine.entry('key'))!.version)
    t.equal(versions[3], versions[4])
    t.ok(versions[0]! < versions[1]! && versions[1]! < versions[2]! && versions[2]! < versions[3]!, versions.join())
    t.equal(await mine.entry('none'), undefined)
  },

  async 'conditional writes apply only if their condition holds' (t, { mine, theirs }) {
    const version = await mine.set('key', 1, { ifAbsent: true })
    await t.rejects(mine.set('key', 2, { ifAbsent: true }), { code: 'STORE_EXISTS' })
    await t.rejects(mine.set('key', 2, { ifVersion: version - 1 }), { code: 'STORE_VERSION_MISMATCH' })
    await t.rejects(mine.set('key', 2, { ifVersion: 0 }), { code: 'STORE_VERSION_MISMATCH' })
    await t.rejects(mine.del('key', { ifVersion: version + 1 }), { code: 'STORE_VERSION_MISMATCH' })
    t.equal(await theirs.get('key'), 1)
    const next = await mine.set('key', 2, { ifVersion: version })
    t.equal(await mine.del('key', { ifVersion: next }), true)
    await t.rejects(mine.del('key', { ifVersion: next }), { code: 'STORE_VERSION_MISMATCH' })
    await t.rejects(mine.set('key', 3, { ifPresent: true }), { code: 'STORE_NOT_FOUND' })
    await t.rejects(mine.del('key', { ifPresent: true }), { code: 'STORE_NOT_FOUND' })
    t.ok(await mine.set('key', 3, { ifVersion: 0 }) > next)
    const again = await theirs.set('key', 4, { ifPresent: true, ttl: 100 })
    t.ok(again > next)
    t.equal(await mine.set('key', undefined, { ifPresent: true, ifVersion: again }), 0)
    t.equal(await theirs.get('key'), undefined)
  },

  async 'concurrent updates with ifVersion lose no increment' (t, { mine, theirs }) {
    await mine.set('key', 0)
    const add = async (user: Collection<number>): Promise<void> => {
      for (;;) {
        const { value, version } = (await user.entry('key'))!
        try {
          await user.set('key', value + 1, { ifVersion: version })
          return
        } catch (error) {
          if ((error as { code: string }).code !== 'STORE_VERSION_MISMATCH') throw error
        }
      }
    }
    await Promise.all(Array.from({ length: 20 }, () => add(mine)))
    t.equal(await theirs.get('key'), 20)
  },

  async 'increments by all clients add up' (t, { mine, theirs }) {
    t.equal(await mine.increment('n'), 1)
    t.equal(await theirs.increment('n', 2.5), 3.5)
    t.equal(await mine.increment('n', -4), -0.5)
    const sums = await Promise.all(Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? mine : theirs).increment('m')))
    t.strictSame(sums.sort((x, y) => x - y), Array.from({ length: 100 }, (_, i) => i + 1))
    for (const value of ['1', null, [1], {}]) {
      await mine.set('text', value)
      await t.rejects(mine.increment('text'), { code: 'STORE_NOT_A_NUMBER' })
      t.strictSame(await mine.get('text'), value)
    }
    await mine.text.set('long', `0.${'0'.repeat(40_000)}1`)
    t.equal(await mine.increment('long'), 1)
    await mine.set('big', 1e308)
    await t.rejects(mine.increment('big', 1e308), { code: 'STORE_NOT_A_NUMBER' })
    await t.rejects(mine.increment('n', NaN), { code: 'STORE_OPTION_INVALID' })
  },

  async 'a ttl is absolute: reads do not extend it' (t, { mine, theirs }) {
    await mine.set('key', 1, { ttl: 50 })
    const { expiresAt } = (await mine.entry('key'))!
    t.ok(expiresAt!.getTime() <= Date.now() + 50_001)
    const start = Date.now()
    await mine.set('key', 1, { ttl: 0.1 })
    await until(async () => await theirs.get('key') === undefined)
    t.ok(Date.now() >= start + 100, 'it does not expire early')
    await mine.set('key', 1, { ttl: 1000 })
    await mine.set('key', 2)
    t.equal((await mine.entry('key'))!.expiresAt, undefined, 'a write without a ttl removes it')
    for (const ttl of [0, -1, NaN, Infinity, '5']) {
      await t.rejects(mine.set('key', 3, { ttl: ttl as number }), { code: 'STORE_OPTION_INVALID' })
    }
  },

  async 'touch changes the ttl' (t, { mine }) {
    t.equal(await mine.touch('key'), false)
    const version = await mine.set('key', 1, { ttl: 5 })
    t.equal(await mine.touch('key', { ttl: 100 }), true)
    const entry = (await mine.entry('key'))!
    t.ok(entry.expiresAt!.getTime() > Date.now() + 90_000)
    t.equal(entry.version, version, 'the value keeps its version')
    t.equal(await mine.touch('key', { ttl: 1000, ifVersion: version }), true)
    const mismatch = { code: 'STORE_VERSION_MISMATCH' }
    await t.rejects(mine.touch('key', { ttl: 5, ifVersion: version + 1 }), mismatch)
    await t.rejects(mine.touch('none', { ifVersion: version }), mismatch)
    await t.rejects(mine.touch('key', { ifVersion: -1 }), { code: 'STORE_OPTION_INVALID' })
    t.ok((await mine.entry('key'))!.expiresAt!.getTime() > Date.now() + 990_000)
  },

  async 'the first increment sets the ttl of a counter' (t, { mine }) {
    t.equal(await mine.increment('n', 1, { ttl: 100 }), 1)
    t.equal(await mine.increment('n', 1, { ttl: 1000 }), 2)
    t.ok((await mine.entry('n'))!.expiresAt!.getTime() < Date.now() + 101_000)
  },

  async 'count returns the expiry of the window, and restarts the window above its limit' (t, { mine, theirs }) {
    const isLeft = ({ expiresAt }: Entry<number>, seconds: number): boolean => {
      const left = (new Date(expiresAt!).getTime() - Date.now()) / 1000
      return left <= seconds && left > seconds - 60
    }
    const first = await mine.count('n', 1, { ttl: 100, limit: 2 })
    t.match(first, { value: 1, version: (await mine.entry('n'))!.version })
    t.ok(isLeft(first, 100))
    t.ok(isLeft(await theirs.count('n', 1, { ttl: 1000, limit: 2 }), 100), 'the first call sets the ttl')
    t.ok(isLeft(await mine.count('n', 1, { ttl: 1000, limit: 2 }), 1000))
    t.ok(isLeft(await mine.count('n', 1, { ttl: 1000, limit: 2, backoff: true }), 2000))
    t.ok(isLeft(await theirs.count('n', 1, { ttl: 1000, limit: 2, backoff: true }), 4000))
    t.ok(isLeft(await mine.count('n', 0), 4000))
    const far = await mine.count('n', 2000, { ttl: 1000, limit: 2, backoff: true })
    t.ok(far.expiresAt!.getTime() > Date.now() + 2 ** 49, 'the backoff is limited to what a Date can represent')
    t.equal((await mine.count('free')).expiresAt, undefined)
    await t.rejects(mine.count('n', 1, { limit: 2 }), { code: 'STORE_OPTION_INVALID' })
    await t.rejects(mine.count('n', 1, { ttl: 1, limit: NaN }), { code: 'STORE_OPTION_INVALID' })
  },

  async 'decrement lowers a counter, but not below 0' (t, { mine, theirs }) {
    t.equal(await mine.decrement('n'), 0)
    t.equal(await theirs.has('n'), false)
    await mine.increment('n', 3, { ttl: 100 })
    t.equal(await theirs.decrement('n'), 2)
    t.ok((await mine.entry('n'))!.expiresAt!.getTime() < Date.now() + 101_000, 'it keeps the ttl')
    t.equal(await mine.decrement('n', 5), 0)
    t.equal(await mine.decrement('n'), 0)
    await mine.set('n', -3)
    t.equal(await mine.decrement('n'), -3)
    t.equal(await mine.get('n'), -3)
    await mine.set('n', 'text')
    await t.rejects(mine.decrement('n'), { code: 'STORE_NOT_A_NUMBER' })
  },

  async 'idle keys expire, used ones do not' (t, { mine, theirs }) {
    await mine.configure({ expireKeys: 0.2 })
    const start = Date.now()
    let used = start // no later than the last use
    await mine.set('idle', 1)
    await mine.set('used', 1)
    t.match(await mine.entry('used', { peek: true }), { value: 1, version: Number, expiresAt: Date })
    t.equal(await mine.entry('none', { peek: true }), undefined)
    await until(async () => {
      const now = Date.now()
      const value = await theirs.get('used')
      await mine.entry('idle', { peek: true }) // does not count as a use
      if (Date.now() - used < 195) t.equal(value, 1)
      else await mine.set('used', 1) // the machine was too slow to use it in time
      used = now
      return await mine.size() === 1
    })
    t.ok(Date.now() - start >= 195, 'it does not expire early')
    t.equal(await mine.get('idle'), undefined)
    await until(async () => await mine.size() === 0)
    await mine.configure({ expireKeys: 0 })
    await mine.set('stays', 1)
    t.equal((await mine.entry('stays'))!.expiresAt, undefined)
  },

  async 'setMany and getMany handle many keys in one call' (t, { mine, theirs }) {
    const entries = Array.from({ length: 300 }, (_, i) => [`key ${i}`, { i }] as const)
    const versions = await mine.setMany(entries)
    t.equal(new Set(versions).size, 300)
    t.strictSame(await mine.getMany(['key 7', 'none', 'key 299']), [{ i: 7 }, undefined, { i: 299 }])
    t.strictSame(await theirs.get('key 150'), { i: 150 })
    t.equal(await mine.size(), 300)
  },

  async 'keys and entries list each key once, all or by prefix' (t, { mine }) {
    const names = Array.from({ length: 3000 }, (_, i) => `${i % 3 === 0 ? 'käse' : 'brot'}:${i}`)
    await mine.setMany(names.map(name => [name, 1] as const))
    const seen: string[] = []
    for await (const key of mine.keys()) {
      seen.push(key)
      if (seen.length % 500 === 0) {
        await mine.setMany(Array.from({ length: 50 }, (_, i) => [`late ${seen.length} ${i}`, 1] as const))
      }
    }
    const early = seen.filter(key => !key.startsWith('late'))
    t.equal(early.length, 3000)
    t.strictSame(early.sort(), names.slice().sort())
    t.equal(new Set(seen).size, seen.length)
    const some: string[] = []
    for await (const key of mine.keys({ prefix: 'käse:1' })) some.push(key)
    const those = names.filter(name => name.startsWith('käse:1'))
    t.strictSame(some.sort(), those.sort())
    const pairs: Array<[string, unknown]> = []
    for await (const pair of mine.entries({ prefix: 'käse:1' })) pairs.push(pair)
    t.strictSame(pairs.sort(), those.map(name => [name, 1]))
    const before = await mine.size()
    await mine.clear({ prefix: 'käse:1' })
    t.equal(await mine.size(), before - those.length)
    await mine.clear()
    t.equal(await mine.size(), 0)
    for await (const key of mine.keys()) t.fail(key)
  },

  async 'a full collection evicts the least recently used keys' (t, { mine }) {
    await mine.configure({ maxKeys: 3 })
    for (const key of ['a', 'b', 'c']) await mine.set(key, 1)
    await mine.get('a')
    await mine.set('d', 1)
    t.strictSame(await mine.getMany(['a', 'b', 'c', 'd']), [1, undefined, 1, 1])
    await mine.configure({ evict: false })
    await t.rejects(mine.set('e', 1), { code: 'STORE_FULL' })
    await mine.set('a', 2)
    t.equal(await mine.get('a'), 2, 'existing keys can still be changed')
    await mine.configure({ maxKeys: 0, maxBytes: 10, evict: true })
    await until(async () => await mine.size() === 3)
    await mine.set('x', 12345)
    t.equal(await mine.get('x'), 12345)
    t.ok(await mine.size() < 4)
    await t.rejects(mine.set('long', 123456789), { code: 'STORE_FULL' })
    for (const options of [{ maxKeys: -1 }, { maxBytes: 1.5 }, { expireKeys: NaN }, { evict: 1 }, { expirekeys: 1 }]) {
      await t.rejects(mine.configure(options as object), { code: 'STORE_OPTION_INVALID' })
    }
  },

  async 'near and expireKeys exclude each other' (t, { mine }) {
    const refused = { code: 'STORE_OPTION_INVALID', message: /near cannot be combined with expireKeys/ }
    await t.rejects(mine.configure({ near: 0.05, expireKeys: 100 }), refused, 'in one call')
    await mine.configure({ near: 0.05, maxKeys: 10 })
    await t.rejects(mine.configure({ expireKeys: 100, maxKeys: 20 }), refused, 'in two calls')
    t.match(await mine.stats(), { near: 0.05, expireKeys: 0, maxKeys: 10 }, 'nothing has changed')
    await mine.configure({ near: 0, expireKeys: 100 })
    await t.rejects(mine.configure({ near: 0.05 }), refused, 'in the other order')
    t.match(await mine.stats(), { near: 0, expireKeys: 100 })
  },

  async 'changing expireKeys does not bring back an expired key' (t, { mine }) {
    await mine.configure({ expireKeys: 0.05 })
    await mine.set('idle', 1)
    const end = Date.now() + 100
    await until(() => Date.now() > end)
    await mine.configure({ expireKeys: 0 })
    t.equal(await mine.get('idle'), undefined)
    await mine.set('kept', 1)
    await mine.configure({ expireKeys: 100 })
    t.equal(await mine.get('kept'), 1)
  },

  async 'a write that cannot fit evicts nothing' (t, { mine }) {
    await mine.configure({ maxBytes: 20 })
    await mine.set('free', 1)
    await mine.set('held', 123456)
    const lock = await mine.acquire('held')
    await t.rejects(mine.set('more', 1234567), { code: 'STORE_FULL' })
    t.equal(await mine.get('free'), 1)
    await mine.set('more', 123456)
    t.strictSame(await mine.getMany(['free', 'more']), [undefined, 123456])
    await lock.release()
    t.equal(await mine.get('held'), 123456)
  },

  async 'a lock excludes all other calls, including those of its own process' (t, { mine, theirs }, a) {
    await mine.set('key', 1)
    const lock = await mine.acquire('key')
    t.equal(lock.get(), 1)
    const done: string[] = []
    const waiting = [
      mine.get('key').then(value => done.push(`get ${value}`)),
      mine.increment('key').then(value => done.push(`increment ${value}`)),
      theirs.get('key').then(value => done.push(`their get ${value}`)),
      mine.has('key').then(value => done.push(`has ${value}`))
    ]
    t.equal(await mine.tryAcquire('key'), undefined)
    await t.rejects(mine.get('key', { timeout: 0 }), { code: 'STORE_LOCKED' })
    await t.rejects(mine.set('key', 9, { timeout: 0 }), { code: 'STORE_LOCKED' })
    await until(async () => (await a.locks()).find(lock => lock.collection === mine.name)?.waiters === 4)
    t.equal(await mine.get('other'), undefined, 'other keys are not locked')
    lock.set(10)
    t.equal(lock.get(), 10)
    t.strictSame(done, [])
    await lock.release()
    await Promise.all(waiting)
    t.strictSame(
      done.sort(), ['get 10', 'has true', 'increment 11', done.find(entry => entry.startsWith('their'))].sort()
    )
    t.equal(await theirs.get('key'), 11)
  },

  async 'acquire grants the lock in arrival order' (t, { mine, theirs }, a) {
    const holder = await theirs.acquire('key')
    const order: number[] = []
    const waits: Array<Promise<void>> = []
    for (let i = 0; i < 20; i++) {
      const user = i % 2 === 0 ? mine : theirs
      waits.push(user.acquire('key').then(async (lock: PeerLock | KeyLock<any>) => {
        order.push(i)
        await lock.release()
      }))
      await until(async () => (await a.locks()).find(lock => lock.collection === mine.name)?.waiters === i + 1)
    }
    await holder.release()
    await Promise.all(waits)
    t.strictSame(order, Array.from({ length: 20 }, (_, i) => i))
  },

  async 'a write that waits keeps its value, whatever is sent after it' (t, { mine, theirs }, a) {
    for (const user of [mine, theirs]) {
      const lock = await (user === mine ? theirs : mine).acquire('key')
      const written = user.set('key', 'x'.repeat(100))
      await until(async () => (await a.locks()).find(({ collection }) => collection === mine.name)?.waiters === 1)
      for (let i = 0; i < 5; i++) {
        await Promise.all(Array.from({ length: 20 }, (_, n) => user.set(`k${n}`, 'y'.repeat(100))))
      }
      await lock.release()
      await written
      t.equal(await mine.get('key'), 'x'.repeat(100))
    }
  },

  async 'updates under a lock lose nothing' (t, { mine, theirs }) {
    await Promise.all(Array.from({ length: 40 }, async (_, i) => {
      if (i % 2 === 0) {
        const lock = await mine.acquire('sum')
        lock.set((lock.get() ?? 0) + 1)
        await lock.release()
      } else {
        const lock = await theirs.acquire('sum')
        const sum = await lock.get() as number | undefined
        await lock.set((sum ?? 0) + 1)
        await lock.release()
      }
    }))
    t.equal(await mine.get('sum'), 40)
    t.equal(await mine.update('sum', async sum => sum + 2), 42)
    await t.rejects(mine.update('sum', () => { throw new Error('no') }), { message: 'no' })
    t.equal(await mine.update('sum', () => undefined), 42, 'returning undefined changes nothing')
    t.equal(await mine.update('sum', (_, lock) => { lock.set(43) }), 43)
    t.equal(await theirs.get('sum'), 43)
    t.equal(await mine.update('sum', (_, lock) => { lock.del() }), undefined)
    t.equal(await theirs.has('sum'), false)
    t.equal(await mine.update('sum', () => 1, { ttl: 100 }), 1)
    t.ok((await mine.entry('sum'))!.expiresAt!.getTime() > Date.now() + 90_000)
    await mine.update('sum', () => 2)
    t.ok((await mine.entry('sum'))!.expiresAt !== undefined)
  },

  async 'concurrent getOrSet calls compute the value once' (t, { mine, theirs }) {
    let computed = 0
    const compute = async (): Promise<number> => {
      computed++
      await mine.has('other')
      return 7
    }
    t.strictSame(
      await Promise.all(Array.from({ length: 8 }, () => mine.getOrSet('key', compute, { ttl: 100 }))), Array(8).fill(7)
    )
    t.equal(computed, 1)
    t.equal(await theirs.get('key'), 7)
    t.ok((await mine.entry('key'))!.expiresAt !== undefined)
    const outcomes = await Promise.allSettled([
      mine.getOrSet('next', () => {
        throw new Error('mine')
      }),
      mine.getOrSet('next', () => 'value'),
      mine.getOrSet('next', () => 'not this')
    ])
    t.match(
      outcomes, [{ reason: { message: 'mine' } }, { value: 'value' }, { value: 'value' }],
      'if a function throws, its caller gets the error, and the next waiter computes'
    )
  },

  async 'release commits the changes, once' (t, { mine, theirs }) {
    await mine.set('key', 'old', { ttl: 100 })
    const lock = await mine.acquire('key')
    const value = { n: 1 }
    lock.set(value)
    value.n = 2
    t.strictSame(lock.get(), { n: 1 }, 'set() copies the value')
    t.throws(() => { lock.set(() => {}) }, { code: 'STORE_VALUE_INVALID' })
    await lock.release()
    t.strictSame(await theirs.get('key'), { n: 1 })
    t.ok((await mine.entry('key'))!.expiresAt !== undefined, 'the key keeps its ttl')
    t.strictSame(lock.get(), { n: 1 })
    t.throws(() => { lock.set(2) }, { code: 'STORE_LOCK_RELEASED' })
    t.throws(() => { lock.del() }, { code: 'STORE_LOCK_RELEASED' })
    await t.rejects(lock.release(), { code: 'STORE_LOCK_RELEASED' })
    t.strictSame(await theirs.get('key'), { n: 1 })

    const second = await mine.acquire('key')
    second.set(5)
    await second.release({ discard: true })
    t.strictSame(await theirs.get('key'), { n: 1 })
    const third = await mine.acquire('key')
    third.del()
    t.equal(third.get(), undefined)
    await third.release()
    t.equal(await theirs.has('key'), false)
  },

  async 'each grant has a higher fence and a new token' (t, { mine, theirs }) {
    const first = await mine.acquire('key')
    await first.release()
    const their = await theirs.acquire('key')
    await their.release()
    const second = await mine.acquire('key')
    await second.release()
    const other = await mine.acquire('other')
    await other.release()
    t.ok(first.fence < second.fence && second.fence < other.fence)
    t.not(first.token, second.token)
    t.ok(first.token.length >= 32)
  },

  async 'a lock is lost when its lease expires' (t, { mine, theirs }) {
    await mine.set('key', 'before')
    const lock = await mine.acquire('key', { lease: 100 })
    lock.set('too late')
    const aborted = new Promise(resolve => { lock.signal.addEventListener('abort', resolve) })
    await lock.renew(0.2)
    t.ok(lock.expiresAt!.getTime() <= Date.now() + 201)
    t.equal(await theirs.get('key'), 'before', 'the next waiter gets the key, without the uncommitted change')
    await aborted
    t.match(lock.signal.reason, { code: 'STORE_LOCK_LOST' })
    t.equal(lock.held, false)
    t.throws(() => { lock.set(1) }, { code: 'STORE_LOCK_LOST' })
    await t.rejects(lock.release(), { code: 'STORE_LOCK_LOST' })
    t.equal(await theirs.get('key'), 'before')
  },

  async 'a lease expires on the clock of the lock owner, even while its event loop is blocked' (t, { mine, theirs }) {
    const renewed = await mine.acquire('renewed', { lease: 100 })
    await Promise.all([renewed.renew(0.5), renewed.renew(100)])
    const lock = await mine.acquire('key', { lease: 0.5 })
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lock.expiresAt!.getTime() - Date.now() + 600)
    t.throws(() => { lock.set(1) }, { code: 'STORE_LOCK_LOST' })
    t.equal(lock.held, false)
    t.match(lock.signal.reason, { code: 'STORE_LOCK_LOST' })
    await t.rejects(lock.renew(), { code: 'STORE_LOCK_LOST' })
    await t.rejects(lock.release(), { code: 'STORE_LOCK_LOST' })
    t.equal(await theirs.get('key'), undefined)
    t.equal(renewed.held, true, 'a renewed lease does not expire')
    renewed.set('kept')
    await renewed.release()
    t.equal(await theirs.get('renewed'), 'kept')
  },

  async 'renew sets the lease, by default to its original duration' (t, { mine }) {
    const lock = await mine.acquire('key', { lease: 100 })
    const isLeft = (seconds: number): boolean => {
      const left = (lock.expiresAt!.getTime() - Date.now()) / 1000
      return left <= seconds && left > seconds - 60
    }
    t.ok(isLeft(100))
    await lock.renew(200)
    t.ok(isLeft(200))
    await lock.renew()
    t.ok(isLeft(100))
    await lock.release()
    await t.rejects(mine.acquire('key', { lease: 0 }), { code: 'STORE_OPTION_INVALID' })
  },

  async 'a locked key expires only after its release' (t, { mine, theirs }) {
    const [, lock] = await Promise.all([mine.set('key', 'kept', { ttl: 0.3 }), mine.acquire('key')])
    const later = Date.now() + 330
    await until(() => Date.now() > later)
    t.equal(lock.get(), 'kept')
    t.equal(await mine.size(), 1)
    await lock.release()
    t.equal(await theirs.get('key'), undefined)
  },

  async 'a wait can time out or be aborted' (t, { mine, theirs }, a) {
    const lock = await mine.acquire('key')
    const waiters = async (): Promise<number | undefined> => {
      return (await a.locks()).find(lock => lock.collection === mine.name)?.waiters
    }
    await t.rejects(mine.acquire('key', { timeout: 0.02 }), { code: 'STORE_TIMEOUT' })
    await t.rejects(mine.get('key', { timeout: 0.02 }), { code: 'STORE_TIMEOUT' })
    const controller = new AbortController()
    const waits: Array<Promise<unknown>> = [
      mine.acquire('key', { signal: controller.signal }), mine.set('key', 1, { signal: controller.signal })
    ]
    await until(async () => await waiters() === 2)
    const last = theirs.get('key')
    await until(async () => await waiters() === 3)
    controller.abort(new Error('changed my mind'))
    for (const wait of waits) await t.rejects(wait, { code: 'STORE_ABORTED', cause: { message: 'changed my mind' } })
    await until(async () => await waiters() === 1)
    await lock.release()
    t.equal(await last, undefined, 'other waiters are not affected')
    await t.rejects(mine.get('key', { signal: controller.signal }), { code: 'STORE_ABORTED' })
    t.equal(await mine.get('key'), undefined, 'aborted calls have no effect')
  },

  async 'an acquire that is aborted at any stage leaves no lock' (t, { mine }) {
    for (let i = 0; i < 40; i++) {
      const controller = new AbortController()
      const lock = await mine.acquire('key')
      const wait = mine.acquire('key', { signal: controller.signal })
      const released = lock.release()
      if (i % 4 > 0) await Promise.resolve()
      if (i % 4 > 1) await released
      controller.abort()
      await wait.then(lock => lock.release(), error => { t.equal(error.code, 'STORE_ABORTED') })
      await released
    }
    t.ok(await mine.tryAcquire('key').then(async lock => { await lock?.release(); return lock }))
  },

  async 'a token can be used in place of the handle' (t, { mine, theirs }) {
    const lock = await mine.acquire('key', { lease: 100, detached: true, owner: 'é 😀' })
    await mine.set('key', 1, { token: lock.token })
    await mine.increment('key', 1, { token: lock.token })
    t.ok(await mine.renew('key', lock.token, 50) instanceof Date)
    await t.rejects(mine.set('key', 2, { token: 'another' }), { code: 'STORE_LOCK_LOST' })
    await t.rejects(mine.release('key', 'another'), { code: 'STORE_LOCK_LOST' })
    const read = theirs.get('key')
    await mine.set('key', 3, { token: lock.token, release: true })
    t.equal(await read, 3)
    await t.rejects(mine.release('key', lock.token), { code: 'STORE_LOCK_LOST' })
    await t.rejects(mine.set('key', 4, { token: lock.token }), { code: 'STORE_LOCK_LOST' })
    await t.rejects(mine.acquire('key', { detached: true }), { code: 'STORE_OPTION_INVALID' })
  },

  async 'releasing by the token of an acquire cancels its wait or releases its lock' (t, { mine, theirs }, a) {
    const token = `token of ${mine.name}`.replaceAll(' ', '-')
    const lock = await mine.acquire('key')
    const wait = mine.acquire('key', { token, lease: 100, detached: true })
    const next = theirs.get('key')
    await until(async () => (await mine.lockInfo('key'))?.waiters === 2)
    const aborted = t.rejects(wait, { code: 'STORE_ABORTED' }) // its reply may arrive before that of the release
    await mine.release('key', token)
    await aborted
    await t.rejects(mine.release('key', token), { code: 'STORE_LOCK_LOST' })
    await lock.release()
    await next
    const second = await mine.acquire('key', { token, lease: 100, detached: true })
    t.equal(second.token, token)
    await t.rejects(mine.acquire('key', { token, lease: 100, detached: true }), { code: 'STORE_LOCKED' })
    await mine.release('key', token)
    t.equal(await theirs.get('key'), undefined)
    for (const token of ['short', 'with a space in it', 'é'.repeat(20), 'x'.repeat(129)]) {
      await t.rejects(mine.acquire('key', { token }), { code: 'STORE_OPTION_INVALID' })
    }
    t.strictSame(await a.locks(), [])
  },

  async 'lockInfo lists the waiters in queue order' (t, { mine, theirs }) {
    t.equal(await mine.lockInfo('key'), undefined)
    const lock = await mine.acquire('key', { owner: 'the holder' })
    const waiters = async (): Promise<number | undefined> => (await mine.lockInfo('key'))?.waiters
    const waits: Array<Promise<unknown>> = [mine.acquire('key', { owner: 'é waits' }).then(lock => lock.release())]
    await until(async () => await waiters() === 1)
    waits.push(theirs.get('key'))
    const info = await until(async () => await waiters() === 2 && await mine.lockInfo('key'))
    t.match(info, {
      key: 'key',
      owner: 'the holder',
      fence: lock.fence,
      queue: [
        { owner: 'é waits', op: 'acquire' }, { owner: /^pid \d+/, op: /^(get|entry)$/ }
      ]
    })
    t.ok(info!.queue[0]!.since <= info!.queue[1]!.since)
    await lock.release()
    await Promise.all(waits)
  },

  async 'put, count and page return versions and sizes' (t, { mine }) {
    const first = await mine.put('é', 'x')
    t.equal(first.isNew, true)
    const second = await mine.put('é', 'yé', { ttl: 100 })
    t.equal(second.isNew, false)
    t.ok(second.version > first.version)
    const sum = await mine.count('n', 2.5)
    t.strictSame([sum.value, (await mine.entry('n'))!.version], [2.5, sum.version])
    const { keys, cursor } = await mine.page({ prefix: 'é' })
    t.match(keys, [{ key: 'é', version: second.version, bytes: 5 }])
    t.ok(keys[0]!.expiresAt!.getTime() > Date.now() + 90_000)
    t.equal(cursor, undefined)
    for (const options of [{ limit: 0 }, { limit: 1.5 }, { cursor: '' }, { cursor: 'é' }, { cursor: 1 as never }]) {
      await t.rejects(mine.page(options), { code: 'STORE_OPTION_INVALID' })
    }
    t.match(await mine.stats(), { name: mine.name, keys: 2, bytes: 11, writes: 3 })
    const lock = await mine.acquire('n')
    t.equal((await mine.entry('n', { token: lock.token }))!.value, 2.5, 'the lock owner can read with its token')
    await t.rejects(mine.entry('n', { token: 'another' }), { code: 'STORE_LOCK_LOST' })
    await lock.release()
  },

  async 'locks are listed and can be broken' (t, { mine, theirs }, a) {
    const lock = await mine.acquire('kéy', { owner: 'the é 😀 job', lease: 100 })
    const wait = theirs.get('kéy')
    const isWaitedFor = (lock: LockInfo): boolean => lock.collection === mine.name && lock.waiters === 1
    const seen = await until(async () => (await a.locks()).find(isWaitedFor))
    t.match(seen, { key: 'kéy', owner: 'the é 😀 job', fence: lock.fence })
    t.ok(Math.abs(seen.since.getTime() - Date.now()) < 10_000)
    t.ok(seen.expiresAt!.getTime() > Date.now() + 90_000)
    t.notOk(JSON.stringify(seen).includes(lock.token))
    const lost = new Promise(resolve => { lock.signal.addEventListener('abort', resolve) })
    t.equal(await mine.breakLock('kéy', { fence: lock.fence - 1 }), false, 'a fence of another grant')
    t.ok(lock.held)
    t.equal(await mine.breakLock('kéy', { fence: lock.fence }), true)
    await wait
    await lost
    await t.rejects(lock.release(), { code: 'STORE_LOCK_LOST' })
    t.equal(await mine.breakLock('kéy'), false)
  },

  async 'biggest lists the largest entries, and continues from a cursor' (t, { mine }) {
    await mine.setMany(Array.from({ length: 30 }, (_, i) => [`key ${i}`, 'x'.repeat(i)] as const))
    const { keys, examined, cursor } = await mine.biggest({ limit: 2 })
    t.match(keys, [{ key: 'key 29', bytes: 31, expiresAt: undefined }, { key: 'key 28', bytes: 30 }])
    t.equal(keys.length, 2)
    t.strictSame([examined, cursor], [30, undefined])
    const part = await mine.biggest({ examine: 10 })
    const rest = await mine.biggest({ cursor: part.cursor })
    t.equal(part.examined + rest.examined, 30)
    for (const options of [
      { limit: 0 }, { limit: 1001 }, { examine: 0 }, { examine: 100_001 }, { cursor: 'no cursor' }
    ]) {
      await t.rejects(mine.biggest(options), { code: 'STORE_OPTION_INVALID' })
    }
  },

  async 'locks returns at most the given number of locks' (t, { mine }, a) {
    const held = await Promise.all(Array.from({ length: 12 }, (_, i) => mine.acquire(`key ${i}`)))
    t.equal((await a.locks({ limit: 5 })).length, 5)
    t.strictSame((await a.locks({ limit: 12 })).map(({ key }) => key).sort(), held.map(({ key }) => key).sort())
    t.equal((await a.locks()).length, 12)
    for (const limit of [0, 1.5, 1001]) await t.rejects(a.locks({ limit }), { code: 'STORE_OPTION_INVALID' })
    await Promise.all(held.map(lock => lock.release()))
  },

  async 'clear waits for a locked key' (t, { mine, theirs }) {
    await mine.setMany([['free', 1], ['held', 1]])
    const lock = await mine.acquire('held')
    const cleared = mine.clear()
    t.equal(await mine.get('free'), undefined)
    lock.set(2)
    await lock.release()
    await cleared
    t.equal(await theirs.get('held'), undefined)
    t.equal(await mine.size(), 0)
  },

  async 'clear with timeout: 0 does not wait for locked keys' (t, { mine, theirs }) {
    const names = ['free', 'held', 'taken', 'other']
    for (const options of [{}, { prefix: '' }]) {
      await mine.setMany(names.map(name => [name, 1] as const))
      const lock = await mine.acquire('held')
      const other = await theirs.acquire('taken')
      await t.rejects(mine.clear({ ...options, timeout: 0 }), { code: 'STORE_LOCKED' })
      t.strictSame(
        [await theirs.get('free'), await mine.get('other'), await mine.size()], [undefined, undefined, 2],
        'unlocked keys are deleted'
      )
      await lock.release()
      await other.release()
      t.strictSame(await mine.getMany(['held', 'taken']), [1, 1], 'locked keys are kept')
      await mine.clear({ ...options, timeout: 0 })
      t.equal(await mine.size(), 0)
    }
    const lock = await theirs.acquire('held')
    await t.rejects(mine.clear({ timeout: 0.02 }), { code: 'STORE_TIMEOUT' })
    await lock.release()
  },

  async 'clear takes effect in call order' (t, { mine, theirs }) {
    for (const options of [{}, { prefix: 'a' }]) {
      await mine.setMany([['a1', 'old'], ['a2', 'old'], ['b', 'old']])
      const cleared = mine.clear(options)
      const read = mine.get('a1')
      const written = mine.set('a1', 'new')
      t.equal(await read, undefined)
      await Promise.all([cleared, written])
      t.strictSame(await mine.getMany(['a1', 'a2', 'b']), [
        'new', undefined, options.prefix === undefined ? undefined : 'old'
      ])
    }
    const lock = await theirs.acquire('a1')
    const given = mine.clear({ prefix: 'a', timeout: 0.02 })
    await t.rejects(given, { code: 'STORE_TIMEOUT' })
    await lock.set('kept')
    await lock.release()
    t.equal(await theirs.get('a1'), 'kept', 'a clear that has timed out deletes nothing more')
    await mine.clear({ prefix: 'a' })
    t.strictSame(await mine.getMany(['a1', 'b']), [undefined, 'old'])
  },

  async 'a ttl that passes while the key is locked applies before the next call in the queue' (t, { mine, theirs }) {
    await mine.set('key', 1, { ttl: 0.05 })
    const lock = await mine.acquire('key')
    const waits = [theirs.get('key'), mine.touch('key', { ttl: 1000 }), mine.increment('key')]
    const later = Date.now() + 80
    await until(async () => Date.now() > later && ((await mine.lockInfo('key'))?.waiters ?? 0) === 3)
    await lock.release()
    t.strictSame(await Promise.all(waits.slice(1)), [false, 1])
    t.ok([undefined, 1].includes(await waits[0] as number), 'no call reads an expired value')
    t.equal((await mine.entry('key'))!.expiresAt, undefined)
  },

  async 'unconfirmed writes stay in order with the other calls of a process' (t, { mine, theirs }) {
    for (let i = 0; i < 200; i++) {
      mine.set('key', i, { confirm: false }).catch(t.threw)
      if (i % 50 === 0) t.equal(await mine.get('key'), i)
    }
    t.equal(await mine.get('key'), 199)
    t.equal(await theirs.get('key'), 199)
    t.equal(await mine.set('key', 'x', { confirm: false }), 0)
    t.equal(await mine.del('key', { confirm: false }), true)
    t.equal(await mine.get('key'), undefined)
  },

  async 'unconfirmed calls that the store rejects are ignored' (t, { mine, theirs }, a) {
    const errors: string[] = []
    a.on('error', error => { errors.push(error.message) })
    const version = await mine.set('key', 1)
    await mine.set('key', 2, { confirm: false, ifVersion: version + 1 })
    await mine.set('key', 3, { confirm: false, ifAbsent: true })
    await mine.set('none', 4, { confirm: false, ifPresent: true })
    await mine.del('key', { confirm: false, ifVersion: version + 1 })
    await mine.set('key', 5, { confirm: false, token: 'of-a-lock-that-ended', release: true })
    t.equal(await mine.get('key'), 1)
    t.equal(await theirs.get('none'), undefined)
    t.strictSame(errors, [])
  },

  async 'a single write can evict many keys' (t, { mine }) {
    const many = Array.from({ length: 2000 }, (_, i) => [`key ${i}`, i] as [string, number])
    await mine.configure({ maxBytes: 50_000 })
    const large = 'x'.repeat(40_000)
    await mine.setMany(many)
    await mine.set('large', large)
    t.equal(await mine.get('large'), large)
    await mine.del('large')
    await mine.setMany(many)
    const lock = await mine.acquire('locked')
    lock.set(large)
    await lock.release()
    t.equal(await mine.get('locked'), large)
    t.ok((await mine.stats())!.bytes <= 50_000 + large.length, 'exceeds the bound by at most one value')
  },

  async 'collections are listed in pages' (t, { mine }, a) {
    const names = Array.from({ length: 12 }, (_, i) => `${mine.name} ${i} é`)
    for (const name of names) await a.collection(name).set('key', 1)
    const found: string[] = []
    let cursor: string | undefined
    do {
      const page = await a.page({ limit: 5, cursor })
      t.ok(page.collections.length <= 5)
      found.push(...page.collections.map(({ name }) => name))
      cursor = page.cursor
    } while (cursor !== undefined)
    t.strictSame(names.filter(name => found.filter(other => other === name).length !== 1), [], 'each is listed once')
    await t.rejects(a.page({ cursor: 'no-cursor' }), { code: 'STORE_OPTION_INVALID', message: /invalid cursor/ })
    await t.rejects(mine.page({ cursor: 'no-cursor' }), { code: 'STORE_OPTION_INVALID', message: /invalid cursor/ })
    for (const name of names) await a.collection(name).clear()
  },

  async 'a page is as full as its limit allows while there is more to list' (t, { mine }, a) {
    await mine.configure({ expireKeys: 100 })
    await mine.setMany(Array.from({ length: 400 }, (_, i) => [`key ${i}`, 'x'.repeat(i % 2 * 2000)] as const))
    const { keys, cursor } = await mine.page({ limit: 300 })
    t.ok(keys.length >= 300 && cursor !== undefined, `${keys.length} keys`)
    const rest = await mine.page({ limit: 300, cursor })
    t.strictSame([keys.length + rest.keys.length, rest.cursor], [400, undefined])
    const found: string[] = []
    for await (const key of mine.keys({ prefix: 'key 39' })) found.push(key)
    t.equal(found.length, 11, 'key 39, and key 390 to key 399')

    const names = Array.from({ length: 61 }, (_, i) => `${mine.name} ${i}`)
    await Promise.all(names.map(name => a.collection(name).set('key', 1)))
    t.equal((await a.page({ limit: 60 })).collections.length, 60)
    await Promise.all([mine, ...names.map(name => a.collection(name))].map(collection => collection.clear()))
  },

  async 'stats report sizes, options and counters' (t, { mine }, a) {
    await mine.configure({ expireKeys: 100, maxKeys: 2 })
    await mine.setMany([['a', 'é'], ['b', 1], ['c', 2]])
    await mine.get('c')
    let page = await a.page({ limit: 5 })
    const pages = [page]
    while (page.cursor !== undefined) pages.push(page = await a.page({ limit: 5, cursor: page.cursor }))
    const paged = pages.flatMap(({ collections }) => collections.map(({ name }) => name))
    t.ok(paged.includes(mine.name) && new Set(paged).size === paged.length, 'each is listed once')
    for (const options of [{ limit: 0 }, { cursor: '' }]) {
      await t.rejects(a.page(options), { code: 'STORE_OPTION_INVALID' })
    }
    const stats = (await a.collections()).find(({ name }) => name === mine.name)
    t.match(stats, { keys: 2, bytes: 4, locks: 0, waiters: 0, writes: 3, evicted: 1, expired: 0 })
    t.match(stats, { expireKeys: 100, maxKeys: 2, maxBytes: 0, evict: true })
    const sums = await a.stats()
    t.ok(sums.collections >= 1 && sums.keys >= 2 && sums.writes >= 3)
    await mine.set('c', 'text')
    await t.rejects(mine.increment('c'), { code: 'STORE_NOT_A_NUMBER' })
    const later = await a.stats()
    if (later.processes === undefined) return // no process counts the calls of this engine
    t.ok(later.calls!.increment! > sums.calls!.increment! && later.refused!.increment!.STORE_NOT_A_NUMBER! >= 1)
    t.ok(later.processes >= 1 && later.uptime! > 0)
    t.ok((await until(async () => (await a.stats()).loopDelay)).max >= 0)
    t.ok(later.waits!.length === 9 && later.waits!.every(count => count >= 0))
  },

  async 'calls take effect in the order they were made, also while a get of the same key is pending' (t, { mine }) {
    const all = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
      const found: T[] = []
      for await (const item of items) found.push(item)
      return found
    }
    for (const options of [{}, { confirm: false }]) {
      const after = async <T>(read: () => Promise<T>): Promise<T> => {
        await mine.clear()
        const get = mine.get('key')
        const set = mine.set('key', 1, options)
        const found = await read()
        t.equal(await get, undefined)
        await set
        return found
      }
      t.equal(await after(() => mine.size()), 1)
      t.equal(await after(async () => (await mine.stats())!.keys), 1)
      t.equal(await after(async () => (await mine.page()).keys.length), 1)
      t.strictSame(await after(() => all(mine.keys())), ['key'])
      t.strictSame(await after(() => all(mine.entries())), [['key', 1]])
      t.equal(await after(() => mine.get('key')), 1)
      const version = await after(() => mine.set('later', 1))
      t.ok((await mine.entry('key'))!.version < version)
      await mine.del('later')
      const gone = [mine.get('key'), mine.del('key', options), mine.size()]
      t.strictSame((await Promise.all(gone)).filter((_, i) => i !== 1), [1, 0])
    }
  },

  async 'JSON text is stored unchanged' (t, { mine, theirs }) {
    await mine.text.set('key', '{ "a" : [1, "é"] }')
    t.equal(await mine.text.get('key'), '{ "a" : [1, "é"] }')
    t.strictSame(await theirs.get('key'), { a: [1, 'é'] })
    await t.rejects(mine.text.set('key', '{'), { code: 'STORE_VALUE_INVALID' })
  }
}
