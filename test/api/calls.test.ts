// How calls wait, and which ones are rejected, in one process with mock timers.
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { mock } from 'node:test'
import { promisify } from 'node:util'
import t from 'tap'
import { createStore, type StoreError } from '../../src/index.js'
import { until } from '../support/until.js'

const DAY = 86_400

function codeOf (call: Promise<unknown>): Promise<string> {
  return call.then(() => 'none', (error: StoreError) => error.code)
}

t.test('a call that would wait for its own update rejects immediately', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const jobs = store.collection<number>('jobs')
  const codes: string[] = []
  const ask = async (...calls: Array<Promise<unknown>>): Promise<void> => {
    codes.push(...await Promise.all(calls.map(codeOf)))
  }
  await jobs.update('key', async (_, lock) => {
    await ask(
      jobs.get('key'), jobs.set('key', 2), jobs.text.del('key'), jobs.increment('key'), jobs.getOrSet('key', () => 1),
      store.collection('jobs').clear()
    )
    await jobs.update('other', async () => {
      await ask(jobs.get('key'), jobs.acquire('other'))
      return 1
    })
    await ask(
      jobs.get('other'), jobs.lockInfo('key'), store.collection('others').get('key'),
      jobs.set('key', 3, { token: lock.token }), jobs.clear({ prefix: 'o' })
    )
    t.equal(await jobs.tryAcquire('key'), undefined)
    await lock.release()
    await ask(jobs.get('key'))
    return undefined
  })
  t.strictSame(codes, [...Array<string>(8).fill('STORE_DEADLOCK'), ...Array<string>(6).fill('none')])
  await t.rejects(
    jobs.update('key', async () => await jobs.get('key')),
    { code: 'STORE_DEADLOCK', message: /get of "key" in collection "jobs"/ }
  )
  await t.rejects(jobs.getOrSet('new', async () => (await jobs.get('new'))!), { code: 'STORE_DEADLOCK' })

  const require = createRequire(import.meta.url)
  const { createStore: ofRequire } = require('../../cjs/src/index.js') as { createStore: typeof createStore }
  const clusterStore = createStore()
  t.teardown(() => clusterStore.close())
  const here = clusterStore.collection<number>('jobs')
  const there = ofRequire().collection<number>('jobs')
  t.not(here.constructor, there.constructor)
  for (const [outer, inner] of [[here, there], [there, here]] as const) {
    const nested = outer.update('key', async () => await inner.get('key'))
    await t.rejects(nested, { code: 'STORE_DEADLOCK' }, 'across import and require')
  }

  let later: Promise<unknown> | undefined
  const waiting = jobs.update('key', async () => {
    later = until(async () => await jobs.lockInfo('key') === undefined).then(() => jobs.get('key'))
    return 5
  })
  t.equal(await jobs.get('key'), 5, 'a call made outside the update waits')
  await waiting
  t.equal(await later, 5, 'a call that outlives the update is not a deadlock')
})

t.test('update: an error thrown by its function takes precedence over a lost lock or a closed store', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const jobs = store.collection<number>('jobs')
  const lose = async (): Promise<void> => { await jobs.breakLock('key') }
  await t.rejects(jobs.update('key', async () => { await lose(); throw new Error('mine') }), { message: 'mine' })
  await t.rejects(jobs.update('key', async () => { await lose(); return 1 }), { code: 'STORE_LOCK_LOST' })
  await t.rejects(jobs.update('key', async () => { await lose(); return undefined }), { code: 'STORE_LOCK_LOST' })
  await t.rejects(jobs.update('key', () => 1, { ttl: 0 }), { code: 'STORE_OPTION_INVALID' })
  await t.rejects(jobs.update('key', () => 1n as never), { code: 'STORE_VALUE_INVALID' })
  t.equal(await jobs.update('key', (_, lock) => { lock.set(1); return 2 }), 2, 'the returned value wins')
  t.equal(await jobs.update('key', async (_, lock) => { lock.set(3); await lock.release(); return undefined }), 3)
  const other = createStore('memory:')
  await t.rejects(
    other.collection('jobs').update('key', async () => {
      await other.close()
      throw new Error('mine')
    }),
    { message: 'mine' }
  )
  t.strictSame(await store.locks(), [])
})

t.test('getOrSet: computes the value once, even if other callers give up', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const jobs = store.collection<number | null>('jobs')
  let end!: (value: number) => void
  const first = jobs.getOrSet('key', () => new Promise<number>(resolve => { end = resolve }))
  await until(() => end !== undefined)
  const controller = new AbortController()
  const others = [
    jobs.getOrSet('key', () => 0, { signal: controller.signal }), jobs.getOrSet('key', () => 0, { timeout: 0.02 }),
    jobs.getOrSet('key', () => 0, { timeout: 0 })
  ]
  const codes = Promise.all(others.map(codeOf))
  await until(async () => (await jobs.lockInfo('key'))!.waiters === 1)
  controller.abort()
  t.strictSame(await codes, ['STORE_ABORTED', 'STORE_TIMEOUT', 'STORE_LOCKED'])
  end(7)
  t.equal(await first, 7)
  t.equal(await jobs.getOrSet('null', () => null), null)
  t.equal(await jobs.getOrSet('null', () => 1), null, 'null counts as a value')
  await t.rejects(
    jobs.getOrSet(
      'late',
      async () => {
        await jobs.breakLock('late')
        return 1
      },
      { lease: 1 }
    ),
    { code: 'STORE_LOCK_LOST' }
  )
})

t.test('a wait of more than ten seconds causes one warning', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => { mock.timers.reset() })
  const warnings: Error[] = []
  const onwarning = (warning: Error): void => { if (warning.name === 'StoreWarning') warnings.push(warning) }
  process.on('warning', onwarning)
  t.teardown(() => { process.off('warning', onwarning) })
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const jobs = store.collection('jobs')
  const lock = await jobs.acquire('key', { owner: 'the é holder' })
  const waits: Array<Promise<unknown>> = [
    jobs.get('key'), jobs.acquire('key', { timeout: 11 }).catch(() => {}), jobs.clear(), jobs.get('key')
  ]
  for (let i = 0; i < 4; i++) mock.timers.tick(2_500)
  t.equal(warnings.length, 0)
  waits.push(jobs.set('key', 1)) // reported by the next scan
  mock.timers.tick(2_500)
  await until(() => warnings.length === 2)
  t.match(warnings.map(({ message }) => message).sort(), [
    /^clear of "" in collection "jobs" has waited for more than 10 s: "key" is locked by the é holder since 20/,
    /^get of "key" in collection "jobs" has waited for more than 10 s, and so have \d more calls: "key" is locked by the é holder since 20/
  ])
  t.match(warnings[0], { code: 'STORE_LONG_WAIT' })
  for (let i = 0; i < 4; i++) mock.timers.tick(2_500)
  await until(() => warnings.length === 3)
  t.match(warnings[2]!.message, /^set of "key"/)
  await lock.release()
  await (await store.collection('jobs').acquire('free')).release()
  for (let i = 0; i < 10; i++) mock.timers.tick(2_500)
  await Promise.all(waits)
  t.equal(warnings.length, 3)
})

t.test('a process that exits while a call waits for a lock warns once', async t => {
  const ends = async (code: string): Promise<string> => {
    const index = new URL('../../src/index.js', import.meta.url).href
    const program = `import { createStore } from '${index}'
      const jobs = createStore('memory:').collection('jobs')
      const lock = await jobs.acquire('key', { owner: 'the holder' })
      ${code}`
    const { stderr } = await promisify(execFile)('env', [
      '-u', 'NODE_OPTIONS', process.execPath, '--input-type=module', '-e', program
    ])
    return stderr
  }
  const warning = await ends("jobs.acquire('key'); jobs.get('key')")
  t.match(
    warning,
    /\[STORE_LONG_WAIT\] StoreWarning: acquire of "key" in collection "jobs" is still waiting as the process exits: "key" is locked by the holder since 20/
  )
  t.equal(warning.split('StoreWarning').length, 2)
  t.equal(await ends("jobs.acquire('key'); await lock.release()"), '')
  t.equal(
    await ends("jobs.watch().next(); await jobs.set('other', 1); await lock.release()"), '',
    'a watch that waits for events causes no warning'
  )
  t.equal(await ends("jobs.acquire('key'); process.exit()"), '')
})

t.test('the stores of a process share one beforeExit listener, which is removed when no call waits', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => { mock.timers.reset() })
  mock.timers.tick(2_500) // for earlier tests
  const before = process.listenerCount('beforeExit')
  const stores = Array.from({ length: 20 }, () => createStore('memory:'))
  for (const store of stores) await store.collection('c').get('key')
  t.equal(process.listenerCount('beforeExit'), before + 1)
  mock.timers.tick(2_500)
  t.equal(process.listenerCount('beforeExit'), before)
  for (const store of stores) await store.close()
})

t.test('errors of a closed or unreachable store name the call', async t => {
  const missing = createStore({ url: 'unix:/nowhere/strong-store.sock', connectTimeout: 0.01 })
  const closed = createStore('memory:')
  await closed.close()
  for (const [store, code] of [[missing, 'STORE_UNREACHABLE'], [closed, 'STORE_CLOSED']] as const) {
    const jobs = store.collection('jobs')
    for (const [call, about] of [
      [jobs.get('key'), 'get of "key" in collection "jobs"'],
      [jobs.increment('key'), 'increment of "key" in collection "jobs"'],
      [jobs.acquire('key'), 'acquire of "key" in collection "jobs"'],
      [jobs.clear(), 'clear of collection "jobs"'], [jobs.clear({ prefix: 'a' }), 'clear of "a" in collection "jobs"'], [store.ping(), 'ping'], [store.channel('room').publish('hello'), 'publish in channel "room"']
    ] as Array<[Promise<unknown>, string]>) {
      const { code: found, message } = await call.then(
        () => ({ code: 'resolved', message: '' }), (error: StoreError) => error
      )
      t.equal(found, code)
      t.match(
        message,
        code === 'STORE_CLOSED'
          ? new RegExp(`: ${about}$`)
          : `: ${about}: no store is running at /nowhere/strong-store.sock`
      )
    }
  }
})

t.test('timeouts can be years long, and thousands of calls can share a signal', async t => {
  const warnings: Error[] = []
  const onwarning = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', onwarning)
  t.teardown(() => { process.off('warning', onwarning) })
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const jobs = store.collection('jobs')
  const lock = await jobs.acquire('key', { lease: 100 })
  const long = jobs.get('key', { timeout: 1000 * DAY })
  t.equal(await codeOf(jobs.get('key', { timeout: 0.02 })), 'STORE_TIMEOUT')
  const controller = new AbortController()
  const { signal } = controller
  const calls = Array.from({ length: 2000 }, (_, i) =>
    codeOf(i % 2 === 0 ? jobs.acquire('key', { signal }) : jobs.get(`free ${i}`, { signal }))
  )
  await until(async () => (await jobs.lockInfo('key'))!.waiters === 1001)
  controller.abort()
  t.strictSame(new Set(await Promise.all(calls)), new Set(['STORE_ABORTED', 'none']))
  t.equal((await jobs.lockInfo('key'))!.waiters, 1)
  await lock.release()
  t.equal(await long, undefined)
  await until(async () => await new Promise<boolean>(resolve => { setImmediate(resolve, true) }))
  t.strictSame(warnings, [])
})

t.test('timeout and lease of a store are defaults for its calls', async t => {
  const url = 'memory:'
  const store = createStore({ url, timeout: 0.02, lease: 1000 })
  t.teardown(() => store.close())
  const jobs = store.collection('jobs')
  const lock = await jobs.acquire('key')
  t.ok(lock.expiresAt!.getTime() > Date.now() + 900_000)
  t.ok((await jobs.acquire('own', { lease: 10 })).expiresAt!.getTime() < Date.now() + 20_000)
  t.equal(await codeOf(jobs.get('key')), 'STORE_TIMEOUT')
  t.equal(await codeOf(jobs.update('key', () => 1)), 'STORE_TIMEOUT')
  t.equal(await codeOf(jobs.get('key', { timeout: 0 })), 'STORE_LOCKED')
  t.equal(await codeOf(jobs.clear()), 'STORE_TIMEOUT')
  await lock.release()
  const impatient = createStore({ url, timeout: 0 })
  t.teardown(() => impatient.close())
  await impatient.collection('jobs').acquire('key')
  t.equal(await codeOf(impatient.collection('jobs').get('key')), 'STORE_LOCKED')
  t.equal((await impatient.stats()).keys, 0)
  for (const options of [{ timeout: -1 }, { timeout: 'soon' }, { lease: 0 }, { lease: Infinity }]) {
    t.throws(() => createStore({ url, ...options as object }), { code: 'STORE_OPTION_INVALID' })
  }
})

t.test('every call rejects unknown options', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const jobs = store.collection<any>('jobs')
  const lock = await jobs.acquire('lock')
  const bad = { tll: 1 } as object
  const calls: Record<string, () => Promise<unknown>> = {
    get: () => jobs.get('key', bad),
    entry: () => jobs.entry('key', bad),
    has: () => jobs.has('key', bad),
    set: () => jobs.set('key', 1, bad),
    'set of undefined': () => jobs.set('key', undefined, bad),
    put: () => jobs.put('key', 1, bad),
    del: () => jobs.del('key', bad),
    touch: () => jobs.touch('key', bad),
    increment: () => jobs.increment('n', 1, bad),
    count: () => jobs.count('n', 1, bad),
    decrement: () => jobs.decrement('n', 1, bad),
    update: () => jobs.update('key', () => 1, bad),
    getOrSet: () => jobs.getOrSet('key', () => 1, bad),
    acquire: () => jobs.acquire('key', bad),
    tryAcquire: () => jobs.tryAcquire('key', bad),
    release: () => jobs.release('key', 'token', bad),
    renew: () => jobs.renew('key', 'token', 1, bad),
    breakLock: () => jobs.breakLock('key', bad),
    lockInfo: () => jobs.lockInfo('key', bad),
    getMany: () => jobs.getMany(['key'], bad),
    setMany: () => jobs.setMany([['key', 1]], bad),
    keys: () => jobs.keys(bad).next(),
    entries: () => jobs.entries(bad).next(),
    page: () => jobs.page(bad),
    size: () => jobs.size(bad),
    stats: () => jobs.stats(bad),
    clear: () => jobs.clear(bad),
    configure: () => jobs.configure({}, bad),
    'lock.set': async () => { lock.set(1, bad) },
    'lock.release': () => lock.release(bad),
    'store.locks': () => store.locks(bad),
    'store.stats': () => store.stats(bad)
  }
  for (const [name, call] of Object.entries(calls)) {
    await t.rejects(call(), { code: 'STORE_OPTION_INVALID', message: /unknown option "tll"; expected one of / }, name)
  }
  for (const options of [null, 5, () => {}]) {
    await t.rejects(jobs.get('key', options as never), {
      code: 'STORE_OPTION_INVALID', message: /invalid options: expected an object/
    })
  }
  for (const signal of [null, {}, 'now']) {
    await t.rejects(jobs.get('key', { signal } as never), {
      code: 'STORE_OPTION_INVALID', message: /expected an AbortSignal/
    })
  }
  t.equal(lock.held, true)
  await lock.release()
  t.strictSame(await jobs.getMany(['key', 'n']), [undefined, undefined])
})

t.test('arguments of the wrong shape are rejected before anything is sent', async t => {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  const c = store.collection<any>('c')
  await c.set('a', 1)
  const wrong: Record<string, () => Promise<unknown>> = {
    'setMany of a pair': () => c.setMany(['a', 1] as never),
    'setMany of text': () => c.setMany('ab' as never),
    'setMany of an object': () => c.setMany({ a: 2 } as never),
    'setMany with one wrong pair': () => c.setMany([['a', 2], 'bc'] as never),
    'setMany of records': () => c.setMany([{ key: 'a', value: 2 }] as never),
    'getMany of text': () => c.getMany('a'),
    'export of a name': () => store.export({ collections: 'c' }).next(),
    'configure with a number': () => c.configure(60 as never),
    'update without a function': () => c.update('a', 5 as never),
    'getOrSet without a function': () => c.getOrSet('b', 5 as never),
    ifAbsent: () => c.set('a', 2, { ifAbsent: 1 } as never),
    ifPresent: () => c.set('b', 2, { ifPresent: 'true' } as never),
    durable: () => c.del('a', { durable: 1 } as never),
    detached: () => c.acquire('b', { lease: 1, detached: 1 } as never),
    ttl: () => c.set('a', 2, { ttl: '60' } as never)
  }
  for (const [name, call] of Object.entries(wrong)) await t.rejects(call(), { code: 'STORE_OPTION_INVALID' }, name)
  await t.rejects(c.set('a', Promise.resolve(2)), { code: 'STORE_VALUE_INVALID', message: /it is a promise: await it/ })
  t.strictSame(await c.getMany(['a', 'b']), [1, undefined])
  await t.rejects(c.set('a', 2, { ttl: '60' } as never), { message: /at least 0\.001 and below 2\^40, got "60"/ })
  await t.rejects(c.set('a', 2, { ttl: Infinity }), { message: /at least 0\.001 and below 2\^40, got Infinity/ })
})

t.test('createStore rejects invalid URLs and arguments of the wrong type', async t => {
  t.throws(() => createStore(new URL('unix:relative')), { code: 'STORE_OPTION_INVALID', message: /unix:/ })
  for (const options of [42, true, [], null, () => {}, { url: new URL('memory:') }]) {
    t.throws(() => createStore(options as never), { code: 'STORE_OPTION_INVALID' })
  }
})
