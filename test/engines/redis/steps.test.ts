// Every script does a bounded amount of work. Scripts run here one by one, and what each of them does is counted, so
// no store may be connected at the same time: its sweeper would take part.
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createStore } from '../../../src/index.js'
import { KeyNames } from '../../../src/engines/redis/keys.js'
import { makeLibrary, type ScriptName } from '../../../src/engines/redis/scripts.js'
import { NO_REDIS, hasRedis, startServer } from '../../support/redis.js'
import { until } from '../../support/until.js'

/** The most keys that one script changes, and the most calls that it answers. */
const MOST = 201

if (hasRedis) await all()
else t.plan(0, NO_REDIS)

async function all (): Promise<void> {
  const { redis, options, path } = await startServer(t)
  const names = new KeyNames('strong-store', false)
  const { functions } = makeLibrary()
  await redis.call('FUNCTION', 'LOAD', makeLibrary().code)

  const run = <T>(
    script: ScriptName, base: string, ...args: string[]
  ): Promise<T> => redis.fcall(functions[script], 1, base, ...args) as Promise<T>
  const channel = (i: number): string => `strong-store:00000000-0000-4000-8000-00000000000${i}1`
  const call = async (
    base: string, op: string, key: string, who: string, text = '', options = {}, life = 60_000
  ): Promise<string> => {
    const script = ['set', 'increment', 'acquire'].includes(op) ? 'write' : 'call'
    const [channel, number] = who.split(' ') as [string, string]
    return await run<string>(script, base, channel, String(life), op, key, number, JSON.stringify(options), text)
  }
  /** Tends a collection as a process does, until nothing is left. Returns how much was left after each step. */
  const tend = async (base: string, left: () => Promise<number>): Promise<number[]> => {
    const counts = [await left()]
    const asked = JSON.stringify({ channel: channel(9), life: 60_000, reads: 0, held: [], keys: [], waiting: [] })
    for (let next = '0'; next === '0'; counts.push(await left())) next = (await run<string[]>('tend', base, asked))[0]!
    return counts
  }
  const areSmall = (t: Test, counts: number[], end: number): void => {
    t.equal(counts.at(-1), end)
    t.ok(counts.length > 3 && counts.slice(1).every((count, i) => counts[i]! - count <= MOST), counts.join())
  }
  const fill = async (name: string, count: number, options = {}, text = '1'): Promise<string> => {
    const base = names.base(name)
    await Promise.all(
      Array.from({ length: count }, (_, i) => call(base, 'set', `key ${i}`, `${channel(1)} -${i + 1}`, text, options))
    )
    return base
  }
  /** The result of a script, and how many commands it ran. */
  const commandsOf = async <T>(make: () => Promise<T>): Promise<[T, number]> => {
    const made = async (): Promise<number> =>
      Array.from((await redis.info('commandstats')).matchAll(/cmdstat_(?!info|fcall)\S+:calls=(\d+)/g), ([, calls]) =>
        Number(calls)
      ).reduce((sum, calls) => sum + calls, 0)
    const before = await made()
    const result = await make()
    return [result, await made() - before]
  }
  /** Subscribes to channels, which makes the server count their processes as connected. */
  const listen = async (t: Test, ...channels: number[]): Promise<Redis> => {
    const subscriber = new Redis({ path })
    t.teardown(() => { subscriber.disconnect() })
    await subscriber.subscribe(...channels.map(channel))
    return subscriber
  }

  t.test('waiting calls are answered in steps, in order', async t => {
    const subscriber = await listen(t, 1, 2)
    const told: string[] = []
    subscriber.on('message', (_channel, message: string) => { told.push(message) })
    const base = names.base('waiters')
    await call(base, 'acquire', 'key', `${channel(1)} 1`, 'token me')
    for (let i = 1; i <= 1000; i++) await call(base, 'increment', 'key', `${channel(2)} ${i}`, '', { number: 1 })
    const waiting = (): Promise<number> => redis.hlen(`${base}:waiting`)
    t.equal(await waiting(), 1000)
    t.equal(
      (await call(base, 'release', 'key', `${channel(1)} 2`, 'token')).slice(0, 2), '+R',
      'the reply does not wait for them'
    )
    t.ok(await waiting() >= 1000 - MOST)
    t.match(await call(base, 'get', 'key', `${channel(1)} 3`), /^\+?Q/, 'a later call is queued after them')
    areSmall(t, await tend(base, waiting), 0)
    await until(() => told.length === 1001)
    t.strictSame(
      told.slice(0, 1000).map(message => message.split(' ')[3]), Array.from({ length: 1000 }, (_, i) => String(i + 1))
    )
    t.match(told[1000], / 1000$/)
    t.equal(await redis.zcard(`${base}:owned`), 0)
  })

  t.test('a released lock is not listed while its waiters are answered', async t => {
    await listen(t, 1, 2)
    const base = names.base('released')
    await call(base, 'acquire', 'key', `${channel(1)} 1`, 'token me')
    for (let i = 1; i <= 1000; i++) await call(base, 'increment', 'key', `${channel(2)} ${i}`, '', { number: 1 })
    t.equal((await run<string[][]>('queue', base, 'key'))[0]![1], 'me')
    await call(base, 'release', 'key', `${channel(1)} 2`, 'token')
    t.strictSame(await run('queue', base, 'key'), [])
    t.strictSame(await run('held', base, '', '100'), [null])
    t.ok(await redis.hlen(`${base}:waiting`) > 0, 'not all of them were answered yet')
    await tend(base, () => redis.hlen(`${base}:waiting`))
  })

  t.test('calls that share a script are queued and answered with few commands each', async t => {
    const subscriber = await listen(t, 1, 2)
    for (const [op, text, most] of [['get', '', 1], ['increment', '', 1], ['acquire', 'me', 1]] as const) {
      const base = names.base(`waits of ${op}`)
      await call(base, 'set', 'other', `${channel(1)} 1`, '1', { ttl: 60_000 }) // so that the whole collection expires
      await call(base, 'acquire', 'key', `${channel(1)} 1`, 'token me')
      const calls = (from: number): string[] => Array.from(
        { length: 32 }, (_, i) => [op, 'key', String(from + i), '', text && `token-${from + i} ${text}`]
      ).flat()
      await run('write', base, channel(2), '60000', ...calls(1))
      const [answers, made] = await commandsOf(() => run<string[]>('write', base, channel(2), '60000', ...calls(33)))
      t.ok(answers.every(answer => /^\+?Q/.test(answer)))
      t.ok(made <= 32 * most + 12, `${op}: ${made} commands for 32 waiting calls`)
      if (op === 'acquire') continue
      const waiting = await redis.hlen(`${base}:waiting`)
      const [, served] = await commandsOf(() => call(base, 'release', 'key', `${channel(1)} 2`, 'token'))
      const count = waiting - await redis.hlen(`${base}:waiting`)
      t.ok(count >= 16 && served <= 5 * count + 15, `${op}: ${served} commands for ${count} calls`)
    }
    await subscriber.unsubscribe() // so that the remaining calls end
    for (const op of ['get', 'increment', 'acquire']) {
      const base = names.base(`waits of ${op}`)
      await tend(base, () => redis.hlen(`${base}:waiting`))
    }
  })

  t.test('steps of pages of keys and removals of expired keys take few commands', async t => {
    const base = await fill('few commands', 400)
    const [page, made] = await commandsOf(() => run<[string, string | null]>('scan', base, '', '1000', '', ''))
    const found = JSON.parse(`[${page[0]}]`) as unknown[]
    t.ok(found.length >= 50 && found.length <= 100, `${found.length} names in a step`)
    t.ok(made <= 10, `${made} commands for a step`)
    const [, walked] = await commandsOf(async () => {
      await run('configure', base, '{"idle":60000}')
      await tend(base, () => redis.zcard(`${base}:idle`))
    })
    t.equal(await redis.zcard(`${base}:idle`), 400)
    t.ok(walked <= 400, `${walked} commands of a walk over 400 names`)
    const [, tracked] = await commandsOf(() => run('scan', base, '', '1000', '', ''))
    t.ok(tracked <= 75, `${tracked} commands for a step with idle times, which has fewer names`)

    const ended = await fill('few commands to end', 400, { ttl: 1 })
    await until(async () => await run('size', ended) === 0)
    const left = await redis.zcard(`${ended}:names`)
    const [, expired] = await commandsOf(() => tend(ended, () => redis.zcard(`${ended}:names`)))
    t.ok(expired <= left, `${expired} commands for ${left} expired keys`)
  })

  t.test('a heartbeat reads all locks with one command', async t => {
    await listen(t, 1, 2)
    const base = names.base('many locks')
    const held = Array.from({ length: 100 }, (_, i) => [`key ${i}`, `token-${i}`])
    for (const [key, token] of held) await call(base, 'acquire', key!, `${channel(1)} 1`, `${token} me`)
    const keys = held.map(([key]) => key)
    const asked = {
      channel: channel(1), life: 60_000, reads: 0, mark: 1, held: [...held, ['key 0', 'lost']], keys, waiting: []
    }
    const [found, made] = await commandsOf(() => run<string[]>('tend', base, JSON.stringify(asked)))
    t.strictSame(found.slice(3), ['L lost'])
    t.ok(made <= 35, `${made} commands of a heartbeat`)
  })

  t.test('the changes of a watched collection take few commands', async t => {
    await listen(t, 1)
    const base = names.base('changes')
    await run('watch', base, `${channel(1)} 1`, '{"key":""}', 'here', '', '', '60000')
    const sets = Array.from({ length: 32 }, (_, i) => ['set', `key ${i}`, String(i), '', '1']).flat()
    const [, noted] = await commandsOf(() => run('write', base, channel(1), '60000', ...sets))
    t.ok(noted <= 3 * 32, `${noted} commands of 32 sets`)
    const [found, read] = await commandsOf(() => run<string>('watch', base, `${channel(1)} 2`, '{"key":""}', 'now', '1', '', '60000'))
    t.match(found, /reset/)
    const cursor = /"cursor":"(\d+)"/.exec(found)![1]!
    await run('write', base, channel(1), '60000', ...sets)
    const [changes, listed] = await commandsOf(() => run<string>('watch', base, `${channel(1)} 3`, '{"key":""}', 'now', cursor, '', '60000'))
    t.equal(changes.match(/"set"/g)!.length, 32)
    t.ok(listed <= read + 10, `${listed} commands for 32 changes`)
  })

  t.test('watches learn in steps that the log was reset', async t => {
    await listen(t, 1)
    const base = await fill('reset', 1)
    for (let i = 0; i < 200; i++) {
      const [, revision] = /"revision":(\d+)/.exec(await run('watch', base, `${channel(1)} ${i}`, '{"key":""}', 'here', '', '', '60000'))!
      await run('watch', base, `${channel(1)} ${i}`, JSON.stringify({ key: `other ${i}`, exact: true }), 'wait', revision!, '', '60000')
    }
    const waiting = (): Promise<number> => redis.hlen(`${base}:waiting`)
    t.equal(await waiting(), 200)
    await run('configure', base, '{}')
    const packed = await redis.hgetBuffer(`${base}:records`, '#')
    const at = packed!.indexOf((/run_id:(\w+)/.exec(await redis.info('server')))![1]!)
    t.ok(at > 0)
    packed![at] = packed![at] === 48 ? 49 : 48 // as if another server had written it
    await redis.hset(`${base}:records`, '#', packed!)
    await redis.zadd('strong-store:index:due', 0, base)
    const counts: number[] = [200]
    while (counts.at(-1)! > 0 && counts.length < 100) {
      await run('sweep', 'strong-store:index:due', channel(9), '60000')
      await redis.zadd('strong-store:index:due', 0, base)
      counts.push(await waiting())
    }
    t.equal(counts.at(-1), 0)
    t.ok(counts.every((count, i) => i === 0 || counts[i - 1]! - count <= 30), counts.join())
  })

  t.test('long replies are stored once and fetched', async t => {
    const subscriber = await listen(t, 1, 2)
    const told: string[] = []
    subscriber.on('message', (_channel, message: string) => { told.push(message) })
    const base = names.base('long answers')
    await call(base, 'set', 'key', `${channel(1)} 1`, 'x'.repeat(100_000))
    await call(base, 'acquire', 'key', `${channel(1)} 1`, 'token me')
    for (let i = 0; i < 300; i++) await call(base, 'get', 'key', `${channel(2)} ${i}`)
    await call(base, 'release', 'key', `${channel(1)} 2`, 'token')
    const waiting = (): Promise<number> => redis.hlen(`${base}:waiting`)
    const counts = await tend(base, waiting)
    t.ok(counts.every((count, i) => i === 0 || counts[i - 1]! - count <= 20), 'the bytes of a step are bounded, too')
    await until(() => told.length === 300)
    t.ok(told.every(message => message.length < 100))
    const version = /F(\d+)/.exec(told[0]!)![1]!
    t.equal(Number(await redis.hget(`${base}:kept:${version}`, 'left')), 300)
    for (let i = 0; i < 300; i++) t.equal((await run<string>('fetch', base, version)).length, 100_000)
    t.equal(await redis.exists(`${base}:kept:${version}`), 0)
  })

  t.test('a dead process is cleaned up in steps', async t => {
    await listen(t, 1)
    const base = names.base('dead')
    await call(base, 'acquire', 'other', `${channel(1)} 1`, 'token me')
    for (let i = 0; i < 600; i++) await call(base, 'acquire', `key ${i}`, `${channel(3)} ${i}`, `token-${i} me`)
    const subscriber = await listen(t, 3)
    for (let i = 0; i < 600; i++) await call(base, 'get', 'other', `${channel(3)} ${1000 + i}`)
    await subscriber.unsubscribe()
    areSmall(t, await tend(base, async () => await redis.zcard(`${base}:held`) + await redis.zcard(`${base}:owned`)), 2)
    t.equal(await redis.hlen(`${base}:waiting`), 0)
    t.equal(await call(base, 'release', 'other', `${channel(1)} 2`, 'token'), 'R    ')
  })

  t.test('locks are listed and released in steps of bounded cost', async t => {
    await listen(t, 1, 2)
    const base = names.base('locks')
    const held = Array.from({ length: 100 }, (_, i) => [`key ${i}`, `token-${i}`])
    for (const [key, token] of held) await call(base, 'acquire', key!, `${channel(1)} 1`, `${token} me`)
    for (let i = 0; i < 64; i++) await run('clear', base, `${channel(2)} ${i}`, 'key', '', '60000')
    const counted = async <T>(script: ScriptName, ...args: string[]): Promise<T> => {
      const [result, count] = await commandsOf(() => run<T>(script, base, ...args))
      t.ok(count <= 1000, `${script}: ${count} commands`)
      return result
    }
    const found = new Set<string>()
    for (let from: string | null = ''; from !== null;) {
      const [next, ...locks]: [string | null, ...string[][]] = await counted('held', from, '100')
      for (const [key, , , , , waiters] of locks) {
        found.add(key!)
        t.equal(waiters, '64')
      }
      from = next
    }
    t.equal(found.size, 100)
    while (held.length > 0) {
      const [count] = await counted<[number, number]>('leave', JSON.stringify({ held, waiting: [] }))
      t.ok(count > 0)
      held.splice(0, count)
    }
    areSmall(t, await tend(base, () => redis.hlen(`${base}:waiting`)), 0)
    t.equal(await redis.zcard(`${base}:held`), 0)
  })

  t.test('clear stores nothing per locked key, and a canceled clear spares the locked keys', async t => {
    const subscriber = await listen(t, 1, 2)
    const told: string[] = []
    subscriber.on('message', (_channel, message: string) => { told.push(message) })
    const base = await fill('cleared', 600, {}, 'x'.repeat(20_000))
    const held = Array.from({ length: 5 }, (_, i) => [`key ${i * 2}`, `token-${i}`] as const)
    const lock = async (): Promise<void> => {
      for (const [key, token] of held) await call(base, 'acquire', key, `${channel(1)} 1`, `${token} me`)
    }
    const release = async (): Promise<void> => {
      for (const [key, token] of held) await call(base, 'release', key, `${channel(1)} 1`, token)
    }
    const names = (): Promise<number> => redis.zcard(`${base}:names`)
    await lock()
    const spared = `${base}:spared:*`
    t.equal(await run('clear', base, `${channel(2)} 1`, 'key', '', '60000'), '+Q0')
    t.strictSame(await redis.keys(spared), [], 'nothing is stored per locked key')
    t.equal(await run('cancel', base, `${channel(2)} 1`, '', ''), 1)
    await release()
    t.ok((await redis.keys(spared)).length > 0, 'released keys are spared while the clear continues')
    areSmall(t, await tend(base, names), 5)
    t.strictSame(await redis.keys(spared), [])

    await lock()
    await run('clear', base, `${channel(2)} 2`, 'key', '', '60000')
    t.match(await call(base, 'get', 'key 0', `${channel(2)} 3`), /Q/)
    await call(base, 'set', 'key 4', `${channel(1)} 1`, '2', { token: 'token-2' })
    await tend(base, names)
    t.equal(await names(), 5, 'keys are cleared when their locks end')
    await release()
    await tend(base, () => redis.hlen(`${base}:waiting`))
    t.equal(await names(), 0)
    await until(() => told.length === 2)
    t.strictSame(told.map(message => message.slice(0, 3)).sort(), ['2 R', '3 R'])
  })

  t.test('calls that share a script defer work that exceeds its budget', async t => {
    await listen(t, 1, 2)
    const base = names.base('put off')
    const keys = Array.from({ length: 32 }, (_, i) => i)
    for (const i of keys) await call(base, 'acquire', `key ${i}`, `${channel(1)} 1`, `token-${i} me`)
    for (let i = 0; i < 40; i++) await run('clear', base, `${channel(2)} ${i}`, 'key', '', '60000')
    const releases = keys.flatMap(i => ['release', `key ${i}`, '1', '', `token-${i}`])
    const [answers, made] = await commandsOf(() => run<string[]>('call', base, channel(1), '60000', ...releases))
    t.ok(answers.every(answer => /^\+?R/.test(answer)))
    t.ok(made < 500, `${made} commands for 32 releases, each with 40 waiting clears`)
    await tend(base, () => redis.hlen(`${base}:waiting`))
    t.equal(await redis.exists(`${base}:held`), 0)
  })

  t.test('expired large values are removed in smaller steps', async t => {
    const base = await fill('large', 100, { ttl: 1 }, 'x'.repeat(100_000))
    await until(async () => await run('size', base) === 0)
    const counts = await tend(base, () => redis.zcard(`${base}:names`))
    t.equal(counts.at(-1), 0)
    t.ok(counts.slice(1).every((count, i) => counts[i]! - count <= 10), counts.join())
  })

  t.test('calls that share a script are answered one by one, in order', async t => {
    await listen(t, 1)
    const base = names.base('shared')
    const args = [
      ['set', 'key', '1', '', '1'], ['increment', 'key', '2', '{"number":2}', ''], ['set', 'text', '3', '', '"text"'],
      ['increment', 'text', '4', '', ''], ['acquire', 'key', '5', '', 'token me'], ['set', 'key', '6', '', '5'],
      ['set', 'new', '7', '{"ifPresent":true}', '1'], ['set', 'key', '8', '{"token":"token"}', '7'],
      ['set', 'new', '9', '', '1'], ['increment', 'new', '10', '', '']
    ].flat()
    const answers = await run<string[]>('write', base, channel(1), '60000', ...args)
    const expected = [
      /^R\d+ {2}1/, / 3 {2}$/, /^R/, /^ESTORE_NOT_A_NUMBER$/, /^R\d+ {3}\d+ 3$/, /^Q/, /^ESTORE_NOT_FOUND$/, /^R/,
      /^R\d+ {2}1/, / 2 {2}$/
    ]
    t.equal(answers.length, expected.length)
    for (const [i, pattern] of expected.entries()) t.match(answers[i], pattern)
    const left = await run<string[]>('call', base, channel(1), '60000',
      'release', 'key', '11', '', 'token', 'del', 'new', '12', '', '', 'head', 'key', '13', '', '')
    t.match(left[0], /^\+?R/)
    t.match(left[1], / 1 {2}$/)
    t.match(left[2], /^R\d/)
    t.equal(await redis.hget(`${base}:records`, ':key').then(record => record!.slice(-2)), ' 5')
    t.strictSame(await redis.zrange(`${base}:names`, '0', '-1'), ['key', 'text'])
    t.equal(await redis.exists(`${base}:held`), 0)
  })

  t.test('long values are read only on request, few per script', async t => {
    const subscriber = await listen(t, 1)
    const told: string[] = []
    subscriber.on('message', (_channel, message: string) => { told.push(message) })
    const base = await fill('long values', 32, {}, 'x'.repeat(200_000))
    t.match(await redis.hget(`${base}:records`, ':key 1'), /^\d{16} =0 200000$/)
    const args = Array.from({ length: 32 }, (_, i) => [
      'acquire', `key ${i}`, String(i + 1), '', `token-${i} me`
    ]).flat()
    const answers = await run<Array<string | string[]>>('write', base, channel(1), '60000', ...args)
    const texts = answers.filter(Array.isArray)
    t.ok(texts.length > 0 && texts.length < 8, `${texts.length} values`)
    t.equal(answers.filter(answer => answer === 'Q0').length, 32 - texts.length, 'the others are queued')
    await tend(base, () => redis.hlen(`${base}:waiting`))
    await until(() => told.length === 32 - texts.length)
    t.ok(told.every(message => /^\d+ F/.test(message)))
    for (let i = 0; i < 32; i++) {
      t.match(await call(base, 'release', `key ${i}`, `${channel(1)} 99`, `token-${i}`), /^\+?R/)
    }
    await call(base, 'touch', 'key 1', `${channel(1)} 99`, '', { ttl: 60_000 })
    t.match(await redis.hget(`${base}:records`, ':key 1'), /^\d{16} =\d{13} 200000$/)
    await call(base, 'set', 'key 1', `${channel(1)} 99`, 'short')
    for (let i = 2; i < 32; i++) await call(base, 'del', `key ${i}`, `${channel(1)} 99`)
    t.strictSame((await redis.hkeys(`${base}:records`)).sort(), ['#', ':key 0', ':key 1', '=key 0'])
  })

  t.test('a step of a page of keys reads no large values, and one of an export only a few', async t => {
    const base = await fill('pages', 50, {}, 'x'.repeat(200_000))
    const [page, last] = await run<[string, string | null]>('scan', base, '', '100', '', '')
    t.equal((JSON.parse(`[${page}]`) as unknown[]).length, 50)
    t.equal(last, null)
    const [, next, , ...values] = await run<[string, string | null, number, ...string[]]>(
      'scan', base, '', '100', '', '1'
    )
    t.equal(values.length, 1, 'what exceeds 256 KiB is left to the next step')
    t.equal(next, 'key 0')
  })

  t.test('a process with a late heartbeat keeps the locks that nobody else has requested', async t => {
    await listen(t, 1, 2)
    const base = names.base('late')
    await call(base, 'acquire', 'other', `${channel(1)} 1`, 'other me')
    const late = (op: string, key: string, number: number, text = ''): Promise<string> => call(
      base, op, key, `${channel(2)} ${number}`, text, {}, 1)
    await late('acquire', 'held', 1, 'held me')
    await late('acquire', 'taken', 2, 'taken me')
    await late('get', 'other', 3)
    await until(async () => Number(await redis.zscore(`${base}:alive`, channel(2))) < Date.now() - 1)
    t.match(await call(base, 'acquire', 'taken', `${channel(1)} 2`, 'next me'), /^R/)
    const asked = JSON.stringify({
      channel: channel(2),
      life: 60_000,
      reads: 0,
      mark: 1,
      held: [['held', 'held'], ['taken', 'taken']],
      keys: ['other'],
      waiting: [`${channel(2)} 3`]
    })
    await redis.zadd('strong-store:index:due', 0, base)
    await run('sweep', 'strong-store:index:due', channel(2), '1')
    await until(async () => Number(await redis.zscore(`${base}:alive`, channel(2))) < Date.now() - 1)
    t.match(await late('get', 'held', 4), /^Q/, 'its own calls do not end its locks')
    t.strictSame((await run<string[]>('tend', base, asked)).slice(2), ['1', 'L taken'])
    t.equal(await redis.hlen(`${base}:waiting`), 2)
  })

  t.test('expired keys are removed in steps, and never counted', async t => {
    const base = await fill('ended', 2000, { ttl: 1 })
    await until(async () => await run('size', base) === 0)
    areSmall(t, await tend(base, () => redis.zcard(`${base}:names`)), 0)
  })

  t.test('when expireKeys changes, expired keys are removed in steps, and do not come back', async t => {
    const base = names.base('idle')
    await run('configure', base, '{"idle":50}')
    await fill('idle', 2000)
    await until(async () => await run('size', base) === 0)
    const left = (): Promise<number> => redis.zcard(`${base}:names`)
    const before = await left()
    await run('configure', base, '{"idle":0}')
    t.ok(await left() >= before - MOST)
    t.equal(await run('size', base), 0)
    t.match(await call(base, 'get', 'key 1999', `${channel(1)} 1`), /^\+?R {4}$/)
    await call(base, 'set', 'key', `${channel(1)} 2`, '1')
    areSmall(t, await tend(base, left), 1)
    t.strictSame([await run('size', base), await redis.exists(`${base}:idle`)], [1, 0])
  })

  t.test('a new maxKeys is enforced in steps', async t => {
    const base = await fill('bounded', 2000)
    await run('configure', base, '{"maxKeys":10}')
    const left = (): Promise<number> => redis.zcard(`${base}:names`)
    t.ok(await left() >= 2000 - MOST)
    areSmall(t, await tend(base, left), 10)
  })

  t.test('clear takes effect immediately and is carried out in steps', async t => {
    await listen(t, 1)
    const base = await fill('cleared', 2000)
    await call(base, 'set', 'other', `${channel(1)} 1`, '1')
    await call(base, 'acquire', 'key 7', `${channel(1)} 2`, 'token me')
    t.match(await run('clear', base, `${channel(1)} 5`, 'key', '1', '60000'), /ESTORE_LOCKED/)
    const left = (): Promise<number> => redis.zcard(`${base}:names`)
    t.ok(await left() >= 2001 - MOST)
    for (const key of ['key 0', 'key 1999']) t.match(await call(base, 'get', key, `${channel(1)} 6`), /^\+?R {4}$/)
    t.match(await call(base, 'get', 'other', `${channel(1)} 6`), /^\+?R.* 1$/)
    await call(base, 'set', 'key 1999', `${channel(1)} 7`, 'new')
    await call(base, 'release', 'key 7', `${channel(1)} 8`, 'token')
    areSmall(t, await tend(base, left), 3)
    t.equal(await run('size', base), 3)
    t.match(await call(base, 'get', 'key 1999', `${channel(1)} 9`), / new$/)
    t.match(await call(base, 'get', 'key 7', `${channel(1)} 9`), / 1$/)
    t.strictSame(await redis.keys(`${base}:spared*`), [])
  })

  t.test('a write that has to evict many keys waits until they are evicted', async t => {
    const store = createStore(options)
    t.teardown(() => store.close())
    const c = store.collection<unknown>('room')
    await c.configure({ maxBytes: 20_000 })
    await c.setMany(Array.from({ length: 1500 }, (_, i) => [`key ${i}`, 1]))
    const wait = c.set('large', 'x'.repeat(19_000))
    const read = c.get('large')
    await wait
    t.equal((await read as string).length, 19_000)
    t.ok((await c.stats())!.bytes <= 20_000)
    t.strictSame(await store.locks(), [])
    await t.rejects(c.set('larger', 'x'.repeat(20_000)), { code: 'STORE_FULL' })
    t.equal(await c.has('large'), true)
  })
}
