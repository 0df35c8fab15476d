// The memory of entries: blocks are moved and reused while handles, lists, heaps and tables refer to them.
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { Request, type Op, type Reply } from '../../../src/core/engine.js'
import type { Bytes } from '../../../src/core/value.js'
import { Budget } from '../../../src/engines/memory/agenda.js'
import { Arena, NOBODY, OWNER, SIZE, START } from '../../../src/engines/memory/arena.js'
import type { EntryPool } from '../../../src/engines/memory/entry-pool.js'
import { Keyspace } from '../../../src/engines/memory/keyspace.js'
import { Caller } from '../../../src/engines/memory/lock.js'
import { heap } from '../../faults/heap.js'
import { kept } from '../../support/kept-reply.js'

const DAY = 86_400_000

class User extends Caller {
  readonly label = 'user'
  reply: Reply<Bytes> | undefined
  #now = 0
  readonly keyspace = new Keyspace({ time: () => this.#now })

  answer (_: number, reply: Reply<Bytes>): void { this.reply = kept(reply) }
  lost (): void {}

  call (op: Op, key: string, more: Partial<Request<Bytes>> = {}, collection = 'c'): Reply<Bytes> {
    this.reply = undefined
    this.keyspace.submit(Object.assign(new Request<Bytes>(op, collection, key), more), this, 1)
    return this.reply!
  }

  clear (prefix: string, collection = 'c'): void {
    this.keyspace.clear(new Request<Bytes>('clear', collection, prefix), this, 0)
  }

  /** Lets time pass and does all work that is due. */
  advance (ms: number): void {
    this.#now += ms
    this.keyspace.clock.tick()
    while (this.keyspace.sweep(new Budget())) { /* to the end */ }
  }
}

function heapUsed (): number {
  heap() // collects garbage
  return process.memoryUsage().heapUsed
}

/** Bytes of all segments. */
function footprint (arena: Arena): number {
  let bytes = 0
  for (const segment of arena.segments()) bytes += segment.bytes.length
  return bytes
}

/** Number of blocks in use. */
function blocksIn (arena: Arena): number {
  let blocks = 0
  for (const { words, end } of arena.segments()) {
    for (let word = START / 4; word < end / 4; word += words[word + SIZE]! / 4) {
      if (words[word + OWNER] !== NOBODY) blocks++
    }
  }
  return blocks
}

/** The ids of all entries, as a tracker knows them. */
function track (pool: EntryPool): Set<number> {
  const ids = new Set<number>()
  const add = (id: number): void => {
    if (ids.has(id)) throw new Error('added twice')
    ids.add(id)
  }
  const remove = (id: number): void => {
    if (!ids.delete(id)) throw new Error('unknown')
  }
  pool.tracker = {
    onadded ({ id }) { add(id) },
    onmoved (before, id) {
      remove(before)
      add(id)
    },
    ondeleted: remove
  }
  return ids
}

const lengths = [0, 1, 3, 4, 5, 100, 4095, 4096, 4097, 40_000]

t.test('whatever is written, moved, expired, evicted and cleared, a key has the value that was written last', async t => {
  const key = fc.nat(30).map(n => 'k'.repeat(1 + n % 7) + String(n))
  const text = fc.tuple(fc.constantFrom(...lengths), fc.nat(255)).map(([length, code]) => {
    return String.fromCharCode(code).repeat(length)
  })
  const ttl = fc.option(fc.nat(300), { nil: undefined })
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ op: fc.constant('set' as const), key, text, ttl }) },
    { weight: 3, arbitrary: fc.record({ op: fc.constant('get' as const), key }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('del' as const), key }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('lock' as const), key }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('clear' as const), key: fc.constantFrom('', 'k', 'kk') }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('wait' as const), ms: fc.nat(200) }) }
  )
  fc.assert(fc.property(fc.array(step, { minLength: 30, maxLength: 150 }), steps => {
    const user = new User()
    const ids = track(user.keyspace.context.entries)
    const model = new Map<string, { text: string, end: number, version: number }>()
    const tokens = new Map<string, string>()
    let now = 0
    const forgetIfPast = (key: string): void => {
      if (!tokens.has(key) && (model.get(key)?.end ?? Infinity) < now) model.delete(key)
    }
    for (const step of steps) {
      if (step.op === 'wait') {
        user.advance(step.ms)
        now += step.ms
        for (const key of model.keys()) forgetIfPast(key)
      } else if (step.op === 'lock') {
        const token = tokens.get(step.key)
        const reply = user.call(token === undefined ? 'acquire' : 'release', step.key, { token, lease: DAY })
        if (token === undefined) tokens.set(step.key, reply.token!)
        else tokens.delete(step.key)
        forgetIfPast(step.key)
      } else if (step.op === 'clear' && tokens.size === 0) {
        user.clear(step.key)
        for (const key of model.keys()) if (key.startsWith(step.key)) model.delete(key)
      } else if (step.op === 'del' && !tokens.has(step.key)) {
        user.call('del', step.key)
        model.delete(step.key)
      } else if (step.op === 'set') {
        const { key, text, ttl = Infinity } = step
        const token = tokens.get(key)
        const { version } = user.call('set', key, { text, ttl: step.ttl, token })
        const isKept = token !== undefined && step.ttl === undefined
        model.set(key, { text, end: isKept ? model.get(key)?.end ?? Infinity : now + ttl, version: version! })
      }
      for (const key of step.op === 'get' ? [step.key] : model.keys()) {
        const { text, version } = user.call('peek', key, { token: tokens.get(key) })
        if (text !== model.get(key)?.text || version !== model.get(key)?.version) return false
      }
    }
    return ids.size === blocksIn(user.keyspace.context.entries.arena)
  }), { numRuns: 200 })
  t.pass()
})

t.test('entries that are moved keep their value, version, expiry, lock and place in the order of use', async t => {
  const user = new User()
  const { keyspace } = user
  const value = (i: number): string => `${i} ${'x'.repeat(i % 50)}`
  const count = 6000
  for (let i = 0; i < count; i++) {
    user.call('set', `key ${i}`, { text: value(i), ttl: i % 3 === 0 ? DAY + i : undefined }, `c${i % 2}`)
  }
  const large = randomBytes(50_000)
  user.call('set', 'large', { text: large }, 'c0')
  const versions = Array.from({ length: count }, (_, i) => user.call('peek', `key ${i}`, {}, `c${i % 2}`).version)
  const lock = user.call('acquire', 'key 10', { lease: 2 * DAY }, 'c0')
  const before = footprint(keyspace.context.entries.arena)
  for (let i = 0; i < count; i++) if (i % 10 !== 0) user.call('del', `key ${i}`, {}, `c${i % 2}`)
  user.advance(1000)
  const after = footprint(keyspace.context.entries.arena)
  t.ok(after < before / 3, `${before} bytes before, ${after} with a tenth of the keys`)
  t.equal(user.call('peek', 'large', {}, 'c0').text, large.toString('latin1'))
  for (let i = 0; i < count; i += 10) {
    const token = i === 10 ? lock.token : undefined
    const { text, version, expiresIn } = user.call('peek', `key ${i}`, { token }, 'c0')
    const expected = [value(i), versions[i], i % 3 === 0 ? DAY + i - 1000 : undefined]
    if (text !== expected[0] || version !== expected[1] || expiresIn !== expected[2]) t.fail(`key ${i}`)
  }
  t.equal(user.call('set', 'key 10', { text: 'new', token: lock.token }, 'c0').code, undefined)
  t.equal(user.call('release', 'key 10', { token: lock.token }, 'c0').code, undefined)
  for (const key of ['key 20', 'key 0', 'large']) user.call('get', key, {}, 'c0')
  keyspace.collection('c0').configure({ ...keyspace.collection('c0').bounds, maxKeys: 4, evict: true })
  user.advance(1000)
  const left = keyspace.collection('c0').page(0, Infinity).values.map(entry => entry.key)
  t.strictSame(left.sort(), ['key 0', 'key 10', 'key 20', 'large'], 'the least recently used are evicted')
  user.advance(DAY)
  t.equal(keyspace.collection('c0').size, 3, 'key 0 expires')
})

t.test('segments keep their size when more than 2 GiB are used', async t => {
  const arena = new Arena()
  for (let i = 0; i < 5; i++) arena.allocate(0, 2 ** 29) // the kernel gives memory only to what is written
  for (let i = 0; i < 3; i++) t.equal(arena.segment(arena.allocate(0, 2 ** 19 + 8)).bytes.length, 2 ** 20)
  t.ok(arena.reserve(64))
})

t.test('a write for which there is no memory fails, and loses nothing', async t => {
  const user = new User()
  const { keyspace } = user
  const set = (key: string, text: string): string | undefined => user.call('set', key, { text }).code
  for (let i = 0; i < 500; i++) set(`key ${i}`, String(i).repeat(50))
  const { allocUnsafeSlow } = Buffer
  Buffer.allocUnsafeSlow = () => { throw new RangeError('Array buffer allocation failed') }
  t.teardown(() => { Buffer.allocUnsafeSlow = allocUnsafeSlow })
  const { version } = user.call('entry', 'key 0')
  const codes = Array.from({ length: 500 }, (_, i) => set(`new ${i}`, 'x'.repeat(200)))
  t.strictSame(new Set(codes.slice(-100)), new Set(['STORE_FULL']))
  t.equal(set('key 0', 'x'.repeat(4000)), 'STORE_FULL')
  t.equal(set('key 0', 'x'.repeat(5000)), 'STORE_FULL')
  t.strictSame(user.call('entry', 'key 0').version, version)
  for (let i = 0; i < 500; i++) if (user.call('get', `key ${i}`).text !== String(i).repeat(50)) t.fail(`key ${i}`)
  for (let i = 0; i < 500; i += 2) user.call('del', `key ${i}`)
  for (let i = 0; i < 500; i++) user.call('del', `new ${i}`)
  user.advance(1000) // there is no memory to compact the rest
  Buffer.allocUnsafeSlow = allocUnsafeSlow
  user.advance(1000)
  for (let i = 1; i < 500; i += 2) if (user.call('get', `key ${i}`).text !== String(i).repeat(50)) t.fail(`key ${i}`)
  t.equal(set('key 0', 'x'.repeat(5000)), undefined)
  t.equal(keyspace.collection('c').size, 251)
})

t.test('values of any size are outside the JavaScript heap', async t => {
  const user = new User()
  for (const size of [4096, 4097, 8191, 100_000]) {
    const count = Math.ceil(2e7 / size)
    const before = heapUsed()
    const text = (): string => Buffer.alloc(size, 'x').toString('latin1')
    for (let i = 0; i < count; i++) user.call('set', `${size} ${i}`, { text: text() })
    const used = heapUsed() - before
    t.ok(used < 4e6, `${count} values of ${size} bytes take ${used} bytes of heap`)
    t.equal(user.call('get', `${size} 1`).text, 'x'.repeat(size))
  }
})

t.test('memory is freed, whatever the order in which entries of all sizes come and go', async t => {
  const user = new User()
  const { arena } = user.keyspace.context.entries
  let random = 1
  const next = (n: number): number => (random = random * 48271 % 2147483647) % n
  let most = 0
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 3000; i++) {
      const key = `key ${next(2000)}`
      if (next(3) === 0) user.call('del', key)
      else user.call('set', key, { text: 'x'.repeat(next(round % 2 === 0 ? 30 : 600)) })
    }
    user.advance(200)
    let live = 0
    for (const entry of user.keyspace.collection('c').page(0, Infinity).values) live += entry.bytes + 48
    most = Math.max(most, footprint(arena) / (live + 20_000))
  }
  t.ok(most < 1.7, `${most} times what is used`)
  user.clear('')
  user.advance(1000)
  t.ok(footprint(arena) < 20_000, 'nothing is left of what was cleared')
})

t.test('compaction works in slices and ends', async t => {
  const user = new User()
  for (let i = 0; i < 20_000; i++) user.call('set', `key ${i}`, { text: 'x'.repeat(50) })
  for (let i = 0; i < 20_000; i += 2) user.call('del', `key ${i}`)
  user.advance(0)
  const { entries } = user.keyspace.context
  let steps = 0
  const run = (): number | undefined => entries.run(new Budget(() => steps++))
  let slices = 0
  while (run() !== undefined) slices++
  t.ok(slices > 50, `${slices} slices`)
  t.equal(entries.arena.isWasteful, false)
  for (let i = 1; i < 20_000; i += 2) if (user.call('get', `key ${i}`).text?.length !== 50) t.fail(`key ${i}`)
})
