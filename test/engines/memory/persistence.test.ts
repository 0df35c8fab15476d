import { performance } from 'node:perf_hooks'
import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { Request, type Op, type Reply } from '../../../src/core/engine.js'
import type { Bytes } from '../../../src/core/value.js'
import { Budget } from '../../../src/engines/memory/agenda.js'
import { DamageError } from '../../../src/engines/memory/disk.js'
import { dispatch } from '../../../src/engines/memory/dispatch.js'
import { Keyspace } from '../../../src/engines/memory/keyspace.js'
import { load, liveBytes } from '../../../src/engines/memory/loading.js'
import { Caller } from '../../../src/engines/memory/lock.js'
import { Persistence } from '../../../src/engines/memory/persistence.js'
import { MemoryDisk } from '../../support/memory-disk.js'
import { until } from '../../support/until.js'
import { kept } from '../../support/kept-reply.js'

class User extends Caller {
  readonly label = 'test'
  readonly replies = new Map<number, Reply<Bytes>>()
  answer (id: number, reply: Reply<Bytes>): void { this.replies.set(id, kept(reply)) }
  lost (): void {}
}

/** A keyspace that is loaded from a disk and saved to it. */
class Kept {
  readonly keyspace: Keyspace
  readonly user = new User()
  readonly errors: Error[] = []
  persistence!: Persistence
  #id = 0

  constructor (readonly disk: MemoryDisk, time?: () => number) {
    this.keyspace = new Keyspace(time === undefined ? {} : { time })
  }

  static async open (
    disk: MemoryDisk, { flush = 5, time }: { flush?: number, time?: () => number } = {}
  ): Promise<Kept> {
    const kept = new Kept(disk, time)
    const { keyspace } = kept
    const chunks = await load(keyspace, disk, () => {})
    const persistence: Persistence = new Persistence(keyspace, disk, chunks, {
      flush, liveBytes: () => liveBytes(keyspace, persistence.notKept), onerror: error => { kept.errors.push(error) }
    })
    kept.persistence = persistence
    await persistence.begin()
    return kept
  }

  call (
    op: Op, collection: string, key: string, fields: Partial<Request<Bytes>> = {}
  ): { id: number, reply: Reply<Bytes> | undefined } {
    const id = ++this.#id
    this.keyspace.clock.tick()
    dispatch(this.keyspace, Object.assign(new Request<Bytes>(op, collection, key), fields), this.user, id)
    return { id, reply: this.user.replies.get(id) }
  }

  set (collection: string, key: string, text: string, fields: Partial<Request<Bytes>> = {}): number {
    return this.call('set', collection, key, { text, ...fields }).reply!.version!
  }

  get (collection: string, key: string): string | undefined {
    return this.call('peek', collection, key).reply!.text?.toString()
  }

  /** All keys with their versions and values, and the options. */
  dump (): string {
    const { keyspace } = this
    const found: string[] = []
    for (const collection of keyspace.collections.page(0, Infinity).values) {
      const { name, bounds: { idle, maxKeys, maxBytes, evict } } = collection
      if (idle + maxKeys + maxBytes > 0 || !evict) found.push(JSON.stringify([name, idle, maxKeys, maxBytes, evict]))
      for (const entry of collection.page(0, Infinity).values) {
        found.push(
          JSON.stringify([name, entry.key, entry.text, keyspace.values.epoch + entry.version, entry.isTimed])
        )
      }
    }
    return found.sort().join('\n')
  }
}

async function dumpOf (state: ReadonlyMap<string, Buffer>): Promise<string> {
  const keyspace = new Kept(new MemoryDisk(state))
  await load(keyspace.keyspace, keyspace.disk, () => {})
  return keyspace.dump()
}

/** Returns a function whose results are below its argument, and the same for the same STRONG_STORE_SEED. */
function randomNumbers (t: Test): (n: number) => number {
  const seed = Number(process.env.STRONG_STORE_SEED ?? Math.floor(Math.random() * 2 ** 31))
  t.comment(`STRONG_STORE_SEED=${seed}`)
  let state = seed
  return n => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return Math.floor(state / 2 ** 31 * n)
  }
}

/** Each look at the clock ends a slice. */
function endSlicesAtOnce (t: Test): void {
  const { now } = performance
  t.teardown(() => { performance.now = now })
  let time = performance.now()
  performance.now = () => {
    time += 10
    return time
  }
}

t.test('every state on disk is a past state of the keyspace, in order', async t => {
  const random = randomNumbers(t)
  for (let round = 0; round < 20; round++) {
    const disk = new MemoryDisk()
    const kept = await Kept.open(disk, { flush: 1 })
    const dumps = [kept.dump()]
    const locks: Array<{ collection: string, key: string, token: string }> = []
    for (let step = 0; step < 150; step++) {
      const collection = `c${random(3)}`
      const key = `${random(4)}-${random(4)}`
      switch (random(12)) {
        case 0: kept.call('del', collection, key); break
        case 1: kept.call('increment', collection, `n${random(3)}`, { number: random(5) }); break
        case 2: kept.call('touch', collection, key, { ttl: 1e6 }); break
        case 3:
          kept.call('clear', collection, random(3) === 0 ? '' : String(random(4)), { nowait: random(2) === 0 })
          break
        case 4: kept.call('configure', collection, '', { text: JSON.stringify({ maxKeys: random(2) * 8 }) }); break
        case 5: {
          const { reply } = kept.call('acquire', collection, key, { nowait: true })
          if (reply?.token !== undefined) locks.push({ collection, key, token: reply.token })
          break
        }
        case 6: {
          const lock = locks.shift()
          if (lock !== undefined) {
            kept.call(random(2) === 0 ? 'set' : 'release', lock.collection, lock.key, {
              token: lock.token, release: true, text: '"l"'
            })
          }
          break
        }
        default: {
          const ttl = random(3) === 0 ? 1e6 : undefined
          kept.call('set', collection, key, { text: JSON.stringify(step), nowait: true, ttl })
        }
      }
      dumps.push(kept.dump())
      disk.failure = random(10) === 0 ? new Error('full') : undefined
      if (random(3) === 0) await new Promise(resolve => { setImmediate(resolve) })
      if (random(12) === 0) await until(() => kept.persistence.stats().lag === 0 || disk.failure !== undefined)
    }
    disk.failure = undefined
    await kept.persistence.close()
    let at = 0
    for (const state of disk.states) {
      const dump = await dumpOf(state)
      const found = dumps.indexOf(dump, at)
      if (found === -1) return t.fail(`round ${round}: no such state from step ${at} on:\n${dump}`)
      at = found
    }
    if (dumps.at(-1) !== await dumpOf(disk.records)) return t.fail(`round ${round}: close has not written everything`)
  }
  t.pass('all states match')
})

t.test('a flush that takes many slices writes the state at its start', async t => {
  const KEYS = 8000
  const disk = new MemoryDisk()
  const kept = await Kept.open(disk, { flush: 1 })
  let n = 0
  for (let turn = 0; turn < 80 || disk.states.length < 5; turn++) {
    for (let i = 0; i < 500; i++) {
      n++
      kept.set('c', `k${n % KEYS}`, String(n))
      if (n % 7 === 0) kept.call('del', 'c', `k${(n - 3) % KEYS}`)
      if (n % 9001 === 0) kept.call('clear', 'c', n % 2 === 0 ? '' : 'k1')
      kept.set('last', 'n', String(n))
    }
    await new Promise(resolve => { setImmediate(resolve) })
  }
  await kept.persistence.close()
  const step = Math.ceil(disk.states.length / 10)
  for (const state of disk.states.filter((_state, i) => i > 0 && i % step === 0)) {
    const loaded = await Kept.open(new MemoryDisk(state))
    const last = Number(loaded.get('last', 'n'))
    const expected = new Map<string, string>()
    for (let i = 1; i <= last; i++) {
      expected.set(`k${i % KEYS}`, String(i))
      if (i % 7 === 0) expected.delete(`k${(i - 3) % KEYS}`)
      if (i % 9001 === 0) {
        for (const key of [...expected.keys()]) if (i % 2 === 0 || key.startsWith('k1')) expected.delete(key)
      }
    }
    // Steps are synchronous, and a flush starts between two turns of the event loop: it contains only complete steps.
    const found = new Map(
      loaded.keyspace
        .collection('c')
        .page(0, Infinity)
        .values.map(entry => [entry.key, String(entry.text)])
    )
    t.same(
      [found.size, [...expected].filter(([key, text]) => found.get(key) !== text)], [expected.size, []],
      `state at ${last}`
    )
    await loaded.persistence.close()
  }
})

t.test('a flush of many slices writes one past state, whatever happens in between', async t => {
  const KEYS = 400
  const random = randomNumbers(t)
  endSlicesAtOnce(t)
  for (let round = 0; round < 6; round++) {
    const disk = new MemoryDisk()
    const kept = await Kept.open(disk, { flush: 1 })
    const dumps = [kept.dump()]
    const set = (collection: string, i: number, fields: Partial<Request<Bytes>> = {}): void => {
      const length = random(50) === 0 ? 5000 : random(60)
      const text = JSON.stringify(`${random(1e6)} ${'x'.repeat(length)}`)
      const ttl = random(4) === 0 ? 1e6 : undefined
      kept.call('set', collection, `${i % 3}-${i}`, { text, ttl, nowait: true, ...fields })
    }
    const locks: Array<{ collection: string, i: number, token: string }> = []
    for (let step = 0; step < 200; step++) {
      const collection = `c${random(2)}`
      if (step % 40 === 0) for (let i = 0; i < KEYS; i++) set(`c${i % 2}`, i)
      for (let many = random(8); many > 0; many--) {
        const i = random(KEYS)
        const key = `${i % 3}-${i}`
        const kind = random(12)
        if (kind === 0) kept.call('del', collection, key, { nowait: true })
        else if (kind === 1) kept.call('touch', collection, key, { ttl: 1e6, nowait: true })
        else if (kind === 2) {
          const { reply } = kept.call('acquire', collection, key, { nowait: true })
          if (reply?.token !== undefined) locks.push({ collection, i, token: reply.token })
        } else if (kind === 3 && locks.length > 0) {
          const lock = locks.shift()!
          set(lock.collection, lock.i, { token: lock.token, release: true })
        } else set(collection, i)
      }
      if (random(15) === 0) kept.call('clear', collection, ['', '0', '1-1'][random(3)]!, { nowait: true })
      kept.keyspace.sweep(new Budget())
      dumps.push(kept.dump())
      await new Promise(resolve => { setImmediate(resolve) })
    }
    await kept.persistence.close()
    let at = 0
    for (const state of disk.states) {
      const found = dumps.indexOf(await dumpOf(state), at)
      if (found === -1) return t.fail(`round ${round}: a state is none of those from step ${at} on`)
      at = found
    }
    if (dumps.at(-1) !== await dumpOf(disk.records)) return t.fail(`round ${round}: close has not written everything`)
    t.ok(disk.states.length > 5, `${disk.states.length} states`)
  }
})

t.test('what a flush has read is not lost if it fails before it is written', async t => {
  for (const failing of ['read', 'allocate'] as const) {
    const disk = new MemoryDisk()
    const kept = await Kept.open(disk, { flush: 1 })
    const text = JSON.stringify('x'.repeat(1000))
    for (let i = 0; i < 2000; i++) kept.set('c', `k${i}`, text)
    await until(() => kept.persistence.stats().lag === 0)
    for (let i = 0; i < 1500; i++) kept.call('del', 'c', `k${i}`)
    kept.set('other', 'a', JSON.stringify('x'.repeat(100_000)))
    kept.call('clear', 'c', 'k15')
    kept.call('configure', 'other', '', { text: '{"maxKeys":10}' })
    const { read } = disk
    const { allocUnsafeSlow } = Buffer
    const fail = (): never => { throw new RangeError('no memory') }
    if (failing === 'read') disk.read = fail
    else Buffer.allocUnsafeSlow = fail
    await until(() => kept.errors.length > 0)
    disk.read = read
    Buffer.allocUnsafeSlow = allocUnsafeSlow
    await kept.persistence.close()
    t.equal(await dumpOf(disk.records), kept.dump(), failing)
  }
})

t.test('keys that are deleted in one flush stay deleted, at whichever step of it', async t => {
  endSlicesAtOnce(t)
  const KEYS = 25_000
  for (const batch of [100, 300, 1000, 3000]) {
    const disk = new MemoryDisk()
    const kept = await Kept.open(disk, { flush: 1 })
    const text = JSON.stringify('x'.repeat(100))
    for (let i = 0; i < KEYS; i++) kept.set('c', `k${i}`, text)
    kept.set('c', 'other', text)
    await until(() => kept.persistence.stats().lag === 0)
    for (let i = 0; i < KEYS; i++) {
      // Too few of them for a new log until the flush has begun.
      if (i > 18_000 && i % batch === 0) await new Promise(resolve => { setImmediate(resolve) })
      kept.call('del', 'c', `k${i}`)
    }
    await kept.persistence.close()
    t.equal(await dumpOf(disk.records), kept.dump(), `${batch} deletes per turn`)
  }
})

t.test('while the disk is full, the memory for deleted keys and clears is bounded', async t => {
  const disk = new MemoryDisk()
  const kept = await Kept.open(disk, { flush: 1 })
  kept.call('configure', 'options', '', { text: '{"maxKeys":7}' })
  for (let i = 0; i < 100; i++) kept.set('c', `old ${i}`, '1')
  await until(() => kept.persistence.stats().lag === 0)
  disk.failure = new Error('full')
  kept.set('c', 'old 1', '2')
  await until(() => kept.errors.length > 0)
  kept.call('clear', 'c', 'old 2')
  kept.call('configure', 'more', '', { text: '{"maxKeys":8}' })
  for (let i = 0; i < 60_000; i++) {
    kept.set(`c${i % 3}`, `key ${i}`, '1')
    kept.call('del', `c${i % 3}`, `key ${i}`)
    if (i % 3 === 0) kept.call('clear', 'c', `key ${i}`)
  }
  kept.call('del', 'c', 'old 3')
  disk.failure = undefined
  await kept.persistence.close()
  t.equal(await dumpOf(disk.records), kept.dump())
  const { bytes } = kept.persistence.stats()
  t.ok(bytes < 10_000, `${bytes} bytes in the log`)
})

t.test('versions and fences increase across restarts, whatever the wall clock does', async t => {
  const disk = new MemoryDisk()
  const first = await Kept.open(disk)
  const version = first.set('c', 'a', '1')
  const { fence } = first.call('acquire', 'c', 'b').reply!
  await first.persistence.close()
  const { now } = Date
  t.teardown(() => { Date.now = now })
  for (const [i, jump] of [-1e9, 1e9, -2e9].entries()) {
    Date.now = () => now() + jump
    const kept = await Kept.open(disk)
    t.equal(kept.call('entry', 'c', 'a').reply!.version, version, 'saved keys keep their version')
    const fences = [kept.call('acquire', 'c', `x${i}`).reply!.fence!]
    // A crash before anything else was written.
    const next = await Kept.open(new MemoryDisk(disk.records))
    fences.push(next.call('acquire', 'c', 'y').reply!.fence!)
    t.ok(fences[0]! > fence!, 'fences increase across a restart')
    t.ok(fences[1]! > fences[0]!, 'fences increase across a crash')
    t.ok(next.set('c', 'new', '1') > version, 'versions increase as well')
    await kept.persistence.close()
    await next.persistence.close()
  }
})

t.test('expiry is saved in wall-clock time, and idle time restarts', async t => {
  let time = 0
  const disk = new MemoryDisk()
  const first = await Kept.open(disk, { time: () => time })
  first.call('configure', 'idle', '', { text: '{"idle":5000}' })
  first.set('idle', 'a', '1')
  first.set('c', 'soon', '1', { ttl: 10_000 })
  first.set('c', 'later', '1', { ttl: 60_000 })
  time = 4000
  await first.persistence.close()
  const { now } = Date
  t.teardown(() => { Date.now = now })
  Date.now = () => now() + 20_000
  let later = 1e6
  const second = await Kept.open(disk, { time: () => later })
  t.equal(second.get('c', 'soon'), undefined)
  const { expiresIn } = second.call('peek', 'c', 'later').reply!
  t.ok(Math.abs(expiresIn! - 36_000) < 1000, `${expiresIn} ms left`)
  later += 4900
  t.equal(second.get('idle', 'a'), '1')
  later += 200
  t.equal(second.get('idle', 'a'), undefined)
  await second.persistence.close()
})

t.test('keys that expire while others are loaded do not change their versions', async t => {
  const disk = new MemoryDisk()
  const first = await Kept.open(disk)
  for (let i = 0; i < 500; i++) first.set('c', `timed ${i}`, '1', { ttl: 1e6 + i })
  for (let i = 0; i < 500; i++) first.set('c', `key ${i}`, JSON.stringify('x'.repeat(500)))
  await first.persistence.close()
  let time = 0
  endSlicesAtOnce(t)
  const second = await Kept.open(disk, {
    time: () => {
      time += 500_000
      return time
    }
  })
  t.ok(second.keyspace.collection('c').expired > 0)
  for (let i = 0; i < 500; i++) {
    const entry = first.keyspace.collection('c').find(`key ${i}`)!
    const { version } = second.keyspace.collection('c').find(`key ${i}`)!
    t.equal(version + second.keyspace.values.epoch, entry.version + first.keyspace.values.epoch)
  }
  await second.persistence.close()
})

t.test('a change while the store opens does not write twice at the same time', async t => {
  const disk = new MemoryDisk()
  let writes = 0
  let most = 0
  const { write } = disk
  disk.write = async records => {
    most = Math.max(most, ++writes)
    await new Promise(resolve => { setTimeout(resolve, 20) })
    await write.call(disk, records)
    writes--
  }
  const keyspace = new Keyspace()
  const errors: Error[] = []
  const persistence = new Persistence(keyspace, disk, [], {
    flush: 1, liveBytes: () => 0, onerror: error => { errors.push(error) }
  })
  const begun = persistence.begin()
  await new Promise(resolve => { setImmediate(resolve) })
  keyspace.collection('c').put('key', undefined, '1', null, false)
  await begun
  await persistence.close()
  t.equal(most, 1)
  t.strictSame(errors, [])
})

t.test('damage of a record is noticed, whichever it is', async t => {
  const disk = new MemoryDisk()
  const kept = await Kept.open(disk)
  kept.call('configure', 'c', '', { text: '{"maxKeys":5000}' })
  for (let i = 0; i < 300; i++) kept.set('c', `key ${i}`, JSON.stringify('x'.repeat(1000)))
  await kept.persistence.close()
  t.ok(disk.names().filter(name => name.startsWith('log/')).length > 2)
  const { records } = disk
  t.equal(await dumpOf(new Map(records)), kept.dump())
  for (const [name, content] of records) {
    const others = new Map([...records].filter(([other]) => other !== name))
    if (!name.startsWith('options/')) await t.rejects(dumpOf(others), { message: /missing/ }, `without ${name}`)
    for (const [i, char] of [...name].entries()) {
      const renamed = name.slice(0, i) + String.fromCharCode(char.charCodeAt(0) ^ 2) + name.slice(i + 1)
      const outcome = await dumpOf(new Map(others).set(renamed, content)).catch((error: Error) => error)
      t.ok(outcome instanceof DamageError, renamed)
    }
    for (let at = 0; at < content.length; at += 1 + Math.floor(content.length / 100)) {
      const damaged = Buffer.from(content)
      damaged[at]! ^= 1
      const changed = new Map(others).set(name, damaged)
      const outcome = await dumpOf(changed).catch((error: Error) => error)
      t.ok(outcome === kept.dump() || outcome instanceof DamageError, `${name} at ${at}`)
    }
  }
})

t.test('while writes fail, the store keeps working, and changes are written later', async t => {
  const disk = new MemoryDisk()
  const kept = await Kept.open(disk, { flush: 1 })
  disk.failure = new Error('no space')
  kept.set('c', 'a', '1')
  await until(() => kept.errors.length > 0)
  kept.set('c', 'b', '2')
  t.equal(kept.get('c', 'b'), '2')
  const { id } = kept.call('set', 'c', 'd', { text: '3', durable: true })
  t.equal((await until(() => kept.user.replies.get(id))).code, 'STORE_NOT_DURABLE')
  t.equal(kept.errors.length, 1, 'it is reported once')
  t.ok(kept.persistence.stats().errors >= 2)
  t.ok(kept.persistence.stats().lag > 0)
  disk.failure = undefined
  await until(() => kept.persistence.stats().lag === 0)
  const loaded = await Kept.open(new MemoryDisk(disk.records))
  t.same([loaded.get('c', 'a'), loaded.get('c', 'b'), loaded.get('c', 'd')], ['1', '2', '3'])
  await loaded.persistence.close()
  disk.failure = new Error('no space')
  kept.set('c', 'e', '4')
  await t.rejects(kept.persistence.close(), { message: 'no space' })
})

t.test('failed writes are retried at increasing intervals', async t => {
  const disk = new MemoryDisk()
  const kept = await Kept.open(disk)
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => { mock.timers.reset() })
  disk.failure = new Error('no space')
  kept.set('c', 'a', '1')
  const triesWithin = async (seconds: number): Promise<number> => {
    const { errors } = kept.persistence.stats()
    for (let tick = 0; tick < 4 * seconds; tick++) {
      mock.timers.tick(250)
      for (let turn = 0; turn < 8; turn++) await new Promise(resolve => { setImmediate(resolve) })
    }
    return kept.persistence.stats().errors - errors
  }
  t.equal(await triesWithin(1), 1)
  t.equal(await triesWithin(1), 1)
  t.equal(await triesWithin(62), 5, 'after 2, 4, 8, 16 and 30 more')
  t.equal(await triesWithin(300), 10)
  disk.failure = undefined
  t.equal(await triesWithin(30), 0)
  t.equal(kept.persistence.stats().lag, 0)
  mock.timers.reset()
  await kept.persistence.close()
})

t.test('a durable change is answered when it is written', async t => {
  const disk = new MemoryDisk()
  const kept = await Kept.open(disk, { flush: 60_000 })
  const { id, reply } = kept.call('set', 'c', 'a', { text: '1', durable: true })
  t.equal(reply, undefined)
  const others = Array.from(
    { length: 100 }, (_, i) => kept.call('increment', 'c', `n${i}`, { number: 1, durable: true }).id
  )
  const writes = disk.states.length
  await until(() => kept.user.replies.has(id) && others.every(id => kept.user.replies.has(id)))
  t.equal(disk.states.length, writes + 1, 'one write for all of them')
  const many = Array.from({ length: 200_000 }, () => kept.call('set', 'c', 'many', { text: '1', durable: true }).id)
  await until(() => many.every(id => kept.user.replies.get(id)?.code === undefined && kept.user.replies.has(id)))
  const loaded = await Kept.open(new MemoryDisk(disk.records))
  t.equal(loaded.get('c', 'a'), '1')
  kept.call('configure', 'd', '', { text: '{"durable":true}' })
  t.equal(kept.call('set', 'd', 'a', { text: '1' }).reply, undefined, 'durable as an option of the collection')
  t.not(kept.call('set', 'c', 'b', { text: '1' }).reply, undefined)
  kept.call('configure', 'loose', '', { text: '{"keep":false}' })
  t.equal(kept.call('set', 'loose', 'a', { text: '1', durable: true }).reply!.code, 'STORE_OPTION_INVALID')
  t.equal(kept.get('loose', 'a'), undefined)
  t.equal(kept.call('configure', 'loose', '', { text: '{"durable":true}' }).reply!.code, 'STORE_OPTION_INVALID')
  await kept.persistence.close()
  await loaded.persistence.close()
})

t.test('a collection with keep: false is not written, and one that was written before is removed', async t => {
  const disk = new MemoryDisk()
  const kept = await Kept.open(disk)
  kept.call('configure', 'tmp', '', { text: '{"keep":false}' })
  kept.set('tmp', 'a', '1')
  kept.set('was', 'a', '1')
  kept.call('configure', 'was', '', { text: '{"keep":false}' })
  kept.call('configure', 'again', '', { text: '{"keep":false}' })
  kept.set('again', 'a', '1')
  kept.call('configure', 'again', '', { text: '{"keep":true}' })
  await kept.persistence.close()
  const loaded = await Kept.open(disk)
  t.same([loaded.get('tmp', 'a'), loaded.get('was', 'a'), loaded.get('again', 'a')], [undefined, undefined, '1'])
  loaded.set('tmp', 'b', '1')
  await loaded.persistence.close()
  const last = await Kept.open(disk)
  t.equal(last.get('tmp', 'b'), undefined, 'the option is kept')
  await last.persistence.close()
})

t.test('keep can be changed during a flush of many slices', async t => {
  const KEYS = 600
  const TURNS = 200
  endSlicesAtOnce(t)
  const disk = new MemoryDisk()
  const kept = await Kept.open(disk, { flush: 1 })
  for (let n = 1; n <= TURNS || disk.states.length < 8; n++) {
    for (let i = 0; i < KEYS; i++) if (i % 3 === n % 3) kept.set('c', `k${i}`, String(n))
    kept.set('last', 'n', String(n))
    await new Promise(resolve => { setImmediate(resolve) })
    // Between two turns, as for a call of another process.
    if (n % 5 === 0) kept.call('configure', 'c', '', { text: JSON.stringify({ keep: n % 2 === 0 }) })
    kept.set('last', 'n', String(n + 0.5))
    await new Promise(resolve => { setImmediate(resolve) })
  }
  await kept.persistence.close()
  let looked = 0
  const step = Math.ceil(disk.states.length / 20)
  for (const state of disk.states.filter((_state, i) => i % step === 0)) {
    const loaded = new Kept(new MemoryDisk(state))
    await load(loaded.keyspace, loaded.disk, () => {})
    const last = Number(loaded.get('last', 'n') ?? 0)
    const collection = loaded.keyspace.collection('c')
    if (!collection.bounds.keep) {
      if (collection.size > 0) return t.fail(`${collection.size} keys that are not kept, at ${last}`)
      looked++
    } else if (last >= 3) {
      const n = Math.floor(last)
      const wrong = collection.page(0, Infinity).values.filter(({ key, text }) => {
        const i = Number(key.slice(1))
        return Number(text) !== n - ((n - i) % 3 + 3) % 3
      })
      if (collection.size !== KEYS || wrong.length > 0) {
        return t.fail(`${collection.size} keys, ${wrong.length} of them older, at ${last}`)
      }
      looked++
    }
  }
  t.ok(looked > 0, `${looked} states`)
})

t.test('setting keep: true on a large collection marks its keys in pages, and saves all of them', async t => {
  const KEYS = 50_000
  const disk = new MemoryDisk()
  const kept = await Kept.open(disk, { flush: 1 })
  kept.call('configure', 'c', '', { text: '{"keep":false}' })
  for (let i = 0; i < KEYS; i++) kept.set('c', `k${i}`, '1')
  const collection = kept.keyspace.collection('c')
  const pages: number[] = []
  let turn = 0
  const page = collection.page.bind(collection)
  collection.page = (...args) => {
    pages.push(turn)
    return page(...args)
  }
  kept.call('configure', 'c', '', { text: '{"keep":true}' })
  t.equal(pages.length, 0, 'the call itself marks no keys')
  for (; disk.states.length === 0 || kept.persistence.stats().lag > 0; turn++) {
    if (turn < 100) {
      kept.call('del', 'c', `k${turn}`)
      kept.set('c', `new${turn}`, '2')
      kept.set('c', `k${KEYS - 1 - turn}`, '2')
    }
    await new Promise(resolve => { setImmediate(resolve) })
  }
  t.ok(new Set(pages).size > 1, `in ${new Set(pages).size} turns`)
  await kept.persistence.close()
  const loaded = await Kept.open(disk)
  t.ok(loaded.dump() === kept.dump())
  await loaded.persistence.close()
})

t.test('the size of the log stays in proportion to the data', async t => {
  const disk = new MemoryDisk()
  const kept = await Kept.open(disk, { flush: 1 })
  const text = JSON.stringify('x'.repeat(1000))
  for (let i = 0; i < 2000; i++) kept.set('cold', `k${i}`, text)
  for (let i = 0; i < 60; i++) {
    for (let j = 0; j < 200; j++) kept.set('hot', `k${j}`, text)
    await until(() => kept.persistence.stats().lag === 0)
  }
  const live = liveBytes(kept.keyspace, [])
  const written = 2200 * 1000 + 59 * 200 * 1000
  const { bytes } = kept.persistence.stats()
  t.ok(bytes < live * 2, `${bytes} bytes for ${live}, of ${written} written`)
  t.equal(
    bytes, [...disk.records].reduce((sum, [name, value]) => sum + (name.startsWith('log/') ? value.length : 0), 0)
  )
  await kept.persistence.close()
  t.equal(await dumpOf(disk.records), kept.dump())
})

t.test('keys that are touched are written once per flush', async t => {
  const disk = new MemoryDisk()
  const kept = await Kept.open(disk, { flush: 1 })
  let written = 0
  const { write } = disk
  disk.write = async records => {
    for (const [name, value] of records) if (name.startsWith('log/')) written += value?.length ?? 0
    await write.call(disk, records)
  }
  const text = JSON.stringify('x'.repeat(1000))
  for (let i = 0; i < 3000; i++) kept.set('c', `k${i}`, text, { ttl: 1e6 })
  await until(() => kept.persistence.stats().lag === 0)
  written = 0
  const touches = 300
  for (let flush = 0; flush < 60; flush++) {
    for (let i = 0; i < touches; i++) kept.call('touch', 'c', `k${(flush * touches + i) % 3000}`, { ttl: 1e6 + flush })
    await until(() => kept.persistence.stats().lag === 0)
  }
  const touched = 60 * touches * 1030
  t.ok(written < touched * 1.3, `${written} bytes for ${touched}`)
  await kept.persistence.close()
  t.equal(await dumpOf(disk.records), kept.dump())
})

t.test('the log of many small collections is not written again and again', async t => {
  const disk = new MemoryDisk()
  const kept = await Kept.open(disk, { flush: 1 })
  for (let i = 0; i < 20_000; i++) kept.set(`the cart of user number ${1e9 + i}`, 'cart', '1')
  await until(() => kept.persistence.stats().lag === 0)
  const before = disk.records
  for (let i = 0; i < 5; i++) {
    kept.set(`the cart of user number ${1e9 + i}`, 'cart', '2')
    await until(() => kept.persistence.stats().lag === 0)
  }
  t.same([...before.keys()].filter(name => !disk.records.has(name)), [])
  await kept.persistence.close()
  t.equal(await dumpOf(disk.records), kept.dump())
})

t.test('a chunk of the log that is damaged while the store is open is replaced', async t => {
  const disk = new MemoryDisk()
  const kept = await Kept.open(disk, { flush: 1 })
  const text = JSON.stringify('x'.repeat(1000))
  for (let i = 0; i < 2000; i++) kept.set('cold', `k${i}`, text)
  await until(() => kept.persistence.stats().lag === 0)
  const name = disk.names().find(name => name.startsWith('log/'))
  const damaged = Buffer.from(disk.read(name!)!)
  damaged[damaged.length >> 1]! ^= 1
  disk.records = new Map(disk.records).set(name!, damaged)
  for (let i = 0; kept.errors.length === 0 && i < 100; i++) {
    for (let j = 0; j < 200; j++) kept.set('hot', `k${j}`, text)
    await until(() => kept.persistence.stats().lag === 0 || kept.errors.length > 0)
  }
  t.match(kept.errors, [{ message: 'a checksum does not match' }], 'it is reported once')
  await until(() => kept.persistence.stats().lag === 0)
  t.equal(disk.read(name!), undefined)
  await kept.persistence.close()
  t.equal(await dumpOf(disk.records), kept.dump())
})
