// The client engine, with stores that cannot be found, do not answer or do not read.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Socket, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { Request, type Abortable, type Reply } from '../../../src/core/engine.js'
import { Keyspace } from '../../../src/engines/memory/keyspace.js'
import type { Discovery } from '../../../src/engines/socket/address.js'
import { ClientEngine } from '../../../src/engines/socket/client.js'
import { PROTOCOL_VERSION } from '../../../src/engines/socket/protocol.js'
import { SocketServer } from '../../../src/engines/socket/server.js'
import { until } from '../../support/until.js'

const NOWHERE: Discovery = {
  find: (_, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(new Error('aborted'))
      })
    })
}

const clientOf = (discovery: Discovery, connectTimeout = 10_000): ClientEngine =>
  new ClientEngine({ discovery, connectTimeout, label: 'client' })
const get = (): Request => new Request('get', 'c', 'key')

function serverOf (t: Test): { server: SocketServer, discovery: Discovery } {
  const server = new SocketServer(new Keyspace())
  t.teardown(() => { server.close() })
  return { server, discovery: { find: () => server.address() } }
}

t.test('calls that wait for a connection are bounded, confirmed or not; releases are always accepted', async t => {
  const client = clientOf(NOWHERE, 200)
  const kept = client.call(get())
  for (let i = 0; i < 2 ** 19; i++) client.post(new Request('del', 'c', 'key'))
  await t.rejects(client.call(get()), { code: 'STORE_OVERLOADED' })
  const release = client.call(Object.assign(new Request('release', 'c', 'key'), { token: 'token' }))
  const outcomes = Promise.allSettled([kept, release])
  await t.rejects(client.close(), { code: 'STORE_UNREACHABLE' })
  t.match(await outcomes, Array(2).fill({ status: 'rejected', reason: { code: 'STORE_UNREACHABLE' } }))
  const large = clientOf(NOWHERE, 200)
  for (let i = 0; i < 257; i++) large.post(Object.assign(new Request('set', 'c', 'key'), { text: 'x'.repeat(2 ** 20) }))
  await t.rejects(large.call(get()), { code: 'STORE_OVERLOADED' })
  await t.rejects(large.close(), { code: 'STORE_UNREACHABLE' })
  const both = clientOf(NOWHERE, 200)
  const text = 'x'.repeat(700)
  for (let i = 0; i < 300_000; i++) both.post(Object.assign(new Request('set', 'c', 'key'), { text }))
  await t.rejects(both.call(get()), { code: 'STORE_OVERLOADED' }, 'the limit covers calls and their values')
  await t.rejects(both.close(), { code: 'STORE_UNREACHABLE' })
})

t.test('while the store is closed, attempts to find it get rarer; then it is found again', async t => {
  const { discovery } = serverOf(t)
  const times: number[] = []
  let isClosed = true
  const client = clientOf({
    find: async (timeout, signal) => {
      times.push(performance.now())
      if (isClosed) throw new Error('the store is closed')
      return await discovery.find(timeout, signal)
    }
  })
  t.teardown(() => client.close())
  while (times.length < 6) await t.rejects(client.call(get()), { code: 'STORE_UNREACHABLE' })
  const pauses = times.slice(1).map((time, i) => time - times[i]!)
  for (const [i, least] of [50, 100, 200, 400, 500].entries()) t.ok(pauses[i]! > least - 2, `${pauses[i]!} ms`)
  isClosed = false
  t.equal((await client.call(get())).text, undefined)
})

t.test('reads of copies are counted, also those right before the client closes', async t => {
  const keyspace = new Keyspace()
  const server = new SocketServer(keyspace)
  t.teardown(() => { server.close() })
  const client = clientOf({ find: () => server.address() })
  await client.call(Object.assign(new Request('configure', 'c', ''), { text: '{"near":1000}' }))
  await client.call(Object.assign(new Request('set', 'c', 'key'), { text: '1' }))
  // The first read has no lease yet, and the second one gets it.
  for (let i = 0; i < 5; i++) await client.call(get())
  await client.close()
  t.equal(keyspace.counters.near.hits, 3)
})

t.test('60,000 calls that wait for a connection can be aborted, which frees their memory', async t => {
  const client = clientOf(NOWHERE, 200)
  const waits: Abortable[] = []
  const scope = { aborted: false, add: (wait: Abortable) => { waits.push(wait) }, delete: () => {} }
  const calls: Array<Promise<Reply>> = []
  for (let i = 0; i < 60_000; i++) {
    const request = Object.assign(get(), {
      text: 'x'.repeat(1000), wait: { timeout: undefined, signal: undefined, scope }
    })
    calls.push(client.call(request))
  }
  const outcomes = Promise.allSettled(calls)
  for (const wait of waits.reverse()) wait.abort()
  t.ok((await outcomes).every(outcome => outcome.status === 'rejected' && outcome.reason.code === 'STORE_ABORTED'))
  for (let i = 0; i < 200; i++) {
    client.post(Object.assign(new Request('set', 'c', 'key'), { text: 'x'.repeat(2 ** 20) }))
  }
  const last = client.call(get())
  const closed = client.close()
  await t.rejects(last, { code: 'STORE_UNREACHABLE' }, 'not STORE_OVERLOADED')
  await t.rejects(closed, { code: 'STORE_UNREACHABLE', message: /unconfirmed writes before this close are lost/ })
})

t.test('close delivers unconfirmed requests, or rejects if they may not have arrived', async t => {
  const { server, discovery } = serverOf(t)
  const client = clientOf(discovery)
  client.post(Object.assign(new Request('set', 'c', 'key'), { text: '1' }))
  await client.close()
  const other = clientOf(discovery)
  t.equal((await other.call(get())).text, '1')
  await other.close()
  await until(() => server.peers === 0)
  await clientOf(NOWHERE).close() // nothing to deliver

  const folder = mkdtempSync(join(tmpdir(), 'client-'))
  const deaf = createServer({ pauseOnConnect: true }, socket => {
    t.teardown(() => {
      socket.destroy()
    })
  }).listen(join(folder, 'socket'))
  t.teardown(() => {
    deaf.close()
    rmSync(folder, { recursive: true })
  })
  await once(deaf, 'listening')
  const toDeaf: Discovery = {
    find: async () => ({ version: PROTOCOL_VERSION, path: join(folder, 'socket'), token: 'x'.repeat(64) })
  }
  const unheard = clientOf(toDeaf, 200)
  const waiting = unheard.call(get())
  unheard.post(new Request('del', 'c', 'key'))
  const outcome = t.rejects(waiting, { code: 'STORE_CLOSED' })
  await t.rejects(unheard.close(), {
    code: 'STORE_DISCONNECTED',
    message: /did not read everything within 0.2 s; unconfirmed writes before this close may be lost/
  })
  await outcome
  const silent = clientOf(toDeaf, 200)
  const call = t.rejects(silent.call(get()), { code: 'STORE_CLOSED' })
  await silent.close() // only the call itself rejects
  await call
})

t.test('every close settles like the first one, once unconfirmed requests were delivered', async t => {
  const { server, discovery } = serverOf(t)
  for (const isConnected of [false, true]) {
    const client = clientOf(discovery)
    if (isConnected) await client.call(get())
    for (let i = 1; i <= 5000; i++) {
      client.post(Object.assign(new Request('set', 'c', 'key'), { text: `"${i}${'x'.repeat(500)}"` }))
    }
    const closed: string[] = []
    const first = client.close().then(() => { closed.push('first') })
    await client.close()
    t.strictSame(closed, ['first'])
    await first
    await client.close()
    await until(() => server.peers === 0)
  }
  const lost = clientOf(NOWHERE, 100)
  lost.post(new Request('del', 'c', 'key'))
  const outcomes = await Promise.allSettled([lost.close(), lost.close()])
  t.match(outcomes, Array(2).fill({ status: 'rejected', reason: { code: 'STORE_UNREACHABLE' } }))
  await t.rejects(lost.close(), { code: 'STORE_UNREACHABLE' })
})

t.test('a removed socket is found again, and open connections stay open', async t => {
  const { server, discovery } = serverOf(t)
  const before = clientOf(discovery)
  await before.call(get())
  const { path } = await server.address()
  rmSync(dirname(path), { recursive: true })
  const after = clientOf(discovery)
  await Promise.all([after.call(get()), before.call(get())])
  t.not((await server.address()).path, path)
  t.equal(server.peers, 2)
  // Between discovery and connect.
  const late = clientOf({
    async find () {
      const address = await server.address()
      rmSync(dirname(address.path), { recursive: true })
      this.find = () => server.address()
      return address
    }
  })
  await late.call(get())
  await Promise.all([before, after, late].map(client => client.close()))
})

t.test('pending calls do not keep long texts once they are sent', async t => {
  const client = clientOf(serverOf(t).discovery)
  t.teardown(() => client.close())
  const lock = await client.call(new Request('acquire', 'c', 'key'))
  const text = JSON.stringify('x'.repeat(100_000))
  const set = Object.assign(new Request('set', 'c', 'key'), { text })
  const reply = client.call(set)
  t.equal(set.text, undefined)
  await client.call(Object.assign(new Request('release', 'c', 'key'), { token: lock.token }))
  t.equal((await reply).number, 1)
  t.equal((await client.call(get())).text, text)
})

t.test('clients receive maxValueBytes on connect and on every change', async t => {
  const { server, discovery } = serverOf(t)
  const client = clientOf(discovery)
  await client.call(get())
  t.equal(client.maxValueBytes, 2 ** 20)
  server.setMaxValueBytes(5)
  await until(() => client.maxValueBytes === 5)
  const later = clientOf(discovery)
  await later.call(get())
  t.equal(later.maxValueBytes, 5)
  await Promise.all([client.close(), later.close()])
})

t.test('a lone call is written at the end of its tick, unless others were pending shortly before', async t => {
  const client = clientOf(serverOf(t).discovery)
  const { write } = Socket.prototype
  let writes = 0
  t.teardown(() => {
    Socket.prototype.write = write
    return client.close()
  })
  Socket.prototype.write = function (this: Socket, ...of: [Buffer]) {
    if (of[0].includes('key')) writes++ // a request
    return write.apply(this, of as unknown as Parameters<typeof write>)
  } as typeof write
  const isWrittenInTick = async (send: () => unknown): Promise<boolean> => {
    writes = 0
    const sent = send()
    await new Promise<void>(resolve => { process.nextTick(() => { process.nextTick(resolve) }) })
    const isWritten = writes === 1
    await sent
    return isWritten
  }
  await client.call(get())
  t.equal(await isWrittenInTick(() => client.call(get())), true)
  await Promise.all([client.call(get()), client.call(get())])
  t.equal(await isWrittenInTick(() => client.call(get())), false)
  t.equal(await isWrittenInTick(() => { client.post(new Request('del', 'c', 'key')) }), true)
  for (let i = 0; i < 64; i++) await client.call(get())
  t.equal(await isWrittenInTick(() => client.call(get())), true)
})
