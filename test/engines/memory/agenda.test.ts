// Background work: it is done even in an idle process, in slices that do not depend on how much is due.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { Request, type Op, type Reply } from '../../../src/core/engine.js'
import type { Bytes } from '../../../src/core/value.js'
import { Budget } from '../../../src/engines/memory/agenda.js'
import { dispatch } from '../../../src/engines/memory/dispatch.js'
import { MemoryEngine } from '../../../src/engines/memory/engine.js'
import { Keyspace } from '../../../src/engines/memory/keyspace.js'
import { Caller } from '../../../src/engines/memory/lock.js'
import { Shard } from '../../../src/engines/memory/shard.js'
import { createStore } from '../../../src/index.js'
import { heap } from '../../faults/heap.js'
import { kept } from '../../support/kept-reply.js'

class User extends Caller {
  readonly label = 'user'
  readonly answers = new Map<number, Reply>()
  #ids = 0
  constructor (readonly keyspace: Keyspace) { super() }
  answer (id: number, reply: Reply<Bytes>): void { this.answers.set(id, kept(reply)) }
  lost (): void {}

  ask (op: Op, key: string, fields: Partial<Request> = {}, collection = 'c'): number {
    dispatch(this.keyspace, Object.assign(new Request(op, collection, key), fields), this, ++this.#ids)
    return this.#ids
  }

  now (op: Op, key: string, fields: Partial<Request> = {}, collection = 'c'): Reply {
    return this.answers.get(this.ask(op, key, fields, collection))!
  }
}

/** A budget that is spent at the first reading of the clock. */
function shortest (): Budget {
  let looks = 0
  return new Budget(() => looks++ * 1000)
}

function setUp (start = 0) {
  let time = start
  const keyspace = new Keyspace({ time: () => time })
  const user = new User(keyspace)
  const advance = (ms: number): void => {
    time += ms
    keyspace.clock.tick()
  }
  return { keyspace, user, advance }
}

t.test('an idle process does the work that is due, with at most one timer', async t => {
  const keyspace = new Keyspace()
  const engine = new MemoryEngine(keyspace)
  const gone = new User(keyspace)
  for (let i = 0; i < 5000; i++) gone.now('acquire', `held ${i}`)
  for (let i = 0; i < 5000; i++) gone.now('set', `key ${i}`, { text: '1', ttl: 1 })
  const timers = process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const waits = [0, 2500, 4999].map(i => engine.call(new Request('acquire', 'c', `held ${i}`)))
  t.ok(process.getActiveResourcesInfo().filter(name => name === 'Timeout').length <= timers + 1)
  keyspace.leave(gone, shortest())
  t.ok(gone.holding.size > 4000, 'one slice does not release all locks')
  for (const wait of waits) t.ok((await wait).token)
  t.equal(gone.holding.size, 0)
  await engine.close()
})

t.test('leases are expired before keys, however many keys are due', async t => {
  const { keyspace, user, advance } = setUp()
  for (let i = 0; i < 10_000; i++) user.now('set', `key ${i}`, { text: '1', ttl: 100 })
  user.now('acquire', 'lock', { lease: 200 })
  const wait = user.ask('acquire', 'lock')
  advance(150)
  keyspace.sweep(shortest())
  advance(100)
  keyspace.sweep(shortest())
  t.ok(user.answers.get(wait)?.token, 'in the next slice')
  t.ok(keyspace.collection('c').size > 9000)
})

t.test('a slice of any work checks the clock at the same interval', async t => {
  const { keyspace, user, advance } = setUp()
  const STEPS = 32
  const count = 2000
  const gone = new User(keyspace)
  const collection = keyspace.collection('c')
  user.now('acquire', 'hot')
  const many = (op: Op, fields?: Partial<Request>, by = user): void => {
    for (let i = 0; i < count; i++) by.ask(op, `key ${i}`, fields)
  }
  const kinds: Record<string, [start: () => void, left: () => number]> = {
    'locks of a caller that has left': [
      () => {
        many('acquire', {}, gone)
        keyspace.leave(gone, shortest())
      },
      () => gone.holding.size
    ],
    leases: [
      () => {
        many('acquire', { lease: 10 })
        advance(1000)
      },
      () => collection.locks.size - 1
    ],
    keys: [
      () => {
        many('set', { text: '1', ttl: 10 })
        advance(1000)
      },
      () => collection.size
    ],
    collections: [
      () => {
        for (let i = 0; i < count; i++) user.now('size', '', {}, `empty ${i}`)
        advance(60_000)
      },
      () => keyspace.collections.size - 1
    ]
  }
  for (const [name, [start, left]] of Object.entries(kinds)) {
    start()
    let before = left()
    t.ok(before >= count - STEPS, `${before} ${name}`)
    let most = 0
    while (keyspace.sweep(shortest())) {
      most = Math.max(most, before - left())
      before = left()
    }
    t.ok(most > 0 && most <= STEPS, `${most} ${name} in a slice`)
    t.equal(left(), 0)
  }
})

t.test('acquiring or releasing one of very many locks moves a bounded number of entries', async t => {
  const { user } = setUp()
  const { add } = Shard.prototype
  t.teardown(() => { Shard.prototype.add = add })
  let moved = 0
  Shard.prototype.add = function (...args) { moved++; add.apply(this, args) }
  let most = 0
  let all = 0
  const step = <T>(work: () => T): T => {
    moved = 0
    const result = work()
    all += moved
    most = Math.max(most, moved)
    return result
  }
  const count = 20_000
  const tokens = Array.from({ length: count }, (_, i) => step(() => user.now('acquire', `key ${i}`)).token!)
  for (const [i, token] of tokens.entries()) step(() => user.now('release', `key ${i}`, { token }))
  t.ok(all > count, `${all} moves`)
  t.ok(most < 3000, `${most} at once`)
})

t.test('costs do not depend on the number of collections', async t => {
  const { keyspace, user, advance } = setUp()
  const count = 10_000
  for (let i = 0; i < count; i++) user.now('set', 'key', { text: '1' }, `collection ${i}`)
  advance(60_000)
  while (keyspace.sweep(new Budget())) { /* checks collections that may be empty */ }
  configureIdle(user)
  let looks = 0
  const budget = new Budget(() => { looks++; return 0 })
  keyspace.sweep(budget)
  t.equal(user.now('size', '', {}, 'collection 7').number, 1)
  t.match(JSON.parse(user.now('stats', '').text!), {
    collections: count + 1, keys: count, bytes: 4 * count, writes: count
  })
  t.ok(looks <= 2, `${looks} readings of the clock`)

  const seen: string[] = []
  let cursor: string | undefined
  let pages = 0
  do {
    const page = JSON.parse(
      user.now('collections', '', { number: 1e9, ...(cursor === undefined ? {} : { cursor }) }).text!
    ) as { collections: Array<{ name: string }>; cursor?: string }
    if (page.collections.length > 260) t.fail('a page is too long')
    seen.push(...page.collections.map(({ name }) => name))
    cursor = page.cursor
    if (++pages === 10) for (let i = 0; i < 2000; i++) user.now('set', 'key', { text: '1' }, `late ${i}`)
  } while (cursor !== undefined)
  t.equal(seen.filter(name => name.startsWith('collection')).length, count)
  t.equal(new Set(seen).size, seen.length)
  for (const bad of ['-1', 'x', '4294967296']) {
    t.equal(user.now('collections', '', { cursor: bad }).code, 'STORE_OPTION_INVALID')
  }

  for (let i = 0; i < count; i++) user.now('set', 'key', { text: '1', ttl: 1000 }, `collection ${i}`)
  advance(1001)
  let slices = 1
  while (keyspace.sweep(shortest())) slices++
  t.ok(slices > count / 40, `${slices} slices`)
  t.equal(keyspace.counters.totals.expired, count)
})

function configureIdle (user: User): void {
  user.now('configure', '', { text: '{"idle":3600000}' }, 'configured')
}

t.test('totals of all collections are updated with each change', async t => {
  const { keyspace, user, advance } = setUp()
  const names = ['a', 'b', 'c']
  let random = 7
  const pick = (n: number): number => (random = random * 48271 % 2147483647) % n
  user.now('configure', '', { text: '{"maxKeys":5,"idle":300}' }, 'b')
  const tokens: Array<[string, string, string]> = []
  for (let i = 0; i < 5000; i++) {
    const [collection, key] = [names[pick(3)]!, `key ${pick(12)}`]
    const op = (['set', 'set', 'get', 'del', 'acquire', 'clear', 'release'] as const)[pick(7)]!
    if (op === 'release') {
      const held = tokens.shift()
      if (held !== undefined) user.now('release', held[1], { token: held[2] }, held[0])
    } else if (op !== 'clear' || pick(10) === 0) {
      const id = user.ask(
        op, op === 'clear' ? 'key 1' : key,
        { text: 'x'.repeat(pick(20)), nowait: pick(2) === 0, ...(pick(3) === 0 ? { ttl: 200 } : {}) }, collection
      )
      const token = user.answers.get(id)?.token
      if (token !== undefined) tokens.push([collection, key, token])
    }
    if (i % 10 === 0) advance(pick(100))
    if (i % 50 === 0) while (keyspace.sweep(new Budget())) { /* to the end */ }
    const all = names.map(name => keyspace.collection(name))
    const sum = (of: (collection: typeof all[0]) => number): number => all.reduce((sum, one) => sum + of(one), 0)
    const { keys, bytes, locks, waiters } = keyspace.counters.totals
    const expected = [
      sum(({ size }) => size), sum(({ bytes }) => bytes), sum(one => one.locks.size), sum(one => one.waiters)
    ]
    if ([keys, bytes, locks, waiters].join() !== expected.join()) {
      t.fail(`after ${i} steps: ${keys},${bytes},${locks},${waiters} for ${expected.join()}`)
    }
  }
  t.pass('the totals match after every step')
})

t.test('a ttl that passes while the key is locked takes effect before the next call in the queue', async t => {
  const { keyspace, user, advance } = setUp()
  for (const sweeps of [true, false]) {
    user.now('set', 'key', { text: '1', ttl: 100 })
    const { token } = user.now('acquire', 'key')
    const [get, touch, set, increment, del] = [
      user.ask('get', 'key'), user.ask('touch', 'key', { ttl: 1e6 }),
      user.ask('set', 'key', { text: '5', ifAbsent: true }), user.ask('increment', 'key'), user.ask('del', 'key')
    ]
    const next = user.ask('acquire', 'key')
    advance(101)
    if (sweeps) while (keyspace.sweep(new Budget())) { /* to the end */ }
    t.equal(user.now('get', 'key', { token: token! }).text, '1', 'the lock owner can still read it')
    t.equal(user.now('entry', 'key', { token: token! }).expiresIn, 0)
    user.now('release', 'key', { token: token! })
    t.strictSame(
      [get, touch, set, increment, del].map(id => [user.answers.get(id!)?.text, user.answers.get(id!)?.number]),
      [
        [undefined, undefined], [undefined, 0], [undefined, 1], [undefined, 6], [undefined, 1]
      ]
    )
    t.equal(user.answers.get(next)?.text, undefined)
    user.now('release', 'key', { token: user.answers.get(next)!.token! })
  }
  user.now('set', 'key', { text: '1', ttl: 100 })
  const { token } = user.now('acquire', 'key')
  advance(101)
  while (keyspace.sweep(new Budget())) { /* handles the expiry */ }
  user.now('set', 'key', { text: '2', ttl: 100, token: token!, release: true })
  t.equal(user.now('get', 'key').text, '2', 'the lock owner can set a new ttl')
  advance(101)
  t.equal(user.now('get', 'key').text, undefined)
})

t.test('clear takes effect in call order, whatever the number of keys', async t => {
  const { keyspace, user, advance } = setUp()
  const entries = keyspace.collection('c')
  const clear = (prefix: string, fields = {}): number => user.ask('clear', prefix, fields)
  for (let i = 0; i < 20_000; i++) {
    user.now('set', `${i % 2 === 0 ? 'a' : 'b'}:${i}`, { text: '1', ...(i % 3 === 0 ? { ttl: 1e6 } : {}) })
  }
  const held = ['a:2', 'a:4', 'a:6', 'b:1'].map(key => user.now('acquire', key).token!)
  const given = new User(keyspace)
  const first = clear('a:')
  const aborted = given.ask('clear', 'a:')
  const refused = clear('a:', { nowait: true })
  const size = user.ask('size', '')
  t.equal(user.now('get', 'a:100').text, undefined, 'cleared for all callers immediately')
  t.equal(user.now('set', 'a:100', { text: '"new"' }).number, 1)
  t.equal(user.now('set', 'a:19998', { text: '"new"', ifVersion: 0 }).number, 1)
  t.equal(user.now('touch', 'a:102', { ttl: 1e6 }).number, 0)
  t.notMatch(user.now('scan', 'a:1', { number: 1000 }).text, /a:12345/)
  t.match(JSON.parse(user.now('lock', 'a:2').text!), { waiters: 2, queue: [{ op: 'clear' }, { op: 'clear' }] })
  const second = clear('a:19998')
  t.equal(user.now('get', 'a:19998').text, undefined)
  const before = user.ask('set', 'a:2', { text: '"after"' })
  keyspace.sweep(shortest())
  t.ok(entries.size > 15_000, 'removed in slices')
  user.now('set', 'a:2', { text: '"held"', token: held[0]!, release: true })
  t.ok(user.answers.has(before))
  t.equal(
    user.now('get', 'a:2').text, '"after"', 'the write of the lock owner is cleared, the write after the clear is kept'
  )
  given.keyspace.cancel(given, aborted)
  t.equal(given.answers.get(aborted)?.code, 'STORE_ABORTED')
  let slices = 1
  while (keyspace.sweep(shortest())) slices++
  t.ok(slices > 10, `${slices} slices`)
  t.equal(user.answers.get(refused)?.code, 'STORE_LOCKED')
  t.ok(user.answers.has(second))
  t.notOk(user.answers.has(first), 'it waits for the locked keys')
  t.equal(user.answers.get(size)?.number, entries.size, 'the size does not include cleared keys')
  t.equal(entries.size, 10_000 + 4, 'of the prefix a:, the locked keys and later writes are left')
  user.now('release', 'a:4', { token: held[1]! })
  t.equal(user.now('get', 'a:4').text, undefined)
  keyspace.cancel(user, first)
  user.now('release', 'a:6', { token: held[2]! })
  t.equal(user.now('get', 'a:6').text, '1', 'a canceled clear deletes nothing more')
  user.now('release', 'b:1', { token: held[3]! })
  t.equal(user.now('get', 'b:1').text, '1', 'other keys are kept')
  user.now('clear', '')
  t.equal(entries.size, 0)
  t.equal(keyspace.collection('c').waiters + user.waiting.size, 0)
  advance(60_000)
  while (keyspace.sweep(new Budget())) { /* to the end */ }
  t.equal(keyspace.collections.size, 0, 'the empty collection is removed')
})

t.test('clear completes if the table shrinks', async t => {
  const { keyspace, user } = setUp()
  const sweep = (): boolean => {
    for (let slices = 0; slices < 1000; slices++) if (!keyspace.sweep(shortest())) return true
    return false
  }
  for (let i = 0; i < 4000; i++) user.now('set', `${i % 2 === 0 ? 'a' : 'b'}:${i}`, { text: '1' })
  user.ask('clear', 'a:')
  keyspace.sweep(shortest())
  const second = user.ask('clear', 'b:1')
  for (let i = 1; i < 4000; i += 2) user.now('del', `b:${i}`)
  for (let i = 0; i < 4000; i += 2) user.now('get', `a:${i}`)
  t.ok(sweep())
  t.ok(user.answers.has(second))
  t.equal(keyspace.collection('c').size, 0)
})

t.test('a slice of a clear ends after a few keys, even if another clear has passed them', async t => {
  const { keyspace, user } = setUp()
  const entries = keyspace.collection('c')
  for (let i = 0; i < 2000; i++) user.now('set', `${i % 2 === 0 ? 'a' : 'b'}:${i}`, { text: '1' })
  const removed = (): number => {
    const before = entries.size
    keyspace.sweep(shortest())
    return before - entries.size
  }
  user.ask('clear', 'a:')
  for (let i = 0; i < 5; i++) t.ok(removed() <= 32)
  const second = user.ask('clear', 'b:')
  for (let i = 0; i < 5; i++) user.now('set', `a:${2 * i}`, { text: '2' })
  while (!user.answers.has(second)) t.ok(removed() <= 32)
  t.equal(entries.size, 5, 'writes after the clear are kept')
})

t.test('a waiting clear ends with its caller, and tracks many locked keys in slices', async t => {
  const { keyspace, user } = setUp()
  const gone = new User(keyspace)
  const tokens = Array.from({ length: 5000 }, (_, i) => {
    user.now('set', `key ${i}`, { text: '1' })
    return user.now('acquire', `key ${i}`).token!
  })
  gone.ask('clear', '')
  const mine = user.ask('clear', 'key 4')
  keyspace.sweep(shortest())
  keyspace.leave(gone)
  t.equal(gone.waiting.size, 0)
  while (keyspace.sweep(shortest())) { /* to the end */ }
  for (const [i, token] of tokens.entries()) {
    if (i === 4999) t.notOk(user.answers.has(mine))
    user.now('release', `key ${i}`, { token })
  }
  t.equal(user.answers.get(mine)?.code, undefined)
  t.ok(user.answers.has(mine))
  t.equal(keyspace.collection('c').size, 5000 - 1111)
})

t.test('bounds are exceeded by one value at most, until the next sweep', async t => {
  const { keyspace, user, advance } = setUp()
  const entries = keyspace.collection('c')
  const maxBytes = 2 ** 20
  user.now('configure', '', { text: JSON.stringify({ maxBytes }) })
  for (let i = 0; i < 12_000; i++) user.now('set', `small ${i}`, { text: 'x'.repeat(80) })
  for (let i = 0; i < 30; i++) {
    const before = entries.bytes
    t.equal(user.now('set', `large ${i}`, { text: 'x'.repeat(900_000) }).code, undefined)
    if (entries.bytes > maxBytes + 900_008 || (before > maxBytes && entries.bytes > before)) {
      t.fail(`${before}, then ${entries.bytes}`)
    }
    if (i % 3 > 0) continue
    while (keyspace.sweep(shortest())) { /* to the end */ }
    t.ok(entries.bytes <= maxBytes)
  }
  user.now('clear', '')
  user.now('configure', '', { text: '{"maxBytes":0}' })
  for (let i = 0; i < 20_000; i++) user.now('set', `key ${i}`, { text: '1' })
  user.now('configure', '', { text: '{"maxKeys":10}' })
  t.equal(user.now('set', 'one more', { text: '1' }).code, undefined)
  t.ok(entries.size <= 20_000, 'a write does not exceed lowered bounds any further')
  while (keyspace.sweep(shortest())) { /* to the end */ }
  t.equal(entries.size, 10)

  user.now('configure', '', { text: '{"maxKeys":3,"evict":false}' }, 'kept')
  for (const key of ['a', 'b', 'c']) user.now('set', key, { text: '1', ttl: 100 }, 'kept')
  t.equal(user.now('set', 'd', { text: '1' }, 'kept').code, 'STORE_FULL')
  advance(101)
  t.equal(user.now('set', 'd', { text: '1' }, 'kept').code, undefined, 'expired keys do not count')
  t.match(keyspace.collection('kept'), { evicted: 0, expired: 2 })
})

t.test('years of uptime and changes have no effect', async t => {
  const behaves = (days: number, revision: number): void => {
    const { keyspace, user, advance } = setUp()
    advance(days * 86_400_000)
    keyspace.context.revision = revision
    for (let i = 0; i < 10_000; i++) {
      user.now('set', `key ${i}`, { text: '1', ...(i % 2 === 0 ? { ttl: 40 * 86_400_000 } : {}) })
    }
    t.equal(keyspace.values.versionOf(keyspace.collection('c').find('key 7')!), user.now('entry', 'key 7').version)
    t.equal(keyspace.collection('c').find('key 7')!.version, revision + 8)
    user.now('configure', '', { text: `{"idle":${50 * 86_400_000}}` })
    advance(40 * 86_400_000 + 1)
    t.equal(user.now('get', 'key 8').text, undefined)
    t.equal(user.now('get', 'key 9').text, '1')
    advance(10 * 86_400_000)
    t.equal(user.now('get', 'key 11').text, undefined)
    t.equal(user.now('get', 'key 9').text, '1')
  }
  behaves(0, 0)
  behaves(4000, 2 ** 48)
})

t.test('keys and collections take little memory, and no more after years', async t => {
  const program = fileURLToPath(new URL('footprint.js', import.meta.url))
  const { stdout } = await promisify(execFile)('env', [
    '-u', 'NODE_OPTIONS', process.execPath, '--expose-gc', '--single-threaded', program
  ])
  const [fresh, month, years] = JSON.parse(stdout) as Array<Record<string, number>>
  t.comment(stdout)
  t.ok(fresh!.keys! <= 133, 'a key')
  t.ok(fresh!.collections! <= 400, 'a collection with one key')
  t.ok(fresh!.timedCollections! <= 500, 'with a ttl')
  for (const aged of [month, years]) {
    for (const [name, bytes] of Object.entries(fresh!)) {
      t.ok(Math.abs(aged![name]! / bytes - 1) < 0.07, `${name}: ${aged![name]} bytes each, ${bytes} when new`)
    }
  }
})

t.test('a collection that has been empty for a while takes no memory', async t => {
  const { keyspace, user, advance } = setUp()
  const count = 5000
  const use = (): void => { for (let i = 0; i < count; i++) user.now('set', 'key', { text: '1' }, `collection ${i}`) }
  use()
  user.answers.clear()
  const before = heap()
  for (let i = 0; i < count; i++) user.now('set', 'key', { text: '1' }, `other ${i}`)
  for (const name of ['collection', 'other']) for (let i = 0; i < count; i++) user.now('del', 'key', {}, `${name} ${i}`)
  user.answers.clear()
  advance(59_000)
  while (keyspace.sweep(new Budget())) { /* to the end */ }
  t.equal(keyspace.collections.size, 0)
  t.ok(heap() < before, 'all memory is freed')
  use()
  t.equal(keyspace.collections.size, count)
})

t.test('a ttl and a lease can be longer than 24.8 days', async t => {
  const store = createStore('memory:')
  const collection = store.collection('long')
  const seconds = 40 * 86_400
  await collection.set('key', 1, { ttl: seconds })
  const lock = await collection.acquire('lock', { lease: seconds })
  await new Promise(resolve => setTimeout(resolve, 20))
  t.equal(await collection.get('key'), 1)
  t.equal(lock.held, true)
  t.ok(lock.expiresAt!.getTime() > Date.now() + (seconds - 60) * 1000)
  await store.close()
})
