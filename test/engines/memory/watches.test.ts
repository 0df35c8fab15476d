// Watches and channels in the keyspace, on a clock that the tests advance: what is kept, for how long, and cleanup.
import t from 'tap'
import { Request, SUBSCRIPTION_MS, type Op, type Reply } from '../../../src/core/engine.js'
import { readParts, type MessageReply, type WatchReply, type WatchRequest } from '../../../src/core/feed-replies.js'
import { fromBytes, type Bytes } from '../../../src/core/value.js'
import { Budget } from '../../../src/engines/memory/agenda.js'
import { dispatch } from '../../../src/engines/memory/dispatch.js'
import { Keyspace } from '../../../src/engines/memory/keyspace.js'
import { Caller } from '../../../src/engines/memory/lock.js'
import { kept } from '../../support/kept-reply.js'

class Client extends Caller {
  readonly label = 'client'
  readonly replies = new Map<number, Reply<Bytes>>()
  unread = 0
  #ids = 0

  constructor (readonly keyspace: Keyspace) {
    super()
  }

  override get backlog (): number {
    return this.unread
  }

  answer (id: number, reply: Reply<Bytes>): void {
    if (id !== 0 && !this.hasLeft) this.replies.set(id, kept(reply))
  }

  lost (): void {}

  send (op: Op, key: string, fields: Partial<Request> = {}): number {
    const id = ++this.#ids
    dispatch(this.keyspace, Object.assign(new Request<Bytes>(op, 'c', key), fields), this, id)
    return id
  }

  /** The reply to a call that is answered immediately. */
  ask (op: Op, key: string, fields: Partial<Request> = {}): Reply<Bytes> {
    const reply = this.replies.get(this.send(op, key, fields))
    if (reply === undefined) throw new Error(`${op} waits`)
    return reply
  }

  watch (cursor: string | undefined, options: WatchRequest = {}, key = ''): number {
    return this.send('watch', key, { cursor, text: JSON.stringify(options) })
  }

  /** The reply to a watch. Undefined while it waits. */
  async changes (id: number): Promise<{ head: WatchReply, texts: string[] } | undefined> {
    await turn()
    const reply = this.replies.get(id)
    return reply === undefined ? undefined : readParts(fromBytes(reply.text!))
  }

  messages (id: number): { head: MessageReply, texts: string[] } {
    return readParts(fromBytes(this.replies.get(id)!.text!))
  }
}

/** Resolves after the ticks in which replies are sent. */
const turn = (): Promise<void> => new Promise(resolve => { setImmediate(resolve) })

function arrange (): {
  keyspace: Keyspace
  client: Client
  other: Client
  pass: (milliseconds: number) => Promise<void>
} {
  let now = 0
  const keyspace = new Keyspace({ time: () => now })
  return {
    keyspace,
    client: new Client(keyspace),
    other: new Client(keyspace),
    pass: async milliseconds => {
      now += milliseconds
      keyspace.clock.tick()
      while (keyspace.sweep(new Budget())) {
        /* more is due */
      }
      await turn()
    }
  }
}

const keysOf = ({ head }: { head: WatchReply }): Array<[string, string]> =>
  head.changes.map(([type, key]) => [type, key])

t.test('changes are logged only for watches, until a minute after their last call', async t => {
  const { keyspace, client, pass } = arrange()
  t.equal(keyspace.context.changes, undefined)
  const { head } = (await client.changes(client.watch(undefined)))!
  t.ok(keyspace.context.changes !== undefined)
  const id = client.watch(head.cursor)
  await pass(3_600_000)
  t.equal(keyspace.watches.size, 1, 'the log is kept while a watch waits')
  client.ask('set', 'key', { text: '1' })
  const answer = (await client.changes(id))!
  t.strictSame(keysOf(answer), [['set', 'key']])
  await pass(59_000)
  client.ask('set', 'later', { text: '1' })
  t.strictSame(
    keysOf((await client.changes(client.watch(answer.head.cursor)))!), [['set', 'later']], 'the log is still there'
  )
  await pass(61_000)
  t.strictSame([keyspace.watches.size, keyspace.context.changes], [0, undefined])
  t.equal((await client.changes(client.watch(answer.head.cursor)))!.head.reset, true)
})

t.test('the log is bounded, with one change per key, and a watch that falls behind it resets', async t => {
  const { client } = arrange()
  const { head: { cursor } } = (await client.changes(client.watch(undefined)))!
  for (let i = 0; i < 200_000; i++) client.ask('set', `key ${i % 1000}`, { text: '1' })
  let count = 0
  let after = cursor
  for (let more = true; more;) {
    const { head } = (await client.changes(client.send('watch', '', { cursor: after, nowait: true })))!
    count += head.changes.length
    after = head.cursor
    more = head.more === true
  }
  t.equal(count, 1000, 'each key once')
  for (let i = 0; i < 65_537; i++) client.ask('set', `many ${i}`, { text: '1' })
  t.equal((await client.changes(client.watch(after)))!.head.reset, true)
})

t.test('changes of one tick cause one reply, and calls with the same cursor share it', async t => {
  const { client, other } = arrange()
  const { head: { cursor } } = (await client.changes(client.watch(undefined)))!
  const waiting = [client, other].map(caller => [caller, caller.watch(cursor, { values: true }, 'a')] as const)
  const exact = other.watch(cursor, { exact: true }, 'a2')
  for (const key of ['a1', 'b', 'a2', 'a1']) client.ask('set', key, { text: JSON.stringify(key) })
  client.ask('del', 'a2')
  for (const [caller, id] of waiting) {
    const answer = (await caller.changes(id))!
    t.strictSame(keysOf(answer), [['set', 'a1'], ['del', 'a2']])
    t.strictSame(answer.texts, ['"a1"'])
    t.equal(caller.waiting.size, 0)
  }
  t.strictSame(keysOf((await other.changes(exact))!), [['del', 'a2']])
})

t.test('a stream gets a reply per batch of changes, and ends if its caller does not read', async t => {
  const { keyspace, client, other } = arrange()
  const { head: { cursor } } = (await client.changes(client.watch(undefined)))!
  const streams = [client, other].map(caller => {
    return caller.send('watch', 'a', { cursor, text: '{"values":true}', stream: true })
  })
  for (let i = 1; i < 4; i++) {
    for (const key of ['a1', 'b', 'a2']) client.ask('set', key, { text: String(i) })
    const answers = await Promise.all([client.changes(streams[0]!), other.changes(streams[1]!)])
    for (const answer of answers) {
      t.strictSame(keysOf(answer!), [['set', 'a1'], ['set', 'a2']], 'each change once')
      t.strictSame(answer!.texts, [String(i), String(i)])
    }
    t.ok(client.replies.get(streams[0]!)!.more)
  }
  t.equal(keyspace.watches.waiters, 2)
  client.unread = 2 ** 20
  client.ask('set', 'a1', { text: '4' })
  const answer = (await client.changes(streams[0]!))!
  t.strictSame([answer.texts, client.replies.get(streams[0]!)!.more], [['4'], false], 'the last reply')
  t.strictSame([client.waiting.size, client.streams, other.streams, keyspace.watches.waiters], [0, 0, 1, 1])
  client.ask('set', 'a1', { text: '5' })
  const next = (await client.changes(client.watch(answer.head.cursor, { values: true }, 'a')))!
  t.strictSame(next.texts, ['5'])
  keyspace.leave(other)
  t.strictSame([other.streams, keyspace.watches.waiters], [0, 0])
})

t.test('a stream ends if a reply cannot hold all changes', async t => {
  const { client } = arrange()
  const { head: { cursor } } = (await client.changes(client.watch(undefined)))!
  const id = client.send('watch', '', { cursor, text: '{"values":true}', stream: true })
  for (let i = 0; i < 10; i++) client.ask('set', `key ${i}`, { text: `"${'x'.repeat(60_000)}"` })
  const { head, texts } = (await client.changes(id))!
  t.strictSame([head.more, client.replies.get(id)!.more], [true, false])
  t.equal(texts.length, 4)
  t.equal((await client.changes(client.watch(head.cursor)))!.head.changes.length, 6)
})

t.test('versions increase across expiry, eviction and rejected writes', async t => {
  const { keyspace, client, pass } = arrange()
  let { head: { cursor } } = (await client.changes(client.watch(undefined)))!
  const seen: Array<[string, string, number]> = []
  const read = async (): Promise<void> => {
    const { head } = (await client.changes(client.send('watch', '', { cursor, nowait: true })))!
    for (const [type, key, version] of head.changes) seen.push([type, key, version])
    cursor = head.cursor
  }
  client.ask('configure', '', { text: '{"maxKeys":2}' })
  client.ask('set', 'short', { text: '1', ttl: 10 })
  client.ask('set', 'a', { text: '1' })
  await read()
  await pass(20)
  client.ask('set', 'b', { text: '1' })
  client.ask('set', 'c', { text: '1' })
  await read()
  t.strictSame(
    seen.map(([type, key]) => [type, key]),
    [
      ['set', 'short'], ['set', 'a'], ['expired', 'short'], ['set', 'b'], ['evicted', 'a'], ['set', 'c']
    ]
  )
  client.ask('configure', '', { text: '{"evict":false}' })
  client.ask('set', 'b', { text: '2', ttl: 10 })
  await pass(11)
  t.equal(client.ask('set', 'c', { text: '3' }).code, undefined)
  client.ask('set', 'd', { text: '1' })
  t.equal(client.ask('set', 'e', { text: '1' }).code, 'STORE_FULL')
  t.equal(client.ask('set', 'd', { text: '2' }).code, undefined)
  await read()
  t.strictSame(seen.slice(6).map(([type, key]) => [type, key]), [['expired', 'b'], ['set', 'c'], ['set', 'd']])
  const versions = seen.map(([, , version]) => version)
  t.strictSame(versions, [...new Set(versions)].sort((a, b) => a - b))
  t.equal(versions.at(-1), client.ask('entry', 'd').version)
  t.equal(keyspace.watches.waiters, 0)
})

t.test('clear reports its keys if the collection is watched', async t => {
  const { client, pass } = arrange()
  const { head: { cursor } } = (await client.changes(client.watch(undefined)))!
  for (let i = 0; i < 5000; i++) client.ask('set', `key ${i}`, { text: '1' })
  client.send('clear', '')
  client.ask('set', 'key 1', { text: '2' })
  await pass(1)
  const state = new Map<string, string>()
  for (let after = cursor, more = true; more;) {
    const { head } = (await client.changes(client.send('watch', '', { cursor: after, nowait: true })))!
    for (const [type, key] of head.changes) state.set(key, type)
    after = head.cursor
    more = head.more === true
  }
  t.equal(state.size, 5000)
  t.strictSame([...state].filter(([, type]) => type === 'set'), [['key 1', 'set']])
})

t.test('a listing has each key once, in pages of a bounded size', async t => {
  const { client } = arrange()
  const text = JSON.stringify('x'.repeat(1000))
  for (let i = 0; i < 2000; i++) client.ask('set', `key ${i}`, { text })
  client.ask('set', 'large', { text: JSON.stringify('x'.repeat(1_000_000)) })
  const found: string[] = []
  let cursor: string | undefined
  let pages = 0
  for (;;) {
    const { head, texts } = (await client.changes(
      client.send('watch', '', { cursor, text: '{"list":true,"values":true}' })
    ))!
    pages++
    t.ok(texts.length <= 1 || texts.reduce((sum, text) => sum + text.length, 0) <= 2 * 256 * 1024)
    t.equal(texts.length, head.changes.length)
    found.push(...head.changes.map(([, key]) => key))
    cursor = head.cursor
    if (head.revision !== undefined) break
    if (pages === 3) client.ask('set', 'key 7', { text: '7' })
  }
  t.equal(found.length, 2001)
  t.equal(new Set(found).size, 2001)
  t.ok(pages > 8)
  t.strictSame(
    keysOf((await client.changes(client.watch(cursor)))!), [['set', 'key 7']], 'changes since the start of the listing'
  )
})

t.test('replies are rate limited, and none is lost', async t => {
  const { keyspace, pass } = arrange()
  const clients = Array.from({ length: 1000 }, () => new Client(keyspace))
  const { head: { cursor } } = (await clients[0]!.changes(clients[0]!.watch(undefined)))!
  const waiting = clients.map(client => [client, client.watch(cursor)] as const)
  clients[0]!.ask('set', 'key', { text: '1' })
  await turn()
  const answered = (): number => waiting.filter(([client, id]) => client.replies.has(id)).length
  t.ok(answered() > 0 && answered() < 500, `${answered()} immediately`)
  for (let i = 0; i < 100; i++) await pass(1)
  t.equal(answered(), 1000)
})

t.test('callers that disconnect, cancel or send invalid requests leave no state', async t => {
  const { keyspace, client, other, pass } = arrange()
  const { head: { cursor } } = (await client.changes(client.watch(undefined)))!
  for (let i = 0; i < 100; i++) client.watch(cursor, { exact: i % 2 === 0 }, `key ${i}`)
  const id = client.watch(cursor, {}, 'a')
  keyspace.cancel(client, id)
  t.equal(client.replies.get(id)!.code, 'STORE_ABORTED')
  t.equal(keyspace.watches.waiters, 100)
  keyspace.leave(client)
  await pass(1) // what did not fit into one slice
  t.equal(keyspace.watches.waiters, 0)
  for (const fields of [
    { text: '{' }, { cursor: 'x' }, { cursor: 'list.' }, { cursor: 'list.-1.0' }, { cursor: '1.5' }
  ]) {
    t.equal(other.ask('watch', '', fields).code, 'STORE_OPTION_INVALID', JSON.stringify(fields))
  }
  for (const fields of [{ cursor: '1' }, { cursor: '9999999999999999' }]) {
    t.equal(readParts<WatchReply>(String(other.ask('watch', '', fields).text)).head.reset, true)
  }
  for (const fields of [{}, { token: 't', number: -1 }, { token: 't', number: NaN }]) {
    t.equal(other.ask('subscribe', 'x', fields).code, 'STORE_OPTION_INVALID')
  }
  dispatch(keyspace, Object.assign(new Request<Bytes>('watch', 'c', ''), { cursor }), other, 0)
  other.ask('set', 'key', { text: '1' })
  await pass(70_000)
  t.equal(keyspace.watches.size, 0)
})

t.test('a subscription ends with its caller, on request, and after a time without calls', async t => {
  const { keyspace, client, other, pass } = arrange()
  const first = client.messages(client.send('subscribe', 'x', { token: 'one', number: 3 }))
  other.send('subscribe', 'x', { token: 'two', number: 1 })
  t.equal(client.ask('publish', 'x', { text: '1' }).number, 4)
  const id = client.send('subscribe', 'x', { token: 'one', number: 3, cursor: first.head.cursor })
  await turn()
  t.strictSame(client.messages(id), { head: { cursor: client.messages(id).head.cursor, first: 0 }, texts: ['1'] })
  await pass(SUBSCRIPTION_MS / 2)
  const waits = client.send('subscribe', 'x', { token: 'one', number: 3, cursor: client.messages(id).head.cursor })
  await pass(SUBSCRIPTION_MS)
  t.equal(client.ask('publish', 'x', { text: '2' }).number, 3, 'the other subscription has timed out')
  await turn()
  t.strictSame(client.messages(waits).texts, ['2'])
  keyspace.leave(client)
  t.equal(other.ask('publish', 'x', { text: '3' }).number, 0)
  await pass(2 * SUBSCRIPTION_MS)
  t.equal(keyspace.channels.size, 0)
  other.send('subscribe', 'x', { token: 'two', number: 1 })
  other.ask('subscribe', 'x', { token: 'two', release: true })
  t.equal(keyspace.channels.size, 0)
  t.equal(other.ask('publish', 'y', { text: '4' }).number, 0)
})

t.test('a process that does not fetch its messages misses the oldest, and gets their number', async t => {
  const { client, other } = arrange()
  const { head: { cursor } } = client.messages(client.send('subscribe', 'x', { token: 'one', number: 1 }))
  for (let i = 0; i < 10_000; i++) other.ask('publish', 'x', { text: String(i) })
  let after = cursor
  const found: string[] = []
  let missed = 0
  while (found.at(-1) !== '9999') {
    const id = client.send('subscribe', 'x', { token: 'one', number: 1, cursor: after })
    await turn()
    const { head, texts } = client.messages(id)
    missed += head.missed ?? 0
    found.push(...texts)
    after = head.cursor
  }
  t.strictSame([found.length + missed, found[0]], [10_000, String(missed)])
  t.ok(missed > 0)
  const { head } = client.messages(client.send('subscribe', 'x', { token: 'one', number: 1, cursor: '1.1' }))
  t.strictSame(head.missed, null, 'an unknown cursor')
})

t.test('a stream of messages ends if none is acknowledged, and resumes after the last acknowledged one', async t => {
  const { client, other } = arrange()
  const subscribe = (cursor?: string): number => {
    return client.send('subscribe', 'x', { token: 'one', number: 1, cursor, stream: cursor !== undefined })
  }
  const { head: { cursor } } = client.messages(subscribe())
  const id = subscribe(cursor)
  const found: string[] = []
  let isOpen = true
  let last = cursor
  for (let i = 0; isOpen; i++) {
    other.ask('publish', 'x', { text: String(i) })
    await turn()
    const { head, texts } = client.messages(id)
    found.push(...texts)
    last = head.cursor
    isOpen = client.replies.get(id)!.more
  }
  t.strictSame(found, Array.from({ length: 64 }, (_, i) => String(i)))
  t.strictSame([client.waiting.size, client.streams], [0, 0])
  const again = subscribe(cursor) // as after a lost connection
  await turn()
  t.strictSame(client.messages(again).texts, found)
  const next = subscribe(last)
  other.ask('publish', 'x', { text: '64' })
  await turn()
  t.strictSame([client.messages(next).texts, client.replies.get(next)!.more], [['64'], true])
  const late = subscribe(cursor)
  await turn()
  t.equal(client.messages(late).head.missed, 64, 'acknowledged messages are dropped')
})
