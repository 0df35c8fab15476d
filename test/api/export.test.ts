// An export followed by an import reproduces a store, whichever engines it passes through.
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createStore, type Store } from '../../src/index.js'
import { TOKEN, serveAdmin } from '../support/admin.js'
import { NO_REDIS, hasRedis, startServer, startValkey } from '../support/redis.js'
import { directory, serve } from '../support/serve.js'
import { until } from '../support/until.js'

const NAMES = [
  '', ' ', '\n', '\u0000', '__proto__', 'constructor', 'a/b?c#d%', ',"value":', '"}', '\\', '\u001e', '\u2028',
  '\u007f\u0080\u00ff\u0100', 'é€😀', '\ufeff', '😀'.repeat(256), 'k'.repeat(1024)
]
/** JSON texts, which must be exported as they are. */
const TEXTS = [
  'null', '0', '-0', '1.0', '1e400', '12345678901234567890.10', '""', '"\\ud800"', '"\u2028\u007f\u009b"',
  '{"__proto__":{"x":1}}', '{"a":1,"a":2}', '{"value":1,"key":",\\"value\\":"}', '[ 1 ,\t2 ]', '"\\u001e\\n"',
  `"${'€'.repeat(20_000)}"`, `"${'\\"'.repeat(2 ** 19 - 1)}"`
]

async function collect (source: AsyncIterable<string>): Promise<string> {
  let all = ''
  for await (const lines of source) all += lines
  return all
}

interface Line { collection: string, key?: string, expiresAt?: string, version?: number, options?: object }

/** The lines of an export, sorted, without the versions and expiry times, which differ from store to store. */
async function contentOf (store: Store): Promise<string[]> {
  const lines = (await collect(store.export())).split('\n').slice(0, -1)
  return lines.map(line => {
    const { version, expiresAt } = JSON.parse(line) as Line
    return line.replace(`,"version":${version}`, '').replace(String(expiresAt), 'later')
  }).sort()
}

/** A store in this process, which is closed at the end of the test. */
function inMemory (t: Test): Store {
  const store = createStore('memory:')
  t.teardown(() => store.close())
  return store
}

async function fill (store: Store): Promise<void> {
  for (const [i, name] of NAMES.entries()) {
    const collection = store.collection(name).text
    await Promise.all(
      NAMES.map((key, j) => collection.set(key, TEXTS[(i + j) % 12]!, j % 3 === 0 ? { ttl: 3600 + j } : {}))
    )
  }
  await Promise.all(TEXTS.map((text, i) => store.collection('texts').text.set(`text ${i}`, text)))
  await store.collection('breaks').text.set('key', '{\r\n "a":\n1 }')
  const options = { expireKeys: 3600, maxKeys: 1000, maxBytes: 1e6, evict: false }
  await store.collection('bounded').configure(options)
  await store.collection('bounded').set('idle', 1)
  await store.collection('bounded').set('timed', 1, { ttl: 60 })
  await store.collection('empty').configure({ maxKeys: 5 })
  await Promise.all(Array.from({ length: 50 }, (_, i) => store.collection(`one of many ${i}`).set('key', i)))
  await store.collection('many').setMany(Array.from({ length: 700 }, (_, i) => [`key ${i}`, i]))
}

const engines: Record<string, (t: Test) => Promise<Store>> = {
  'this process': async t => inMemory(t),
  'a separate process': async t => createStore((await serve(t, ['--socket', join(directory(t), 'socket')])).url),
  'an admin API': async t => {
    const { origin } = await serveAdmin(t, inMemory(t))
    return createStore({ url: `${origin}/_store/v1`, token: TOKEN })
  },
  Redis: async t => createStore(hasRedis ? (await startServer(t)).options : await startValkey(t))
}
if (!hasRedis) t.comment(`redis-server ${NO_REDIS}: using Valkey instead`)

for (const [name, open] of Object.entries(engines)) {
  t.test(`a store copied from memory to ${name} and back is unchanged`, async t => {
    const before = inMemory(t)
    await fill(before)
    const between = await open(t)
    t.teardown(() => between.close())
    const counts = await between.import(before.export())
    t.strictSame(counts, { keys: NAMES.length ** 2 + TEXTS.length + 1 + 2 + 50 + 700, skipped: 0 })
    const after = inMemory(t)
    t.strictSame(await after.import(between.export()), counts)

    const content = await contentOf(before)
    t.ok(
      content.includes('{"collection":"texts","key":"text 5","value":12345678901234567890.10}'),
      'values are not parsed'
    )
    t.ok(
      content.includes('{"collection":"breaks","key":"key","value":{   "a": 1 }}'),
      'line breaks in a value become spaces'
    )
    t.ok(content.includes('{"collection":"bounded","key":"idle","value":1}'), 'an idle time is not an expiry')
    t.ok(content.includes('{"collection":"bounded","key":"timed","expiresAt":"later","value":1}'))
    t.ok(content.includes('{"collection":"empty","options":{"maxKeys":5}}'))
    t.ok(content.includes('{"collection":"bounded","options":{"expireKeys":3600,"maxKeys":1000,"maxBytes":1000000,"evict":false}}'))
    t.strictSame(await contentOf(between), content)
    t.strictSame(await contentOf(after), content)
    const [was, is] = await Promise.all([before, after].map(store => store.collection('').entry('')))
    t.ok(Math.abs(is!.expiresAt!.getTime() - was!.expiresAt!.getTime()) < 300_000, 'the expiry is preserved')

    t.strictSame(
      await collect(between.export({ collections: ['empty', 'no such collection'] })),
      '{"collection":"empty","options":{"maxKeys":5}}\n'
    )
    const lock = await between.collection('texts').acquire('text 1')
    lock.set('not committed')
    t.match(
      await collect(between.export({ collections: ['texts'] })),
      /"key":"text 1","version":\d+,"value":0}/,
      'a locked key is exported as last committed'
    )
    await lock.release()
    await t.rejects(collect(between.export({ collections: ['\ud800'] })), { code: 'STORE_NAME_INVALID' })
    await t.rejects(collect(between.export({ prefix: 'a' } as object)), { code: 'STORE_OPTION_INVALID' })
    await t.rejects(collect(between.export({ signal: AbortSignal.abort() })), { code: 'STORE_ABORTED' })
  })
}

t.test('import merges, replaces, or writes only absent keys', async t => {
  const source = [
    '{"collection":"c","options":{"maxKeys":7}}', '{"collection":"c","key":"both","value":"new"}',
    '{"collection":"c","key":"new","value":"new"}', '{"collection":"d","options":{"maxKeys":7}}',
    '{"collection":"d","key":"new","value":"new"}',
    '{"collection":"c","key":"over","expiresAt":"2001-01-01T00:00:00Z","value":1}'
  ].join('\n') // the last line needs no line break
  const cases = [
    [
      undefined, { keys: 3, skipped: 1 }, { both: 'new', old: 'old', new: 'new', over: 'old' },
      { expireKeys: 60, maxKeys: 7 }
    ],
    ['replace', { keys: 3, skipped: 1 }, { both: 'new', new: 'new' }, { expireKeys: 0, maxKeys: 7 }],
    [
      'absent', { keys: 2, skipped: 2 }, { both: 'old', old: 'old', new: 'new', over: 'old' },
      { expireKeys: 60, maxKeys: 0 }
    ]
  ] as const
  for (const [mode, counts, content, options] of cases) {
    const store = inMemory(t)
    await store.collection('c').configure({ expireKeys: 60 })
    await store.collection('c').setMany(['both', 'old', 'over'].map(key => [key, 'old']))
    await store.collection('other').set('key', 1)
    t.strictSame(await store.import(source, { mode }), counts, String(mode))
    const found: Record<string, unknown> = {}
    for await (const [key, value] of store.collection('c').entries()) found[key] = value
    t.strictSame(found, content, String(mode))
    t.match(await store.collection('c').stats(), options)
    t.match(await store.collection('d').stats(), { keys: 1, maxKeys: 7 })
    t.equal(await store.collection('other').get('key'), 1)
  }
  await t.rejects(inMemory(t).import(source, { mode: 'all' as 'merge' }), {
    code: 'STORE_OPTION_INVALID', message: /merge, replace, absent/
  })
})

t.test('the option near is exported, and imported like the others', async t => {
  const [before, after] = [inMemory(t), inMemory(t)]
  await before.collection('near').configure({ near: 0.25 })
  const lines = await collect(before.export())
  t.equal(lines, '{"collection":"near","options":{"near":0.25}}\n')
  await after.import(lines)
  t.match(await after.collection('near').stats(), { near: 0.25 })
  const other = '{"collection":"near","options":{"expireKeys":60}}'
  await t.rejects(after.import(other), { code: 'STORE_OPTION_INVALID', message: /line 1: near .* expireKeys.*near: 0/ })
  await after.import(other, { mode: 'replace' })
  t.match(await after.collection('near').stats(), { near: 0, expireKeys: 60 })
})

t.test('an import ends at the first line that it cannot read or write, and names it', async t => {
  const good = '{"collection":"c","key":"good","value":1}\n\n'
  for (const [bad, code, message] of [
    ['{', 'STORE_VALUE_INVALID', /line 3: expected a JSON object/],
    ['[]', 'STORE_VALUE_INVALID', /expected a JSON object/],
    ['{"key":"k","value":1}', 'STORE_VALUE_INVALID', /"collection"/],
    ['{"collection":"c","value":1}', 'STORE_VALUE_INVALID', /expected a key in "key"/],
    ['{"collection":"c","key":"k"}', 'STORE_VALUE_INVALID', /expected a value/],
    ['{"collection":"c","key":"k","value":1 2}', 'STORE_VALUE_INVALID', /JSON object/],
    ['{"collection":"c","key":"k","expiresAt":5,"value":1}', 'STORE_VALUE_INVALID', /"expiresAt"/],
    ['{"collection":"c","key":"k","ttl":5,"value":1}', 'STORE_VALUE_INVALID', /there is no member "ttl"/],
    ['{"collection":"c","key":"k","__proto__":5,"value":1}', 'STORE_VALUE_INVALID', /__proto__/],
    [`{"collection":"c","key":"${'k'.repeat(1025)}","value":1}`, 'STORE_KEY_INVALID', /line 3: it has 1025 bytes/],
    ['{"collection":"\\ud800","key":"k","value":1}', 'STORE_NAME_INVALID', /line 3/],
    ['{"collection":"c","options":{"maxKey":5}}', 'STORE_OPTION_INVALID', /line 3: unknown option "maxKey"/],
    [`{"collection":"c","key":"k","value":"${'x'.repeat(2 ** 20)}"}`, 'STORE_VALUE_TOO_LARGE', /line 3/],
    [`{"collection":"c","key":"k","value":"${'x'.repeat(2 ** 22)}`, 'STORE_VALUE_TOO_LARGE', /line 3: it has more than/]
  ] as Array<[string, string, RegExp]>) {
    const store = inMemory(t)
    await t.rejects(
      store.import([good, bad, '\n', good]), { name: 'StoreError', code, message, line: 3 }, bad.slice(0, 60)
    )
    t.equal(await store.collection('c').get('good'), 1, 'the lines before it are written')
  }
  const store = inMemory(t)
  await t.rejects(store.import([good, Uint8Array.of(0xff, 0x0a)]), {
    code: 'STORE_VALUE_INVALID', message: /line 3: the source is not UTF-8/, line: 3
  })
  for (const source of [undefined, null, 5, {}, [5]]) {
    await t.rejects(store.import(source as unknown as string), { code: 'STORE_OPTION_INVALID' })
  }
  async function * broken (): AsyncGenerator<string> {
    yield good
    throw new RangeError('no more')
  }
  await t.rejects(store.import(broken()), RangeError, 'an error of the source rejects the import')
  await store.close()
  await t.rejects(store.import(good), { code: 'STORE_CLOSED' })
})

t.test('bytes and text may be split anywhere, and members may come in any order', async t => {
  const store = inMemory(t)
  const bytes = Buffer.from('\ufeff{"collection":"c","key":"é😀","value":"€"}\r\n {"value":{"a":[1.0]},"key":"k","version":3,"collection":"c"} \n')
  t.strictSame(await store.import(Array.from(bytes, byte => Uint8Array.of(byte))), { keys: 2, skipped: 0 })
  t.strictSame(await store.collection('c').getMany(['é😀', 'k']), ['€', { a: [1] }])
  t.strictSame(await store.import(bytes.toString().slice(1).split('')), { keys: 2, skipped: 0 })
  t.strictSame(await store.import(bytes), { keys: 2, skipped: 0 })
})

t.test('a byte order mark at the start is ignored, in bytes and in text', async t => {
  const store = inMemory(t)
  const text = '\ufeff{"collection":"c","key":"\ufeffkey","value":"\ufeff"}\n'
  const sources = {
    text,
    bytes: Buffer.from(text),
    'pieces of text': text.split(''),
    'pieces of bytes': Array.from(Buffer.from(text), byte => Uint8Array.of(byte))
  }
  for (const [name, source] of Object.entries(sources)) {
    await store.collection('c').clear()
    t.strictSame(await store.import(source), { keys: 1, skipped: 0 }, name)
    t.equal(await store.collection('c').get('\ufeffkey'), '\ufeff', name)
    await t.rejects(
      store.import(['\n', source as string].flat()), { code: 'STORE_VALUE_INVALID', line: 2 },
      `${name}: only at the start`
    )
  }
})

t.test('a signal aborts an import immediately, even while it waits for its source or for a lock', async t => {
  const store = inMemory(t)
  const reason = new RangeError('no longer wanted')
  let isEnded = false
  async function * silent (): AsyncGenerator<string> {
    try {
      yield '{"collection":"c","key":"a","value":1}\n'
      controller.abort(reason)
      await new Promise(resolve => { setImmediate(resolve) })
      yield ''
    } finally {
      isEnded = true
    }
  }
  let controller = new AbortController()
  await t.rejects(store.import(silent(), { signal: controller.signal }), { code: 'STORE_ABORTED', cause: reason })
  await until(() => isEnded)
  controller = new AbortController()
  const never: AsyncIterable<string> = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }
  const waiting = store.import(never, { signal: controller.signal })
  setImmediate(() => { controller.abort(reason) })
  await t.rejects(waiting, { code: 'STORE_ABORTED', cause: reason })
  await t.rejects(store.import('', { signal: controller.signal }), { code: 'STORE_ABORTED', cause: reason })
  await t.rejects(store.import('', { signal: {} as AbortSignal }), { code: 'STORE_OPTION_INVALID' })
  const lock = await store.collection('c').acquire('locked')
  controller = new AbortController()
  const locked = store.import('{"collection":"c","key":"locked","value":1}', { signal: controller.signal })
  await until(async () => ((await store.collection('c').lockInfo('locked'))?.waiters ?? 0) > 0)
  controller.abort(reason)
  await t.rejects(locked, { code: 'STORE_ABORTED', cause: reason, line: 1 })
  await lock.release()
  t.strictSame(await store.import('{"collection":"c","key":"b","value":1}', { signal: new AbortController().signal }), {
    keys: 1, skipped: 0
  })
})

t.test('an imported key that waits for a lock keeps its expiry', async t => {
  const store = inMemory(t)
  const c = store.collection('c')
  const { now } = Date
  t.teardown(() => { Date.now = now })
  const HOUR = 3_600_000
  for (const mode of ['merge', 'absent'] as const) {
    for (const [late, hasValue] of [[0.5, true], [2, false]] as const) {
      Date.now = now
      await c.clear()
      const end = now() + HOUR
      const lock = await c.acquire('key')
      const line = JSON.stringify({ collection: 'c', key: 'key', expiresAt: new Date(end), value: 1 })
      await t.rejects(store.import(line, { timeout: 0, mode }), { code: 'STORE_LOCKED', line: 1 })
      const waiting = store.import(line, { mode })
      await until(async () => ((await c.lockInfo('key'))?.waiters ?? 0) > 0)
      Date.now = () => now() + late * HOUR
      await lock.release()
      t.strictSame(
        await waiting, hasValue ? { keys: 1, skipped: 0 } : { keys: 0, skipped: 1 }, `${mode}, ${late} hours later`
      )
      const entry = await c.entry('key')
      t.equal(entry?.value, hasValue ? 1 : undefined)
      if (hasValue) t.ok(Math.abs(entry!.expiresAt!.getTime() - end) < HOUR / 10, 'the expiry is that of the line')
      t.equal(await c.lockInfo('key'), undefined)
    }
  }
  Date.now = now
  let lock = await c.acquire('key')
  const at = new Date(now() + HOUR)
  const both = store.import(
    [1, 2].map(
      value => JSON.stringify({ collection: 'c', key: 'key', expiresAt: value === 1 ? at : undefined, value }) + '\n'
    )
  )
  await until(async () => ((await c.lockInfo('key'))?.waiters ?? 0) > 0)
  await lock.release()
  t.strictSame(await both, { keys: 2, skipped: 0 })
  t.equal(await c.get('key'), 2, 'the last line of a key wins')
  await c.clear()
  lock = await c.acquire('key')
  const absent = store.import(JSON.stringify({ collection: 'c', key: 'key', expiresAt: at, value: 3 }), {
    mode: 'absent'
  })
  await until(async () => ((await c.lockInfo('key'))?.waiters ?? 0) > 0)
  lock.set(4)
  await lock.release()
  t.strictSame(await absent, { keys: 0, skipped: 1 })
  t.equal(await c.get('key'), 4)
})

t.test('replace: nothing is written to a collection that cannot be cleared', async t => {
  const store = inMemory(t)
  const c = store.collection('c')
  await c.set('old', 1)
  const lock = await c.acquire('held')
  const source = '{"collection":"c","options":{"maxKeys":5}}\n{"collection":"c","key":"new","value":1}\n'
  for (const timeout of [0, 0.01]) {
    await t.rejects(store.import(source, { mode: 'replace', timeout }), {
      code: timeout === 0 ? 'STORE_LOCKED' : 'STORE_TIMEOUT', line: 1
    })
    t.equal(await c.get('new'), undefined)
  }
  await lock.release()
  t.strictSame(await store.import(source, { mode: 'replace' }), { keys: 1, skipped: 0 })
  t.same([await c.get('old'), await c.get('new')], [undefined, 1])
})

t.test('the option durable is ignored in a store without data', async t => {
  const store = inMemory(t)
  await store.import('{"collection":"c","options":{"durable":true,"maxKeys":3}}')
  t.match(await store.collection('c').stats(), { durable: false, maxKeys: 3 })
})

t.test('a locked key delays an import, or fails it; an export does not count as a read', async t => {
  const store = inMemory(t)
  const lock = await store.collection('c').acquire('key')
  const line = '{"collection":"c","key":"key","value":1}'
  await t.rejects(store.import(line, { timeout: 0 }), { code: 'STORE_LOCKED', message: /line 1/, line: 1 })
  const waiting = store.import(line)
  await lock.release()
  t.strictSame(await waiting, { keys: 1, skipped: 0 })
  const reads = (await store.collection('c').stats())!.reads
  t.match(await collect(store.export()), '"key":"key"')
  t.equal((await store.collection('c').stats())!.reads, reads)
})

t.test('copying a store within a process does not block the event loop', async t => {
  const [from, to] = [inMemory(t), inMemory(t)]
  await from.collection('c').setMany(Array.from({ length: 6000 }, (_, i) => [`key ${i}`, 'x'.repeat(100)]))
  let turns = 0
  const count = (): void => {
    turns++
    timer = setImmediate(count)
  }
  let timer = setImmediate(count)
  t.strictSame(await to.import(from.export()), { keys: 6000, skipped: 0 })
  clearImmediate(timer)
  t.ok(turns >= 12, `at least one turn of the event loop per 500 keys: ${turns}`)
})
