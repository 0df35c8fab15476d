// Stores and clients that are stopped, busy or slow.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { Liveness } from '../../../src/engines/socket/liveness.js'
import { createStore, type KeyLock, type Store, type StoreError } from '../../../src/index.js'
import { start } from '../../support/programs.js'
import { PLAIN, directory, serve, type Serving } from '../../support/serve.js'
import { until } from '../../support/until.js'

const SILENT = /the store has not answered for 1 s; its process is stopped, or its event loop is blocked$/

function served (t: Test): Promise<Serving> {
  return serve(t, ['--socket', join(directory(t), 'socket')])
}

function storeAt (t: Test, url: string, connectTimeout: number): Store & { errors: StoreError[] } {
  const store = Object.assign(createStore({ url, connectTimeout }), { errors: [] as StoreError[] })
  store.on('error', error => { store.errors.push(error) })
  t.teardown(() => store.close().catch(() => {}))
  return store
}

const aborted = ({ signal }: KeyLock<any>): Promise<unknown> => once(signal, 'abort')

function block (ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

interface Proxy {
  url: string
  writes (): number
  hold (): void
  go (): void
}

/** Forwards to a store, counts the writes of clients, and can hold its replies back. */
async function proxy (t: Test, path: string): Promise<Proxy> {
  const own = join(directory(t), 'proxy')
  const servers: Socket[] = []
  let writes = 0
  const listener = createServer(client => {
    const server = connect(path)
    servers.push(server)
    client.on('data', () => { writes++ }).on('error', () => {}).pipe(server)
    server.on('error', () => {}).pipe(client)
  }).listen(own)
  t.teardown(() => {
    listener.close()
    for (const server of servers) server.destroy()
  })
  await once(listener, 'listening')
  return {
    url: `unix:${own}`,
    writes: () => writes,
    hold () { for (const server of servers) server.pause() },
    go () { for (const server of servers) server.resume() }
  }
}

t.test('calls to a stopped store fail, and locks are lost', async t => {
  const serving = await served(t)
  const store = storeAt(t, serving.url, 1)
  const other = storeAt(t, serving.url, 1000)
  const collection = store.collection('c')
  await collection.set('kept', 1)
  const lock = await collection.acquire('key')
  const lost = aborted(lock)
  const watch = collection.watch({ prefix: '' })[Symbol.asyncIterator]()
  const calls = [collection.get('kept'), collection.get('key'), collection.acquire('key'), store.ping()]
  await calls[0]
  await calls[3]
  serving.kill('SIGSTOP')
  calls.push(collection.set('late', 1), collection.increment('late'))
  const outcomes = await Promise.allSettled(calls)
  for (const i of [1, 2, 4, 5]) {
    t.match(outcomes[i], { status: 'rejected', reason: { code: 'STORE_DISCONNECTED', message: SILENT } })
  }
  await lost
  t.match(lock.signal.reason, { code: 'STORE_LOCK_LOST' })
  t.match(store.errors, [{ code: 'STORE_DISCONNECTED', message: SILENT }])
  await t.rejects(collection.get('kept'), { code: 'STORE_UNREACHABLE' }, 'the next call tries to connect')
  const waiting = other.collection('c').acquire('key')
  serving.kill('SIGCONT')
  await (await waiting).release() // the store releases what the lost connection held
  t.equal(await collection.get('kept'), 1)
  await watch.return?.()
})

t.test('a lock is lost when the store is stopped, also while no call is pending', async t => {
  const serving = await served(t)
  const lock = await storeAt(t, serving.url, 1).collection('c').acquire('key')
  serving.kill('SIGSTOP')
  await aborted(lock)
  t.match(lock.signal.reason, { code: 'STORE_LOCK_LOST' })
  t.equal(lock.held, false)
})

t.test('a process that only writes without confirmation notices that the store is stopped', async t => {
  const serving = await served(t)
  const store = storeAt(t, serving.url, 1)
  const collection = store.collection('c')
  await collection.get('key')
  serving.kill('SIGSTOP')
  await collection.set('key', 1, { confirm: false })
  await until(() => store.errors.length > 0)
  t.match(store.errors, [{ code: 'STORE_DISCONNECTED', message: SILENT }])
  serving.kill('SIGCONT')
})

t.test('when the primary is stopped, the calls of a worker reject and its locks are lost', async t => {
  const { child, nextLine, ended } = start(t, 'test/fixtures/primary-killed.js', { env: { CONNECT_TIMEOUT: '1' } })
  t.match(JSON.parse(await nextLine()), { ready: true })
  child.kill('SIGSTOP')
  const expected = { codes: Array(4).fill('STORE_DISCONNECTED'), held: false, later: 'STORE_UNREACHABLE' }
  t.strictSame(JSON.parse(await nextLine()), expected)
  child.kill('SIGKILL')
  await ended
})

t.test('waiting for a lock, and a store that is busy for a while, are not taken for silence', async t => {
  const serving = await served(t)
  const store = storeAt(t, serving.url, 1)
  const patient = storeAt(t, serving.url, 5)
  const lock = await store.collection('c').acquire('key')
  const wait = store.collection('c').acquire('key')
  const held = await patient.collection('c').acquire('other')
  await delay(3000)
  await lock.release()
  await (await wait).release()
  serving.kill('SIGSTOP')
  const call = patient.collection('c').get('busy')
  await delay(2000)
  serving.kill('SIGCONT')
  t.equal(await call, undefined)
  t.ok(held.held)
  t.strictSame(patient.errors, [])
})

t.test('a blocked event loop of the client is not taken for silence of the store', async t => {
  const serving = await served(t)
  const store = storeAt(t, serving.url, 1)
  const lock = await store.collection('c').acquire('key')
  const wait = store.collection('c').get('key')
  for (let i = 0; i < 8; i++) {
    block(500)
    await delay(1)
  }
  serving.kill('SIGSTOP')
  block(3000) // as if the whole machine had paused
  serving.kill('SIGCONT')
  await delay(500)
  t.ok(lock.held)
  await lock.release()
  t.equal(await wait, undefined)
  t.strictSame(store.errors, [])
})

t.test('after a pause of the client, the store gets another interval to answer', async t => {
  let beats = 0
  let questions = 0
  const calls = {
    held: 0,
    get pending () {
      if (++beats === 5) setTimeout(block, 0, 1000) // one more silent beat is too many
      return 1
    }
  }
  const error = await new Promise<StoreError>(resolve => {
    const liveness = new Liveness(1000, calls, { ask: () => { questions++ }, silent: resolve })
    liveness.start()
    const keep = setInterval(() => {}, 1000)
    t.teardown(() => { clearInterval(keep) })
  })
  t.match(error, { code: 'STORE_DISCONNECTED', message: SILENT })
  t.ok(beats > 6)
  t.equal(questions, 1)
})

t.test('an idle client sends nothing, and a client that holds a lock pings the store', async t => {
  const { path } = await served(t)
  const { url, writes } = await proxy(t, path)
  const store = storeAt(t, url, 1)
  await store.ping()
  await delay(300) // for a ping that was due
  const before = writes()
  await delay(1500)
  t.equal(writes(), before)
  const lock = await store.collection('c').acquire('key')
  const holding = writes()
  await until(() => writes() > holding + 2)
  await lock.release()
})

t.test('a process that only holds a lock can exit while the store is stopped', async t => {
  const serving = await served(t)
  const program = `
    import { createStore } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../../src/index.js')).href)}
    const lock = await createStore({ url: ${JSON.stringify(serving.url)}, connectTimeout: 3 }).collection('c').acquire('key')
    process.kill(${serving.pid}, 'SIGSTOP')
    process.on('exit', () => { console.log(lock.held) })
    setTimeout(() => {}, 1500) // until the store has been pinged
  `
  const argv = [...PLAIN, process.execPath, '--input-type=module', '-e', program]
  const child = spawn('env', argv, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.equal(await text(child.stdout), 'true\n', 'it exits before the lock is lost')
})

t.test('a lease expires on the clock of the lock owner while the store is silent', async t => {
  const serving = await served(t)
  const lock = await storeAt(t, serving.url, 1000).collection('c').acquire('key', { lease: 0.3 })
  serving.kill('SIGSTOP')
  await aborted(lock)
  t.ok(lock.expiresAt! <= new Date())
  t.equal(lock.held, false)
  await t.rejects(lock.release(), { code: 'STORE_LOCK_LOST' }, 'without the store')
  serving.kill('SIGCONT')
})

t.test('a lock whose renewal reaches its owner too late is released', async t => {
  const { path, url } = await served(t)
  const { url: slow, hold, go } = await proxy(t, path)
  const lock = await storeAt(t, slow, 1000).collection('c').acquire('key', { lease: 0.5 })
  hold()
  const renewed = t.rejects(lock.renew(1000), { code: 'STORE_LOCK_LOST' })
  await aborted(lock)
  go()
  await renewed
  await storeAt(t, url, 10).collection('c').set('key', 1)
})
