// Keys, locks and queues in the keyspace, on a clock that the tests advance.
import t from 'tap'
import { type Reply, Request, type Op } from '../../../src/core/engine.js'
import type { Bytes } from '../../../src/core/value.js'
import { MemoryEngine } from '../../../src/engines/memory/engine.js'
import { Budget } from '../../../src/engines/memory/agenda.js'
import type { KeyspaceOptions } from '../../../src/engines/memory/context.js'
import { Keyspace } from '../../../src/engines/memory/keyspace.js'
import { Caller, type Waiter } from '../../../src/engines/memory/lock.js'
import { dispatch } from '../../../src/engines/memory/dispatch.js'
import { kept } from '../../support/kept-reply.js'

class User extends Caller {
  readonly label = 'user'
  readonly answers = new Map<number, Reply>()
  readonly lostTokens: string[] = []
  #ids = 0

  constructor (readonly keyspace: Keyspace) { super() }

  answer (id: number, reply: Reply<Bytes>): void { this.answers.set(id, kept(reply)) }
  lost (token: string): void { this.lostTokens.push(token) }

  /** The id of a new call. */
  ask (op: Op, key: string, fields: Partial<Request> = {}, collection = 'c'): number {
    this.keyspace.clock.tick()
    dispatch(this.keyspace, Object.assign(new Request(op, collection, key), fields), this, ++this.#ids)
    return this.#ids
  }

  /** The reply to a call that does not wait. */
  now (op: Op, key: string, fields: Partial<Request> = {}, collection = 'c'): Reply {
    const reply = this.answers.get(this.ask(op, key, fields, collection))
    if (reply === undefined) throw new Error(`${op} of ${key} waits`)
    return reply
  }
}

function setUp (options: KeyspaceOptions = {}) {
  let time = 1e6
  const keyspace = new Keyspace({ ...options, time: () => time })
  return {
    keyspace,
    user: new User(keyspace),
    advance (ms: number) {
      time += ms
      keyspace.clock.tick()
    },
    /** Sweeps to the end. Returns the number of slices, each of which ends when it has read the clock `steps` times. */
    sweep (steps = Infinity) {
      let slices = 1
      while (keyspace.sweep(sliceOf(steps))) slices++
      return slices
    }
  }
}

function sliceOf (looks: number): Budget {
  let seen = -1 // the first reading is at the start
  return new Budget(() => ++seen < looks ? 0 : 1000)
}

const configure = (user: User, bounds: object, collection = 'c'): Reply =>
  user.now('configure', '', { text: JSON.stringify(bounds) }, collection)

t.test('reads and updates restart the idle time', async t => {
  const { user, advance } = setUp()
  configure(user, { idle: 1000 })
  for (const key of ['get', 'entry', 'head', 'touch', 'set', 'increment', 'idle', 'peek']) {
    user.now('set', key, { text: '1' })
  }
  for (let i = 0; i < 5; i++) {
    advance(999)
    for (const op of ['get', 'entry', 'head', 'touch', 'increment'] as const) user.now(op, op)
    user.now('set', 'set', { text: '2' })
    if (i === 0) t.match(user.now('peek', 'peek'), { text: '1', expiresIn: 1 }, 'peek is not a use')
    if (i === 0) t.equal(user.now('size', '').number, 8)
  }
  t.equal(user.now('size', '').number, 6)
  t.equal(user.now('get', 'idle').text, undefined)
  advance(1000)
  t.equal(user.now('get', 'get').text, '1', 'it does not expire early')
  t.equal(user.now('entry', 'get').expiresIn, 1000)
  advance(1001)
  t.equal(user.now('get', 'get').text, undefined, 'an expired key is not seen, even before a sweep')
})

t.test('a changed idle time applies immediately, to existing keys too', async t => {
  const { user, advance } = setUp()
  user.now('set', 'key', { text: '1' })
  advance(5000)
  configure(user, { idle: 10_000 })
  t.equal(user.now('size', '').number, 1)
  advance(5001)
  t.equal(user.now('get', 'key').text, undefined)
})

t.test('a ttl is absolute, and replaces idle time', async t => {
  const { user, advance, sweep } = setUp()
  configure(user, { idle: 100 })
  user.now('set', 'key', { text: '1', ttl: 1000 })
  advance(500)
  t.equal(user.now('get', 'key').text, '1')
  advance(500)
  t.equal(user.now('entry', 'key').expiresIn, 0)
  advance(1)
  t.equal(user.now('get', 'key').text, undefined)
  user.now('set', 'key', { text: '1', ttl: 1000 })
  user.now('set', 'key', { text: '2' })
  advance(101)
  sweep()
  t.equal(user.now('size', '').number, 0, 'a write without a ttl removes it')
})

t.test('expired and cleared keys are removed as fast as keys are added, even without a sweep', async t => {
  const { keyspace, user, advance } = setUp()
  configure(user, { idle: 1000 })
  let number = 100_000 // all keys have the same length
  const add = (ttl?: number): void => { user.now('set', `key ${number++}`, { text: '1', ttl }) }
  for (let i = 0; i < 3000; i++) add(i % 2 === 0 ? 900 : undefined)
  advance(1001)
  for (let i = 0; i < 1500; i++) add()
  t.equal(keyspace.collection('c').size, 1500)
  const { entries } = keyspace.context
  const used = (): number => entries.arena.segments().reduce((sum, { live }) => sum + live, 0)
  const before = used()
  for (let round = 0; round < 10; round++) {
    user.now('clear', '')
    for (let i = 0; i < 1500; i++) add()
  }
  t.equal(used(), before)
})

t.test('a sweep removes all expired keys, in slices that end on time', async t => {
  const { keyspace, user, advance, sweep } = setUp()
  configure(user, { idle: 1000 })
  for (let i = 0; i < 5000; i++) user.now('set', `idle ${i}`, { text: '1' })
  for (let i = 0; i < 5000; i++) user.now('set', `timed ${i}`, { text: '1', ttl: 1000 + i % 7 })
  user.now('set', 'stays', { text: '1', ttl: 5000 })
  advance(1500)
  const entries = keyspace.collection('c')
  const slices = sweep(1)
  t.ok(
    slices >= Math.floor(10_000 / 33) && slices <= 10_000 / 32 + 1,
    `32 removals between two readings of the clock: ${slices} slices`
  )
  t.equal(entries.size, 1)
  t.equal(entries.expired, 10_000)
  t.equal(entries.bytes, 6)
  advance(5000)
  t.equal(sweep(), 1)
  t.equal(entries.size, 0)
  t.equal(keyspace.collection('c').nextEnd, Infinity)
})

t.test('a locked key neither expires nor is evicted, and its release restarts the idle time', async t => {
  const { user, advance, sweep } = setUp()
  configure(user, { idle: 100, maxKeys: 2 })
  user.now('set', 'locked', { text: '1' })
  user.now('set', 'timed', { text: '1', ttl: 50 })
  const locks = ['locked', 'timed'].map(key => user.now('acquire', key).token!)
  advance(500)
  sweep()
  t.equal(user.now('size', '').number, 2)
  t.equal(user.now('set', 'third', { text: '1' }).code, 'STORE_FULL', 'nothing can be evicted')
  user.now('release', 'locked', { token: locks[0]! })
  user.now('release', 'timed', { token: locks[1]! })
  t.equal(user.now('get', 'locked').text, '1', 'the release restarts the idle time')
  t.equal(user.now('get', 'timed').text, undefined, 'a ttl that passed while the key was locked takes effect')
})

t.test('reading missing keys leaves no state', async t => {
  const { keyspace, user, advance, sweep } = setUp()
  for (let i = 0; i < 100; i++) {
    for (const op of ['get', 'entry', 'head', 'touch', 'del'] as const) user.now(op, `none ${i}`)
    user.now('release', `none ${i}`, { token: user.now('acquire', `none ${i}`).token! })
  }
  const { size, locks, bytes } = keyspace.collection('c')
  t.equal(size + locks.size + bytes, 0)
  for (let i = 0; i < 20_000; i++) user.now('get', 'key', {}, `collection ${i}`)
  for (const key of ['used', 'locked']) user.now('set', key, { text: '1' }, key)
  const { token } = user.now('acquire', 'locked', {}, 'locked')
  user.now('del', 'locked', { token: token! }, 'locked')
  configure(user, { idle: 1 }, 'configured')
  advance(59_000)
  sweep()
  t.equal(keyspace.collections.size, 3, 'unused collections are removed')
  t.equal(keyspace.collections.get('configured').bounds.idle, 1)
  user.now('del', 'used', {}, 'used')
  user.now('release', 'locked', { token: token! }, 'locked')
  configure(user, { idle: 0 }, 'configured')
  advance(59_000)
  sweep()
  t.equal(keyspace.collections.size, 0, 'emptied collections are removed')
})

t.test('10,000 waiters on one key are served in order, and any of them can be canceled', async t => {
  const { keyspace, user } = setUp()
  const first = user.now('acquire', 'key').token!
  const ids = Array.from({ length: 10_000 }, () => user.ask('acquire', 'key'))
  const gone = new Set(ids.filter((_, i) => i % 3 === 1))
  for (const id of gone) {
    keyspace.cancel(user, id)
    t.equal(user.answers.get(id)?.code, 'STORE_ABORTED')
  }
  t.equal(keyspace.collection('c').waiters, 10_000 - gone.size)
  let token = first
  for (const id of ids) {
    if (gone.has(id)) continue
    if (user.answers.has(id)) t.fail('too early')
    user.now('release', 'key', { token })
    token = user.answers.get(id)!.token!
  }
  user.now('release', 'key', { token })
  t.equal(keyspace.collection('c').locks.size, 0)
  t.equal(user.waiting.size + user.holding.size, 0)
})

t.test('a read that releases the lock replies the value it has read, whatever is written next', async t => {
  const { user } = setUp()
  user.now('set', 'key', { text: 'before' })
  const { token } = user.now('acquire', 'key')
  const waiting = user.ask('set', 'key', { text: 'after!' }) // of the same size: it is written in the same place
  t.equal(user.now('get', 'key', { token: token!, release: true }).text, 'before')
  t.equal(user.answers.get(waiting)!.code, undefined)
  t.equal(user.now('get', 'key').text, 'after!')
})

t.test('canceling a wait and granting a lock do not scan the queue', async t => {
  const queue = () => {
    const { keyspace, user } = setUp()
    const token = user.now('acquire', 'key').token!
    const ids = Array.from({ length: 10_000 }, (_, i) =>
      user.ask('acquire', 'key', i % 2 === 0 ? {} : { token: `named ${i}` })
    )
    return { keyspace, user, token, ids, waiters: ids.map(id => user.waiting.get(id) as Waiter) }
  }
  /** Runs `act`, which throws if it accesses a waiter at another place in the queue. */
  const touching = (waiters: Waiter[], places: number[], act: () => void): void => {
    const others = waiters
      .filter((_, place) => !places.includes(place))
      .map(waiter => ({ waiter, links: { prev: waiter.prev, next: waiter.next } }))
    const touched = {
      configurable: true,
      get: () => {
        throw new Error('touched')
      },
      set: () => {
        throw new Error('touched')
      }
    }
    for (const { waiter } of others) Object.defineProperties(waiter, { prev: touched, next: touched })
    act()
    for (const { waiter, links } of others) {
      for (const [name, value] of Object.entries(links)) {
        Object.defineProperty(waiter, name, { configurable: true, writable: true, enumerable: true, value })
      }
    }
  }
  const { keyspace, user, token, ids, waiters } = queue()
  touching(waiters, [4999, 5000, 5001], () => { keyspace.cancel(user, ids[5000]!) })
  t.equal(user.answers.get(ids[5000]!)?.code, 'STORE_ABORTED')
  touching(waiters, [], () => {
    for (const op of ['release', 'renew', 'set', 'del', 'get'] as const) {
      t.equal(user.now(op, 'key', { token: 'stale', text: '1' }).code, 'STORE_LOCK_LOST', op)
    }
  })
  touching(waiters, [7000, 7001, 7002], () => { user.now('release', 'key', { token: 'named 7001' }) })
  t.equal(user.answers.get(ids[7001]!)?.code, 'STORE_ABORTED')
  t.equal(user.now('release', 'key', { token: 'named 7001' }).code, 'STORE_LOCK_LOST', 'its wait has ended')
  touching(waiters, [0, 1], () => { user.now('release', 'key', { token }) })
  t.ok(user.answers.get(ids[0]!)?.token)
  const other = queue()
  t.throws(
    () => {
      touching(other.waiters, [5000], () => {
        other.keyspace.cancel(other.user, other.ids[5000]!)
      })
    },
    { message: 'touched' },
    'the check detects an access'
  )
})

t.test('releasing a token that waits twice cancels its last wait first', async t => {
  const { user } = setUp()
  const { token } = user.now('acquire', 'key')
  const [first, second] = [1, 2].map(() => user.ask('acquire', 'key', { token: 'again' }))
  user.now('release', 'key', { token: 'again' })
  t.equal(user.answers.get(second!)?.code, 'STORE_ABORTED')
  user.now('release', 'key', { token: token! })
  t.equal(user.answers.get(first!)?.token, 'again')
  t.equal(user.now('release', 'key', { token: 'again' }).code, undefined)
})

t.test('a queue is bounded', async t => {
  const { user } = setUp({ maxWaiters: 2 })
  user.now('acquire', 'key')
  user.ask('get', 'key')
  user.ask('get', 'key')
  t.equal(user.now('get', 'key').code, 'STORE_QUEUE_FULL')
})

t.test('a disconnected caller loses its locks and waits, except detached locks and unconfirmed writes', async t => {
  const { keyspace, user } = setUp()
  const other = new User(keyspace)
  user.now('set', 'key', { text: '"before"' })
  const detached = other.now('acquire', 'detached', { detached: true, lease: 1000 }).token!
  other.now('acquire', 'key')
  const theirs = other.ask('acquire', 'key')
  other.ask('set', 'key', { text: '"never"' })
  const posted = Object.assign(new Request('set', 'c', 'posted'), { text: '"done"' })
  const lock = user.now('acquire', 'posted').token!
  dispatch(keyspace, posted, other, 0)
  const mine = user.ask('get', 'key')
  keyspace.leave(other)
  t.equal(user.answers.get(mine)?.text, '"before"')
  t.notOk(other.answers.has(theirs), 'it gets no reply')
  t.equal(other.waiting.size + other.holding.size, 0)
  user.now('release', 'posted', { token: lock })
  t.equal(user.now('get', 'posted').text, '"done"', 'an unconfirmed write is applied')
  t.equal(user.now('release', 'detached', { token: detached }).code, undefined, 'a detached lock is kept')
})

t.test('thousands of locks and waits of a disconnected caller end in slices, the rest has no effect', async t => {
  const { keyspace, user, advance } = setUp()
  const gone = new User(keyspace)
  const count = 10_000
  const step = 32 // between two readings of the clock
  const collection = keyspace.collection('c')
  const tokens = Array.from(
    { length: count }, (_, i) => gone.now('acquire', `held ${i}`, i % 2 === 0 ? {} : { lease: 1000 }).token!
  )
  const kept = gone.now('acquire', 'detached', { detached: true, lease: 1e6 }).token!
  const mine = Array.from({ length: count }, (_, i) => user.now('acquire', `mine ${i}`).token!)
  for (let i = 0; i < count; i++) gone.ask(i % 2 === 0 ? 'acquire' : 'set', `mine ${i}`, { text: '"never"' })
  dispatch(keyspace, Object.assign(new Request('set', 'c', 'mine 9997'), { text: '"posted"' }), gone, 0)
  const waits = Array.from({ length: count }, (_, i) => user.ask('acquire', `held ${i}`))
  keyspace.leave(gone, sliceOf(1))
  t.equal(gone.holding.size, count - step)
  t.equal(
    waits.filter(id => user.answers.has(id)).length, step,
    'waiters are served in the order in which the locks were acquired'
  )
  t.ok(user.answers.get(waits[step - 1]!)?.token)

  t.equal(
    user.now('release', 'held 9000', { token: tokens[9000]! }).code, 'STORE_LOCK_LOST',
    'a lock that is still to be released is not valid'
  )
  t.ok(user.answers.get(waits[9000]!)?.token, 'its waiter is served before later calls')
  t.equal((JSON.parse(user.now('lock', 'held 9001').text!) as { owner: string, queue: [] }).queue.length, 0)
  t.ok(user.answers.get(waits[9001]!)?.token)
  t.equal(user.now('get', 'held 9002', { nowait: true }).code, 'STORE_LOCKED', 'the next waiter has it')
  t.equal(user.now('renew', 'detached', { token: kept }).code, undefined, 'a detached lock is kept')
  user.now('release', 'mine 9998', { token: mine[9998]! })
  t.equal(user.now('get', 'mine 9998', { nowait: true }).code, undefined, 'no grant to the disconnected caller')
  user.now('release', 'mine 9997', { token: mine[9997]! })
  t.equal(user.now('get', 'mine 9997').text, '"posted"', 'its unconfirmed write is applied, its other writes are not')

  advance(1001) // leases of the disconnected caller expire
  let slices = 1
  while (keyspace.sweep(sliceOf(1))) slices++
  t.ok(slices >= Math.floor(2 * (count - step - 3) / step), `${slices} slices`)
  t.equal(gone.holding.size + gone.waiting.size + gone.waitingBytes, 0)
  gone.answers.delete(0)
  t.equal(gone.answers.size, count + 1, 'its waits get no reply')
  t.ok(waits.every(id => user.answers.get(id)?.token !== undefined))
  for (const [i, id] of waits.entries()) user.now('release', `held ${i}`, { token: user.answers.get(id)!.token! })
  for (const [i, token] of mine.entries()) if (i < 9997 || i > 9998) user.now('release', `mine ${i}`, { token })
  t.equal(collection.locks.size, 1)
  t.equal(user.now('get', 'mine 9996').text, undefined)
})

t.test('waiters get the locks of a disconnected caller without further calls', async t => {
  const keyspace = new Keyspace()
  const engine = new MemoryEngine(keyspace)
  const gone = new User(keyspace)
  for (let i = 0; i < 1000; i++) gone.now('acquire', `held ${i}`)
  const wait = engine.call(new Request('acquire', 'c', 'held 999'))
  keyspace.leave(gone, sliceOf(1))
  t.ok(gone.holding.size > 900)
  t.ok((await wait).token)
  t.equal(gone.holding.size, 0)
  await engine.close()
})

t.test('leases expire on time, and a renewed lease starts when it is renewed', async t => {
  const { user, keyspace, advance, sweep } = setUp()
  const first = user.now('acquire', 'key', { lease: 100 })
  t.equal(first.expiresIn, 100)
  const waiting = user.ask('acquire', 'key', { lease: 100 })
  advance(90)
  t.equal(user.now('renew', 'key', { token: first.token! }).expiresIn, 100)
  advance(100)
  sweep()
  t.strictSame(user.lostTokens, [])
  advance(1)
  sweep()
  t.strictSame(user.lostTokens, [first.token])
  t.equal(user.now('set', 'key', { text: '1', token: first.token!, release: true }).code, 'STORE_LOCK_LOST')
  t.equal(user.now('renew', 'key', { token: first.token! }).code, 'STORE_LOCK_LOST')
  const second = user.answers.get(waiting)!
  t.ok(second.fence! > first.fence!)
  user.now('release', 'key', { token: second.token! })
  t.equal(keyspace.collection('c').nextEnd, Infinity)
  advance(1000)
  t.equal(sweep(), 1)
  t.equal(user.lostTokens.length, 1)
})

t.test('a release ends the lock even if the change fails', async t => {
  const { user } = setUp()
  configure(user, { maxBytes: 10, evict: false })
  const { token } = user.now('acquire', 'key')
  t.equal(user.now('set', 'key', { text: '"much too long"', token: token!, release: true }).code, 'STORE_FULL')
  t.equal(user.now('get', 'key').text, undefined)
})

t.test('eviction takes the least recently used key, and is counted', async t => {
  const { user, keyspace, advance, sweep } = setUp()
  configure(user, { maxKeys: 4 })
  user.now('set', 'a', { text: '1' })
  advance(1)
  user.now('set', 'b', { text: '1', ttl: 1e6 })
  advance(1)
  user.now('set', 'c', { text: '1' })
  advance(1)
  user.now('set', 'd', { text: '1', ttl: 1e6 })
  advance(1)
  user.now('get', 'a')
  for (const gone of ['b', 'c', 'd', 'a']) {
    advance(1)
    t.equal(user.now('scan', '').text?.includes(`"${gone}"`), true)
    user.now('set', `new ${gone}`, { text: '1' })
    t.equal(user.now('scan', '').text?.includes(`["${gone}"`), false)
  }
  t.equal(keyspace.collection('c').evicted, 4)
  configure(user, { maxKeys: 0, maxBytes: 8 })
  sweep()
  t.equal(user.now('size', '').number, 1, 'the sweep enforces lowered bounds')
})

t.test('bytes count keys and values, and a full collection stays within its bound', async t => {
  const { user, keyspace } = setUp()
  configure(user, { maxBytes: 1000 })
  for (let i = 0; i < 500; i++) {
    user.now('set', `key ${i}`, { text: 'x'.repeat(i % 90) })
    if (i % 3 === 0) user.now('del', `key ${i - 1}`)
    if (keyspace.collection('c').bytes > 1000) t.fail('over the bound')
  }
  let sum = 0
  for (const { key, text } of keyspace.collection('c').page(0, Infinity).values) sum += key.length + text.length
  t.equal(keyspace.collection('c').bytes, sum)
})

t.test('a value that cannot fit is rejected before anything is evicted', async t => {
  const { user, keyspace } = setUp()
  const entries = keyspace.collection('c')
  const here = (): string[] => entries.page(0, Infinity).values.map(({ key }) => key).sort()
  configure(user, { maxBytes: 100 })
  user.now('set', 'a', { text: 'x'.repeat(9) })
  user.now('set', 'b', { text: 'x'.repeat(9), ttl: 1e6 })
  user.now('set', 'l', { text: 'x'.repeat(59) })
  const { token } = user.now('acquire', 'l')
  t.equal(user.now('set', 'n', { text: 'x'.repeat(40) }).code, 'STORE_FULL', '60 bytes are locked, and 41 are too many')
  t.equal(user.now('set', 'b', { text: 'x'.repeat(40) }).code, 'STORE_FULL')
  t.equal(
    user.now('set', 'l', { text: 'x'.repeat(100), token: token! }).code, 'STORE_FULL', 'the value alone is too large'
  )
  t.strictSame(here(), ['a', 'b', 'l'])
  t.equal(
    user.now('set', 'l', { text: 'x'.repeat(79), token: token! }).code, undefined,
    'a locked value can grow if there is space'
  )
  t.equal(user.now('set', 'b', { text: 'x'.repeat(20) }).code, 'STORE_FULL')
  t.equal(user.now('set', 'b', { text: 'x'.repeat(19) }).code, undefined)
  t.strictSame([here(), entries.bytes, entries.evicted], [['b', 'l'], 100, 1])
  user.now('del', 'l', { token: token! })
  user.now('set', 'c', { text: 'x'.repeat(79) })
  t.strictSame(here(), ['b', 'c'], 'a locked key without a value takes no space')
  user.now('set', 'l', { text: 'x'.repeat(29), token: token! })
  t.strictSame(here(), ['l'], 'a locked key with a value does')
  t.equal(user.now('set', 'c', { text: 'x'.repeat(70) }).code, 'STORE_FULL')
  user.ask('clear', '')
  t.equal(user.now('set', 'c', { text: 'x'.repeat(70) }).code, 'STORE_FULL', 'a waiting clear frees no locked space')
  user.now('release', 'l', { token: token! })
  t.equal(user.now('set', 'c', { text: 'x'.repeat(99) }).code, undefined)
  t.equal(entries.bytes, 100)

  configure(user, { maxKeys: 2, maxBytes: 0 })
  user.now('set', 'd', { text: '1' })
  const locks = ['e', 'f'].map(key => {
    const { token } = user.now('acquire', key)
    user.now('set', key, { text: '1', token: token! })
    return token!
  })
  t.strictSame(here(), ['e', 'f'])
  t.equal(user.now('set', 'd', { text: '1' }).code, 'STORE_FULL')
  user.now('release', 'e', { token: locks[0]! })
  t.equal(user.now('set', 'd', { text: '1' }).code, undefined)
  t.strictSame(here(), ['d', 'f'])
})

t.test('clear removes ttls, and keeps later writes', async t => {
  const { user, keyspace, advance, sweep } = setUp()
  for (let i = 0; i < 100; i++) user.now('set', `key ${i}`, { text: '1', ttl: 1000 })
  const { token } = user.now('acquire', 'key 5')
  const clear = user.ask('clear', '')
  t.equal(keyspace.collection('c').size, 1)
  t.notOk(user.answers.has(clear))
  user.now('set', 'key 7', { text: '2' })
  advance(1001)
  sweep(1)
  t.equal(user.now('get', 'key 7').text, '2')
  t.equal(keyspace.collection('c').nextEnd, Infinity)
  user.now('release', 'key 5', { token: token! })
  t.ok(user.answers.has(clear))
  t.equal(keyspace.collection('c').bytes, 6)
})

t.test('versions increase across restarts', async t => {
  const before = setUp().user.now('set', 'key', { text: '1' }).version!
  const after = setUp().user.now('set', 'key', { text: '1' }).version!
  t.ok(after >= before && Number.isSafeInteger(after))
  t.ok(before > Date.now() * 1000 - 1e9)
})

t.test('the keyspace rejects values over the limit', async t => {
  const { user } = setUp({ maxValueBytes: 10 })
  t.equal(user.now('set', 'key', { text: '12345678901' }).code, 'STORE_VALUE_TOO_LARGE')
  t.equal(user.now('set', 'key', {}).code, 'STORE_VALUE_TOO_LARGE', 'a write without a value')
})

t.test('a lock without a lease ends with its caller, even if it is detached or has no call id', async t => {
  const { keyspace, user } = setUp()
  const { token } = user.now('acquire', 'key')
  const other = new User(keyspace)
  const acquire = (key: string): Request => new Request('acquire', 'c', key)
  t.throws(
    () => {
      dispatch(keyspace, acquire('key'), other, 0)
    },
    { code: 'STORE_PROTOCOL' },
    'a wait that could not be answered'
  )
  dispatch(keyspace, acquire('key'), other, 7)
  t.throws(() => { dispatch(keyspace, acquire('key'), other, 7) }, { code: 'STORE_PROTOCOL' }, 'two waits with one id')
  other.now('acquire', 'for ever', { detached: true })
  dispatch(keyspace, acquire('unasked'), other, 0)
  t.equal(keyspace.collection('c').locks.size, 3)
  keyspace.leave(other)
  user.now('release', 'key', { token: token! })
  t.equal(keyspace.collection('c').locks.size, 0)
})

t.test('the memory of waiting writes is bounded', async t => {
  const { keyspace, user } = setUp({ maxWaitingBytes: 100 })
  const { token } = user.now('acquire', 'key')
  const text = 'x'.repeat(40)
  const waits = [1, 2].map(() => user.ask('set', 'key', { text }))
  t.equal(user.now('set', 'key', { text }).code, 'STORE_OVERLOADED')
  user.ask('get', 'key')
  const other = new User(keyspace)
  other.ask('set', 'key', { text })
  t.notOk(other.answers.has(1), 'each caller has its own bound')
  keyspace.cancel(user, waits[0]!)
  user.ask('set', 'key', { text })
  user.now('release', 'key', { token: token! })
  t.equal(user.waitingBytes + other.waitingBytes, 0)
})

t.test('a collection that is due to be dropped stays if a clear is followed by a write', async t => {
  const { keyspace, user, advance, sweep } = setUp()
  user.now('set', 'a', { text: '1' })
  user.now('del', 'a')
  advance(20_000)
  user.ask('clear', 'b')
  user.now('set', 'a', { text: '2' })
  user.now('set', 'a', { text: '3' }, 'other')
  sweep()
  t.equal(user.now('get', 'a').text, '2')
  user.now('set', 'a', { text: '4' }, 'third')
  const texts = ['c', 'other', 'third'].map(name => user.now('get', 'a', {}, name).text)
  t.strictSame(texts, ['2', '3', '4'], 'no owner number is used twice')
  t.equal(keyspace.counters.totals.keys, 3)
})

t.test('a cleared key does not count as expired if its ttl passes before it is removed', async t => {
  const { keyspace, user, advance, sweep } = setUp()
  const kinds = new Set<string>()
  for (let i = 0; i < 2000; i++) user.now('set', `key ${i}`, { text: '1', ttl: 2 })
  keyspace.context.observe({
    changing: (_collection, _key, kind) => { kinds.add(kind) },
    clearing () {},
    needsKeys: () => false
  })
  user.ask('clear', 'key')
  advance(3)
  sweep()
  t.strictSame([...kinds], ['cleared'])
  t.match(keyspace.collection('c'), { size: 0, expired: 0 })
})

t.test('a key can expire during a clear that does not cover it', async t => {
  const { keyspace, user, advance } = setUp()
  for (let i = 0; i < 2000; i++) user.now('set', `key ${i}`, { text: '1' })
  for (let i = 0; i < 50; i++) user.now('set', `other ${i}`, { text: '1', ttl: 2 })
  user.ask('clear', 'key')
  keyspace.sweep(sliceOf(1)) // reads a batch of keys, and removes a part of them
  advance(3)
  for (let i = 0; i < 50; i++) t.equal(user.now('get', `other ${i}`).text, undefined)
  while (keyspace.sweep(sliceOf(1))) {
    // to the end
  }
  t.equal(user.now('size', '').number, 0)
})

t.test('clear does not wait in a full queue', async t => {
  const { keyspace, user } = setUp({ maxWaiters: 2 })
  user.now('acquire', 'key')
  user.ask('clear', '')
  user.ask('clear', '')
  t.equal(user.now('clear', '').code, 'STORE_QUEUE_FULL')
  t.equal(keyspace.collection('c').waiters, 2)
})

t.test('of a hundred thousand locks at most a thousand are listed, whatever the limit', async t => {
  const { keyspace, user } = setUp()
  for (let i = 0; i < 100_000; i++) user.now('acquire', `key ${i}`, {}, `collection ${i % 7}`)
  let looks = 0
  for (let lock = keyspace.locks.first, next; lock !== undefined; lock = next) {
    next = lock.next
    Object.defineProperty(lock, 'next', { get: () => { looks++; return next } })
  }
  for (const [number, count] of [[undefined, 1000], [1e9, 1000], [10, 10], [0, 0], [-1, 0]] as const) {
    looks = 0
    const found = JSON.parse(user.now('locks', '', number === undefined ? {} : { number }).text!) as unknown[]
    t.equal(found.length, count)
    t.ok(looks <= count + 1, `${looks} looks`)
  }
})

t.test('options from another process are validated', async t => {
  const { user } = setUp()
  for (const text of ['{"idle":1e999}', '{"idle":-1}', '{"maxKeys":"3"}', '{"maxBytes":null}', '{"evict":1}']) {
    t.equal(user.now('configure', '', { text }).code, 'STORE_OPTION_INVALID', text)
  }
  t.equal(user.now('configure', '', { text: 'null' }).code, undefined)
  t.throws(() => user.now('configure', '', { text: '{' }), { code: 'STORE_PROTOCOL' })
  user.now('set', 'key', { text: '1' })
  t.equal(user.now('entry', 'key').expiresIn, undefined)
})

t.test('pages of a dump are bounded in bytes, and contain each key once', async t => {
  const { user } = setUp()
  const text = JSON.stringify('x'.repeat(10_000))
  for (let i = 0; i < 300; i++) {
    user.now('set', `key ${i}`, { text: (i % 50 === 0 ? Buffer.from(text) : text) as string })
  }
  const found: string[] = []
  let cursor: string | undefined
  do {
    const reply: string = user.now('dump', '', { cursor, number: 500 }).text!.toString()
    const [head, ...values] = reply.split('\x1e')
    const page = JSON.parse(head!) as { keys: Array<[string, number, null]>, cursor?: string }
    t.ok(page.keys.length >= 1 && page.keys.length <= 27, `${page.keys.length} of 10 KB each`)
    t.ok(values.length === page.keys.length && values.every(value => value === text))
    found.push(...page.keys.map(([key]) => key))
    cursor = page.cursor
  } while (cursor !== undefined)
  t.strictSame(found.sort(), Array.from({ length: 300 }, (_, i) => `key ${i}`).sort())
  t.equal(user.now('dump', '', { cursor: 'x' }).code, 'STORE_OPTION_INVALID')
})

t.test('a page of a scan is bounded, whatever the limit', async t => {
  const { user } = setUp()
  for (let i = 0; i < 5000; i++) user.now('set', `key ${i}`, { text: '1' })
  for (const [number, least, most] of [[1e9, 1000, 2100], [0, 1, 1], [-5, 1, 1], [1.5, 1, 1]] as const) {
    const { keys } = JSON.parse(user.now('scan', '', { number }).text!) as { keys: unknown[] }
    t.ok(keys.length >= least && keys.length <= most, `${number}: ${keys.length}`)
  }
})
