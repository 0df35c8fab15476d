// Near caches in the keyspace, on a clock that the tests advance: the copies that clients keep, and changes that wait
// for their revocation.
import t from 'tap'
import { Request, type Reply } from '../../../src/core/engine.js'
import type { Bytes } from '../../../src/core/value.js'
import { Budget } from '../../../src/engines/memory/agenda.js'
import { dispatch } from '../../../src/engines/memory/dispatch.js'
import { Keyspace } from '../../../src/engines/memory/keyspace.js'
import { Caller } from '../../../src/engines/memory/lock.js'
import { kept } from '../../support/kept-reply.js'

const LEASE = 50

class Client extends Caller {
  readonly label = 'client'
  readonly revoked: number[] = []
  readonly replies = new Map<number, Reply<Bytes>>()
  #ids = 0

  constructor (readonly keyspace: Keyspace, readonly isNear = true) {
    super()
  }

  override get keepsCopies (): boolean { return this.isNear }

  override revoke (id: number): void { this.revoked.push(id) }
  answer (id: number, reply: Reply<Bytes>): void { this.replies.set(id, kept(reply)) }
  lost (): void {}

  /** The reply, if there is one immediately. */
  call (op: Request['op'], key: string, fields: Partial<Request> = {}): { readonly reply: Reply<Bytes> | undefined } {
    const id = ++this.#ids
    const { replies } = this
    dispatch(this.keyspace, Object.assign(new Request(op, 'c', key), fields), this, id)
    return { get reply () { return replies.get(id) } }
  }

  /** Reads a value, and gets a lease. */
  copy (key: string): number {
    this.call('ping', '', { number: 0 })
    return this.call('get', key).reply!.near!
  }
}

function setUp (options: object = {}) {
  let now = 0
  const keyspace = new Keyspace({ time: () => now })
  const [a, b, c] = [new Client(keyspace), new Client(keyspace), new Client(keyspace, false)]
  c.call('configure', '', { text: JSON.stringify({ near: LEASE, ...options }) })
  const pass = (ms: number, isSwept = true): void => {
    now += ms
    keyspace.clock.tick()
    if (isSwept) keyspace.sweep(new Budget())
  }
  return { keyspace, a, b, c, pass }
}

t.test('a change waits until other clients have acknowledged the revocation of their copies', async t => {
  const { keyspace, a, b, c } = setUp()
  c.call('set', 'k', { text: '1' })
  t.match(a.call('get', 'k').reply, { text: '1', number: LEASE, near: Number, version: Number })
  const [first, second] = [a.copy('k'), b.copy('k')]
  const set = c.call('set', 'k', { text: '2' })
  const get = c.call('get', 'k')
  t.equal(set.reply, undefined)
  t.match([a.revoked, b.revoked], [[first], [second]])
  t.equal(c.call('set', 'other', { text: '1' }).reply?.code, undefined, 'other keys are not delayed')
  keyspace.context.copies.acknowledge(a, first, 9)
  t.equal(set.reply, undefined)
  keyspace.context.copies.acknowledge(b, first, 9)
  t.equal(set.reply, undefined, 'an id is valid for one connection')
  keyspace.context.copies.acknowledge(b, second, 9)
  t.ok(set.reply)
  t.equal(get.reply?.text, '2')
  t.match(keyspace.counters.near, { copies: 0, revocations: 2, waits: 1 })
})

t.test('copies are looked up only for changes of keys that had some', async t => {
  const { keyspace, a, c } = setUp()
  for (const key of ['k', 'kept', 'other']) c.call('set', key, { text: '1' })
  a.copy('kept')
  const id = a.copy('k')
  const recalled: string[] = []
  const { copies } = keyspace.context
  const recall = copies.recall.bind(copies)
  copies.recall = (collection, key) => {
    recalled.push(key)
    return recall(collection, key)
  }
  for (const key of ['other', 'new', 'k']) c.call('set', key, { text: '2' })
  copies.acknowledge(a, id, 9)
  for (let i = 0; i < 2; i++) c.call('set', 'k', { text: '2' })
  t.strictSame(recalled, ['k', 'k'], 'twice, since another copy may have been granted during the first change')
})

t.test('a change waits no longer than the lease, which each read and each ping renews', async t => {
  const { a, b, c, pass } = setUp()
  for (const key of ['k', 'other']) c.call('set', key, { text: '1' })
  a.call('get', 'k')
  pass(LEASE + 2)
  t.ok(c.call('set', 'k', { text: '2' }).reply, 'the lease has expired')
  t.equal(a.revoked.length, 1)
  for (const read of [() => b.call('get', 'other'), () => b.call('ping', '', { number: 1 })]) {
    b.call('get', 'k')
    b.call('get', 'other')
    pass(LEASE)
    read()
    pass(LEASE)
    const set = c.call('set', 'k', { text: '2' })
    t.equal(set.reply, undefined)
    pass(2)
    t.ok(set.reply)
  }
  b.copy('k')
  pass(20)
  const del = c.call('del', 'k')
  pass(LEASE - 20)
  t.equal(del.reply, undefined)
  pass(2)
  t.equal(del.reply?.number, 1)
})

t.test('a client that has a copy keeps it when it reads the key again, unless it is revoked', async t => {
  const { keyspace, a, c } = setUp()
  c.call('set', 'k', { text: '1' })
  const id = a.copy('k')
  t.match(a.call('get', 'k').reply, { near: id, number: undefined, text: '1' })
  t.equal(keyspace.counters.near.copies, 1)
  keyspace.context.copies.recall(keyspace.collection('c'), 'k')
  t.equal(a.call('get', 'k').reply?.near, undefined)
})

t.test('no copies are granted for a while if they are revoked before they are read a few times', async t => {
  for (const [hits, isPaused] of [[3, true], [4, false]] as const) {
    const { keyspace, a, c, pass } = setUp()
    c.call('set', 'other', { text: '1' })
    const kept = a.copy('other')
    const change = (): void => {
      c.call('set', 'k', { text: '1' })
      const id = a.call('get', 'k').reply?.near
      if (id !== undefined) keyspace.context.copies.acknowledge(a, id, hits)
    }
    for (let i = 0; i < 300; i++) change()
    t.equal(a.call('get', 'k').reply?.near === undefined, isPaused)
    t.equal(a.call('get', 'other').reply?.near, kept, 'copies of unchanged keys are kept')
    pass(1001)
    t.type(a.call('get', 'k').reply?.near, 'number')
  }
})

t.test('the lock that delays changes during a revocation has an unguessable token', async t => {
  const { keyspace, a, b, c } = setUp()
  c.call('set', 'k', { text: '1' })
  a.copy('k')
  const set = c.call('set', 'k', { text: '2' })
  const { token } = keyspace.lockOf(keyspace.collection('c'), 'k')!
  t.match(token, /^[\da-f]{8}-[\da-f-]{27}$/)
  for (const guess of ['', 'near caches 1', 'undefined']) {
    t.equal(b.call('set', 'k', { text: '3', token: guess, release: true }).reply?.code, 'STORE_LOCK_LOST')
    t.equal(b.call('release', 'k', { token: guess }).reply?.code, 'STORE_LOCK_LOST')
  }
  t.equal(set.reply, undefined)
})

t.test('a lower lease or an idle time takes effect when all copies are revoked', async t => {
  for (const options of [{ near: 0 }, { near: LEASE / 2 }, { near: 0, idle: 10 }]) {
    const { keyspace, a, b, c, pass } = setUp()
    for (const key of ['k', 'other']) c.call('set', key, { text: '1' })
    const [first, second] = [a.copy('k'), a.copy('other')]
    b.copy('k')
    pass(20)
    const configure = c.call('configure', '', { text: JSON.stringify(options) })
    t.equal(configure.reply, undefined)
    t.match([a.revoked, b.revoked], [[first, second], [Number]])
    t.equal(a.call('get', 'k').reply?.near, undefined, 'no new copies are granted')
    for (const id of [first, second]) keyspace.context.copies.acknowledge(a, id, 9)
    pass(20)
    t.equal(c.call('get', 'k').reply?.text, '1')
    t.equal(configure.reply, undefined, 'one client has not acknowledged, and its lease has not expired')
    pass(LEASE - 38)
    t.equal(configure.reply?.code, undefined)
    t.match(keyspace.collection('c').bounds, options)
  }
  const { a, c } = setUp()
  c.call('set', 'k', { text: '1' })
  a.copy('k')
  t.ok(c.call('configure', '', { text: JSON.stringify({ near: LEASE, maxKeys: 9 }) }).reply, 'others do not wait')
  t.strictSame(a.revoked, [])
})

t.test('a client that disconnects loses its copies', async t => {
  const { keyspace, a, c } = setUp()
  c.call('set', 'k', { text: '1' })
  a.copy('k')
  const set = c.call('set', 'k', { text: '2' })
  keyspace.leave(a)
  t.ok(set.reply)
  t.equal(keyspace.counters.near.copies, 0)
})

t.test('calls that do not wait for a lock wait for a revocation', async t => {
  const { keyspace, a, c } = setUp()
  c.call('set', 'k', { text: '1' })
  const id = a.copy('k')
  const lock = c.call('acquire', 'k', { nowait: true })
  const late = c.call('set', 'k', { text: '2', nowait: true })
  const clear = c.call('clear', '', { nowait: true })
  t.strictSame([lock.reply, late.reply, clear.reply], [undefined, undefined, undefined])
  t.equal(c.call('lock', 'k').reply?.text, undefined, 'the revocation is not listed as a lock')
  t.equal(c.call('locks', '').reply?.text, '[]')
  t.equal(c.call('break', 'k').reply?.number, 0)
  const figures = (): unknown[] => {
    const of = (op: 'stats' | 'collections', key: string): unknown => JSON.parse(c.call(op, key).reply!.text as string)
    const [all, one] = [of('stats', ''), (of('collections', '1') as { collections: unknown[] }).collections[0]]
    return [all, one].map(stats => {
      const { locks, waiters } = stats as { locks: number, waiters: number }
      return [locks, waiters]
    })
  }
  t.strictSame(figures(), [[0, 1], [0, 1]], 'the clear waits')
  keyspace.context.copies.acknowledge(a, id, 9)
  t.type(lock.reply?.token, 'string')
  t.strictSame(figures(), [[1, 0], [1, 0]])
  t.equal(late.reply?.code, 'STORE_LOCKED')
  t.equal(clear.reply?.code, 'STORE_LOCKED')
  t.equal(a.call('get', 'k').reply, undefined, 'a read waits for the lock')
})

t.test('statistics count neither the locks nor the queues of revocations', async t => {
  const { keyspace, a, b, c } = setUp({ maxKeys: 2 })
  const counts = (): unknown[] => {
    const all = JSON.parse(c.call('stats', '').reply!.text as string)
    const [one] = JSON.parse(c.call('collections', '1').reply!.text as string).collections
    t.strictSame([one.locks, one.waiters], [all.locks, all.waiters])
    return [all.locks, all.waiters]
  }
  for (const key of ['k', 'other']) c.call('set', key, { text: '1' })
  const ids = [a.copy('k'), a.copy('other')]
  for (let i = 0; i < 3; i++) c.call('get', i === 0 ? 'k' : 'other')
  b.call('acquire', 'k', { token: 'b' })
  c.call('set', 'k', { text: '2' })
  b.call('acquire', 'other', { token: 'b' })
  t.strictSame(counts(), [0, 0])
  keyspace.cancel(c, [...c.waiting.keys()][0]!)
  t.strictSame(counts(), [0, 0], 'a call has left the queue')
  c.call('set', 'k', { text: '2' })
  for (const id of ids) keyspace.context.copies.acknowledge(a, id, 9)
  t.strictSame(counts(), [2, 1], 'the locks have an owner')
  b.call('release', 'other', { token: 'b' })
  a.copy('other')
  b.call('acquire', 'new', { token: 'b' })
  c.call('set', 'new', { text: '1' })
  c.call('get', 'new')
  t.strictSame(counts(), [2, 3])
  b.call('release', 'new', { token: 'b' })
  t.strictSame(counts(), [1, 1], 'those of the new key wait for room')
  keyspace.leave(c)
  t.strictSame(counts(), [1, 0])
  keyspace.leave(b)
  keyspace.leave(a)
  keyspace.sweep(new Budget())
  t.strictSame(counts(), [0, 0])
})

t.test('clear deletes keys with copies when the copies are revoked', async t => {
  const { keyspace, a, c } = setUp()
  for (const key of ['a', 'b']) c.call('set', key, { text: '1' })
  const id = a.copy('a')
  for (const options of [{}, { nowait: true }]) {
    const clear = c.call('clear', '', options)
    t.equal(clear.reply === undefined, options.nowait === undefined)
    keyspace.context.copies.acknowledge(a, id, 9)
    t.equal(clear.reply?.code, undefined)
    t.equal(c.call('size', '').reply?.number, 0)
  }
})

t.test('clear revokes copies in slices, and calls on its keys wait for their revocation', async t => {
  const { keyspace, a, c, pass } = setUp()
  const ids = new Map<string, number>()
  for (let i = 0; i < 20_000; i++) {
    c.call('set', `${i}`, { text: '1' })
    ids.set(`${i}`, a.copy(`${i}`))
  }
  const clear = c.call('clear', '')
  t.ok(a.revoked.length < ids.size)
  const last = [...ids.keys()].at(-1)!
  const reads = (['get', 'head'] as const).map(op => c.call(op, last))
  const set = c.call('set', last, { text: '2' })
  t.equal(a.revoked.at(-1), ids.get(last))
  t.same(reads.map(({ reply }) => reply), [undefined, undefined], 'other clients can still read their copies')
  keyspace.context.copies.acknowledge(a, ids.get(last)!, 9)
  t.match(reads.map(({ reply }) => reply), [{ text: undefined }, { version: undefined }])
  t.ok(set.reply?.version)
  while (a.revoked.length < ids.size) pass(0)
  const final = a.revoked.pop()!
  for (const id of a.revoked) keyspace.context.copies.acknowledge(a, id, 9)
  t.equal(clear.reply, undefined)
  keyspace.context.copies.acknowledge(a, final, 9)
  t.ok(clear.reply)
  t.equal(c.call('get', last).reply?.text, '2', 'it was set after the clear')
  t.equal(c.call('size', '').reply?.number, 1)
  t.equal(keyspace.counters.near.copies, 0)
})

t.test('keys without copies are evicted first, and keys with copies when the copies are revoked', async t => {
  const { keyspace, a, c, pass } = setUp({ maxKeys: 2 })
  for (const key of ['old', 'new']) c.call('set', key, { text: '1' })
  const old = a.copy('old')
  const newer = a.copy('new')
  keyspace.context.copies.acknowledge(a, newer, 9)
  t.ok(c.call('set', 'x', { text: '1' }).reply)
  t.equal(c.call('get', 'new').reply?.text, undefined)
  t.strictSame(a.revoked, [old])
  a.copy('x')
  const set = c.call('set', 'y', { text: '1' })
  t.equal(set.reply, undefined, 'both keys have copies')
  keyspace.context.copies.acknowledge(a, old, 9)
  pass(20)
  t.ok(set.reply?.version)
  t.equal(c.call('size', '').reply?.number, 2)
})

t.test('a write through a lock, which cannot wait for space, evicts keys without copies', async t => {
  const { keyspace, a, c } = setUp({ maxKeys: 120 })
  const used = Array.from({ length: 100 }, (_, i) => `used ${i}`)
  const unused = Array.from({ length: 20 }, (_, i) => `unused ${i}`)
  for (const key of [...used, ...unused]) c.call('set', key, { text: '1' })
  const read = (): void => { for (const key of used) a.copy(key) }
  read()
  for (const key of unused) c.call('get', key)
  for (let i = 0; i < unused.length; i++) {
    c.call('acquire', `new ${i}`, { token: 't' })
    const set = c.call('set', `new ${i}`, { text: '1', token: 't', release: true })
    t.equal(set.reply?.code, undefined, `${i}`)
    for (const id of a.revoked.splice(0)) keyspace.context.copies.acknowledge(a, id, 9)
  }
  t.ok(used.every(key => c.call('peek', key).reply?.text === '1'), 'keys with copies are kept')
  t.ok(unused.every(key => c.call('peek', key).reply?.text === undefined))
})

t.test('a write that waits for space gets it, however often other keys are read', async t => {
  const { keyspace, a, c, pass } = setUp({ maxKeys: 30 })
  for (let i = 0; i < 30; i++) c.call('set', `${i}`, { text: '1' })
  const read = (): void => { for (let i = 0; i < 30; i++) a.call('get', `${i}`) }
  a.call('ping', '', { number: 0 })
  read()
  const set = c.call('set', 'x', { text: '1' })
  t.equal(set.reply, undefined)
  for (let i = 0; i < 4; i++) {
    for (const id of a.revoked.splice(0)) keyspace.context.copies.acknowledge(a, id, 9)
    a.call('ping', '', { number: 0 })
    read()
    pass(12)
  }
  t.ok(set.reply?.version)
})

t.test('a key expires once, and its copies expire with it', async t => {
  const { keyspace, a, b, c, pass } = setUp()
  c.call('set', 'k', { text: '1', ttl: 30 })
  const changes: string[] = []
  keyspace.context.observe({
    changing: (_, key, kind) => { changes.push(`${kind} ${key}`) }, clearing () {}, needsKeys: () => false
  })
  t.match(a.call('get', 'k').reply, { near: Number, expiresIn: 30 })
  pass(10)
  t.match(b.call('entry', 'k').reply, { near: Number, expiresIn: 20 })
  b.call('ping', '', { number: 0 })
  t.equal(keyspace.counters.near.copies, 2)
  pass(21)
  t.equal(keyspace.counters.near.copies, 0)
  t.strictSame([a.revoked, b.revoked], [[], []], 'clients know the expiry')
  t.ok(c.call('set', 'k', { text: '2' }).reply, 'the next write does not wait')
  t.strictSame(changes, ['expired k', 'set k'], 'watches are notified once')
})

t.test('a key past its ttl is not seen while its copies are revoked', async t => {
  const { keyspace, a, c, pass } = setUp()
  const changes: string[] = []
  keyspace.context.observe({
    changing: (_, key, kind) => { changes.push(`${kind} ${key}`) }, clearing () {}, needsKeys: () => false
  })
  const listed = (): unknown[] => JSON.parse(c.call('scan', '').reply!.text as string).keys
  for (const hasSwept of [false, true]) {
    c.call('set', 'k', { text: '1', ttl: 30 })
    const id = a.copy('k')
    const set = c.call('set', 'k', { text: '2', ifVersion: 0 })
    t.equal(set.reply?.code, 'STORE_VERSION_MISMATCH')
    const del = c.call('del', 'k')
    const get = c.call('get', 'k')
    pass(30)
    t.equal(listed().length, 1)
    pass(1, hasSwept)
    t.strictSame(listed(), [])
    t.equal(c.call('size', '').reply?.number, 0)
    t.strictSame([del.reply, get.reply], [undefined, undefined])
    keyspace.context.copies.acknowledge(a, id, 9)
    t.equal(del.reply?.number, 0)
    t.equal(get.reply?.text, undefined)
    t.strictSame(changes.splice(0), ['set k', 'expired k'])
    t.strictSame([keyspace.counters.near.copies, keyspace.locks.first], [0, undefined])
  }
})

t.test('a write that is refused revokes no copies', async t => {
  const { a, c } = setUp()
  const version = c.call('set', 'k', { text: '1' }).reply!.version!
  a.copy('k')
  for (const [op, options, code] of [
    ['set', { text: '2', ifAbsent: true }, 'STORE_EXISTS'],
    ['set', { text: '2', ifVersion: version - 1 }, 'STORE_VERSION_MISMATCH'],
    ['del', { ifVersion: version - 1 }, 'STORE_VERSION_MISMATCH']
  ] as const) t.equal(c.call(op, 'k', options).reply?.code, code)
  t.strictSame(a.revoked, [])
  t.equal(c.call('set', 'k', { text: '2', ifVersion: version }).reply, undefined)
  t.equal(a.revoked.length, 1)
})

t.test('near is rejected together with an idle time, and above a second', async t => {
  const { c } = setUp()
  for (const options of [{ idle: 1 }, { near: 1001 }, { near: -1 }, { near: 'x' }]) {
    t.equal(c.call('configure', '', { text: JSON.stringify(options) }).reply?.code, 'STORE_OPTION_INVALID')
  }
  t.equal(c.call('configure', '', { text: JSON.stringify({ near: 0, idle: 1 }) }).reply?.code, undefined)
})
