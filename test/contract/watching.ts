// The contract of all engines that support watches. `a` and `b` are two clients of one store, as in suite.ts.
import type { Test } from 'tap'
import type { Collection, Store, WatchEvent } from '../../src/index.js'
import type { Arrangement, PeerCollection } from './suite.js'

let collections = 0

export function watching (t: Test, name: string, arrange: () => Promise<Arrangement>): void {
  t.test(`${name} can be watched`, async t => {
    const { a, b, end } = await arrange()
    for (const [title, test] of Object.entries(TESTS)) {
      await t.test(title, async t => {
        const name = `watching ${process.pid} ${++collections}`
        await test(t, { mine: a.collection(name), theirs: b.collection(name) }, a)
      })
    }
    await end()
  })
}

type Contract = (t: Test, pair: { mine: Collection<any>, theirs: PeerCollection }, a: Store) => Promise<void>

/** An event in short form: its type, with the key, and the value of a 'set'. */
type Said = string | [type: string, key: string, value?: unknown]

function short (event: WatchEvent<unknown>): Said {
  if (!('key' in event)) return event.type
  return event.type === 'set' ? [event.type, event.key, event.value] : [event.type, event.key]
}

interface Events extends AsyncIterator<WatchEvent<any>, undefined, undefined> {
  return (): Promise<IteratorResult<WatchEvent<any>, undefined>>
}

async function take (events: Events): Promise<WatchEvent<any>> {
  const { value } = await events.next()
  return value!
}

/** The next `count` events. */
async function said (events: Events, count = 1): Promise<Said[]> {
  const found = []
  for (let i = 0; i < count; i++) found.push(short(await take(events)))
  return found
}

/** Reads the listing. Resolves with the revision of 'ready'. */
async function ready (events: Events, state = new Map<string, unknown>()): Promise<number> {
  for (;;) {
    const event = await take(events)
    if (event.type === 'set') state.set(event.key, event.value)
    if (event.type === 'ready') return event.revision
  }
}

const TESTS: Record<string, Contract> = {
  async 'a watch lists the existing keys, then reports the changes of all clients' (t, { mine, theirs }) {
    await mine.setMany([['a1', 'é😀'], ['b', 1]])
    const all = mine.watch()
    const some = mine.watch({ prefix: 'a' })
    const one = mine.watch({ key: 'a' })
    const found = new Map<string, unknown>()
    await ready(all, found)
    t.strictSame(found, new Map<string, unknown>([['a1', 'é😀'], ['b', 1]]))
    t.strictSame(await said(some, 2), [['set', 'a1', 'é😀'], 'ready'])
    t.strictSame(await said(one), ['ready'])
    await theirs.set('a', { x: [1] })
    for (const watch of [all, some, one]) t.strictSame(await said(watch), [['set', 'a', { x: [1] }]])
    await mine.set('a2', 2)
    await theirs.del('a1')
    await mine.increment('a')
      .catch(() => mine.set('a', 3))
    for (const watch of [all, some]) {
      t.strictSame(await said(watch, 3), [
        ['set', 'a2', 2], ['del', 'a1'], ['set', 'a', 3]
      ])
    }
    t.strictSame(await said(one), [['set', 'a', 3]])
    for (const watch of [all, some, one]) await watch.return()
  },

  async 'a watch reports keys that expire, are evicted or cleared' (t, { mine, theirs }) {
    const events = mine.watch()
    await ready(events)
    await theirs.set('short', 1, { ttl: 0.02 })
    let end = await take(events)
    if (end.type === 'set') end = await take(events) // unless it had expired when the watch read it
    t.strictSame(short(end), ['expired', 'short'])
    await mine.configure({ maxKeys: 2 })
    await mine.setMany([['a', 1], ['b', 2]])
    t.strictSame(await said(events, 2), [['set', 'a', 1], ['set', 'b', 2]])
    await theirs.set('c', 3)
    t.strictSame((await said(events, 2)).sort(), [['evicted', 'a'], ['set', 'c', 3]])
    await mine.clear({ prefix: 'b' })
    t.strictSame(await said(events), [['del', 'b']])
    await mine.clear()
    t.strictSame(await said(events), [['del', 'c']])
    await mine.set('c', 4)
    t.strictSame(await said(events), [['set', 'c', 4]])
    await events.return()
  },

  async 'a locked key delays no events, and only its committed changes are reported' (t, { mine, theirs }) {
    await mine.setMany([['a', 'before'], ['b', 1]])
    const lock = await theirs.acquire('a')
    const events = mine.watch()
    const found = new Map<string, unknown>()
    await ready(events, found)
    t.equal(found.get('a'), 'before')
    await lock.set('after')
    await mine.set('b', 2)
    t.strictSame(await said(events), [['set', 'b', 2]])
    await lock.release()
    t.strictSame(await said(events), [['set', 'a', 'after']])
    await events.return()
  },

  async 'a slow reader gets the latest state of each key, and versions only increase' (t, { mine, theirs }) {
    const events = mine.watch()
    await ready(events)
    const state = new Map<string, unknown>()
    const versions = new Map<string, number>()
    let writes = 0
    for (let round = 1; round <= 3; round++) {
      for (let i = 0; i < 3000; i++) {
        (++writes % 2 === 0 ? mine : theirs).set(`key ${i % 5}`, writes, { confirm: false }).catch(t.threw)
      }
      await theirs.set('round', round) // after their other writes
      await mine.set('my round', round)
      let count = 0
      for (; state.get('round') !== round || state.get('my round') !== round; count++) {
        const event = await take(events)
        if (event.type !== 'set') throw new Error(event.type)
        if (event.version <= (versions.get(event.key) ?? 0)) {
          t.fail(`version ${event.version} of ${event.key} after ${versions.get(event.key)}`)
        }
        versions.set(event.key, event.version)
        state.set(event.key, event.value)
      }
      t.ok(count < 3000, `${count} events for 3000 writes`)
      const now = await mine.getMany(['key 0', 'key 1', 'key 2', 'key 3', 'key 4'])
      t.strictSame([0, 1, 2, 3, 4].map(i => state.get(`key ${i}`)), now)
    }
    await events.return()
  },

  async 'a watch continues after a revision, or resets if the revision is unknown' (t, { mine, theirs }) {
    await mine.set('old', 1)
    const first = mine.watch()
    const revision = await ready(first)
    await theirs.set('a', 1)
    const event = await take(first)
    await first.return()
    await theirs.set('b', 2)
    await mine.del('old')
    const second = mine.watch({ since: revision })
    t.strictSame(await said(second, 4), [['set', 'a', 1], ['set', 'b', 2], ['del', 'old'], 'ready'])
    if (event.type !== 'set') throw new Error(event.type)
    const third = mine.watch({ since: event.revision! })
    t.strictSame(await said(third, 3), [['set', 'b', 2], ['del', 'old'], 'ready'])
    await mine.set('a', 3)
    t.strictSame([...await said(second), ...await said(third)], [['set', 'a', 3], ['set', 'a', 3]])
    const lost = mine.watch({ since: 1, prefix: 'b' })
    t.strictSame(await said(lost, 3), ['reset', ['set', 'b', 2], 'ready'])
    await theirs.set('b', 5)
    t.strictSame(await said(lost), [['set', 'b', 5]])
    for (const since of [0, event.version + 10 ** 12, Number.MAX_SAFE_INTEGER]) {
      const watch = mine.watch({ since, key: 'b' })
      t.strictSame(await said(watch, 3), ['reset', ['set', 'b', 5], 'ready'], `since ${since}`)
      await watch.return()
    }
    for (const watch of [second, third, lost]) await watch.return()
  },

  async 'a watch delivers many keys and large values' (t, { mine }) {
    const large = 'x'.repeat(300_000)
    await mine.setMany(Array.from({ length: 3000 }, (_, i) => [`key ${i}`, i]))
    await mine.setMany(Array.from({ length: 4 }, (_, i) => [`large ${i}`, large]))
    const events = mine.watch()
    const found = new Map<string, unknown>()
    const revision = await ready(events, found)
    t.equal(found.size, 3004)
    t.ok(found.get('key 2999') === 2999 && found.get('large 3') === large)
    await mine.setMany(Array.from({ length: 3000 }, (_, i) => [`key ${i}`, -i]))
    await mine.setMany(Array.from({ length: 4 }, (_, i) => [`large ${i}`, large + String(i)]))
    const again = mine.watch({ since: revision })
    for (const [name, watch] of [['the same watch', events], ['another watch', again]] as const) {
      const seen = new Map<string, unknown>()
      while (seen.size < 3004) {
        const event = await take(watch)
        if (event.type === 'set') seen.set(event.key, event.value)
      }
      t.ok(seen.get('key 17') === -17 && seen.get('large 3') === `${large}3`, name)
      await watch.return()
    }
    const names = mine.watch({ values: false, prefix: 'large' })
    t.strictSame(short(await take(names))[2], undefined)
    await names.return()
  },

  async 'values and messages of very different lengths are delivered together' (t, { mine }, a) {
    const values = new Map<string, unknown>()
    for (const [i, length] of [1, 40_000, 1, 1, 33_000, 100, 70_000, 1, 300_000, 1].entries()) {
      values.set(`é ${i}`, `${i}${(i % 2 === 0 ? 'x' : '€').repeat(length)}`)
    }
    const events = mine.watch()
    await ready(events)
    await mine.setMany([...values])
    const listing = mine.watch()
    const listed = new Map<string, unknown>()
    await ready(listing, listed)
    const seen = new Map<string, unknown>()
    while (seen.size < values.size) {
      const event = await take(events)
      if (event.type === 'set') seen.set(event.key, event.value)
    }
    for (const [key, value] of values) {
      t.ok(listed.get(key) === value, `${key}, listed`)
      t.ok(seen.get(key) === value, `${key}, changed`)
    }
    await Promise.all([events.return(), listing.return()])

    const channel = a.channel<unknown>(mine.name)
    const messages = channel.subscribe()
    await messages.ready
    for (const value of values.values()) channel.publish(value, { confirm: false }).catch(t.threw)
    let count = 0
    for await (const { message } of messages) {
      t.ok(message === values.get(`é ${count}`), `message ${count}`)
      if (++count === values.size) break
    }
  },

  async 'leaving the loop, aborting the signal and calling return() end a watch immediately' (t, { mine }) {
    await mine.set('key', 1)
    for await (const { type } of mine.watch()) if (type === 'ready') break
    const controller = new AbortController()
    const types: string[] = []
    for await (const { type } of mine.watch({ signal: controller.signal })) {
      types.push(type)
      if (type === 'ready') setTimeout(() => { controller.abort() }, 5) // while the loop waits for the next event
    }
    t.strictSame(types, ['set', 'ready'])
    for await (const { type } of mine.watch({ signal: controller.signal })) t.fail(type)
    const events = mine.watch()
    await ready(events)
    const next = events.next()
    t.strictSame(
      [await events.return(), await next, await events.next()], Array(3).fill({ value: undefined, done: true })
    )
    const unused = mine.watch()
    t.strictSame([await unused.return(), await unused.next()], Array(2).fill({ value: undefined, done: true }))
  },

  async 'invalid options and arguments are rejected' (t, { mine }, a) {
    t.throws(() => mine.watch({ key: 'a', prefix: 'a' }), { code: 'STORE_OPTION_INVALID' })
    t.throws(() => mine.watch({ prefixes: 'a' } as object), { code: 'STORE_OPTION_INVALID' })
    t.throws(() => mine.watch({ since: -1 }), { code: 'STORE_OPTION_INVALID' })
    t.throws(() => mine.watch({ prefix: 'a'.repeat(1025) }), { code: 'STORE_KEY_INVALID' })
    t.throws(() => mine.watch({ signal: {} as AbortSignal }), { code: 'STORE_OPTION_INVALID' })
    t.throws(() => a.channel(''.padEnd(1025)), { code: 'STORE_NAME_INVALID' })
    t.throws(() => a.channel('a').subscribe({ timeout: 1 } as object), { code: 'STORE_OPTION_INVALID' })
    await t.rejects(a.channel('a').publish(undefined), { code: 'STORE_VALUE_INVALID' })
    await t.rejects(a.channel('a').publish('x'.repeat(2 ** 20)), { code: 'STORE_VALUE_TOO_LARGE' })
  },

  async 'messages reach all current subscribers in order' (t, { mine: { name } }, a) {
    const channel = a.channel<unknown>(name)
    t.equal(await channel.publish('nobody is there'), 0)
    const first = channel.subscribe()
    await first.ready
    t.equal(await channel.publish({ text: 'é' }), 1)
    const second = channel.subscribe()
    await second.ready
    for (let i = 0; i < 500; i++) channel.publish(i, { confirm: false }).catch(t.threw)
    t.equal(await channel.publish('end'), 2)
    const expected = [...Array(500).keys(), 'end'].map(message => ({ message }))
    const read = async (subscription: AsyncIterableIterator<unknown>, count: number): Promise<unknown[]> => {
      const found = []
      while (found.length < count) found.push((await subscription.next()).value)
      return found
    }
    t.strictSame(await read(first, 502), [{ message: { text: 'é' } }, ...expected])
    t.strictSame(await read(second, 501), expected)
    const next = first.next()
    await first.return()
    t.strictSame(await next, { value: undefined, done: true })
    t.equal(await channel.publish('one is left'), 1)
    const controller = new AbortController()
    const aborted = channel.subscribe({ signal: controller.signal })
    await aborted.ready
    controller.abort()
    t.strictSame(await aborted.next(), { value: undefined, done: true })
    for await (const { message } of second) if (message === 'one is left') break
    t.equal(await channel.publish('nobody is left'), 0)
  },

  async 'a subscriber that falls behind gets the number of messages it missed' (t, { mine: { name } }, a) {
    const channel = a.channel<[number, string]>(name)
    const filler = 'x'.repeat(500)
    const lazy = channel.subscribe()
    const busy = channel.subscribe()
    await Promise.all([lazy.ready, busy.ready])
    let last = -1
    const reading = (async () => {
      for await (const { message } of busy) {
        last = message?.[0] ?? last
        if (last === 2999) break
      }
    })()
    for (let i = 0; i < 2999; i++) channel.publish([i, filler], { confirm: false }).catch(t.threw)
    t.equal(await channel.publish([2999, filler]), 2)
    await reading
    t.equal(last, 2999)
    let count = 0
    let missed = 0
    for await (const event of lazy) {
      if (event.missed !== undefined) missed += event.missed
      else count++
      if (event.message?.[0] === 2999) break
    }
    t.equal(count + missed, 3000)
    t.ok(missed > 0)
  }
}
