// The server with broken and unauthenticated peers.
import { existsSync, statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { dirname } from 'node:path'
import t from 'tap'
import { Request } from '../../../src/core/engine.js'
import { Keyspace } from '../../../src/engines/memory/keyspace.js'
import { SocketServer } from '../../../src/engines/socket/server.js'
import {
  NAME, PROTOCOL_VERSION, writeControl, writeHello, writeRequest, type Target
} from '../../../src/engines/socket/protocol.js'
import { until } from '../../support/until.js'

const keyspace = new Keyspace()
const server = new SocketServer(keyspace, {
  helloTimeoutMs: 500, maxUnauthenticated: 20, slowTimeoutMs: 100, maxUnreadBytes: 2 ** 20
})
const { path, token } = await server.address()
t.after(() => { server.close() })

class Peer implements Target {
  buffer = Buffer.alloc(1 << 16)
  used = 0
  received = 0
  isClosed = false
  readonly socket: Socket

  constructor () {
    this.socket = connect(path)
    this.socket.on('data', chunk => { this.received += chunk.length })
    this.socket.on('error', () => {})
    this.socket.on('close', () => { this.isClosed = true })
    t.teardown(() => { this.socket.destroy() })
  }

  reserve (): void {}
  commit (size: number): void { this.used += size }
  send (bytes = this.buffer.subarray(0, this.used)): void {
    this.socket.write(Buffer.from(bytes))
    this.used = 0
  }

  /** Sends a hello and names a collection; resolves when the server replies. */
  async greet (): Promise<this> {
    writeHello(this, token, 'pid 1')
    writeControl(this, NAME, 0, 0, 'collection')
    await this.get()
    return this
  }

  async get (): Promise<void> {
    const { received } = this
    writeRequest(this, new Request('get', 'collection', 'key'), 0, 1)
    this.send()
    await until(() => this.received > received)
  }
}

t.test('only its owner can enter the directory of the socket', async t => {
  t.equal(statSync(dirname(path)).mode & 0o777, 0o700)
  t.strictSame(await server.address(), { version: PROTOCOL_VERSION, path, token })
  t.strictSame(
    await Promise.all([server.address(), server.address(process.geteuid!()), server.address(0)]),
    Array(3).fill({ version: PROTOCOL_VERSION, path, token })
  )
})

t.test('peers without a token, with a wrong token, another protocol or no hello are disconnected', async t => {
  const friend = await new Peer().greet()
  for (const hello of ['x'.repeat(64), '', token.slice(1), token.toUpperCase(), 'é'.repeat(64)]) {
    const peer = new Peer()
    writeHello(peer, hello, '')
    writeControl(peer, NAME, 0, 0, 'collection')
    writeRequest(peer, new Request('get', 'collection', 'key'), 0, 1)
    peer.send()
    await until(() => peer.isClosed)
    t.equal(peer.received, 0)
  }
  const peer = new Peer()
  peer.send(Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'))
  await until(() => peer.isClosed)
  const long = new Peer()
  writeHello(long, token + 'x'.repeat(200), '')
  long.send()
  await until(() => long.isClosed)
  const silent = new Peer()
  await until(() => silent.isClosed)
  await friend.get()
})

t.test('a malformed frame ends only its own connection', async () => {
  const friend = await new Peer().greet()
  const size = Buffer.alloc(4)
  for (const bytes of [0xffffffff, 2 ** 26 + 1, 0, 7]) {
    size.writeUInt32LE(bytes)
    const broken = await new Peer().greet()
    broken.send(Buffer.concat([size, Buffer.alloc(20)]))
    await until(() => broken.isClosed)
    await friend.get()
  }
  const unnamed = await new Peer().greet()
  writeRequest(unnamed, new Request('get', 'collection', 'key'), 9, 1)
  unnamed.send()
  await until(() => unnamed.isClosed)
  const unknown = await new Peer().greet()
  writeRequest(unknown, new Request('get', 'collection', 'key'), 0, 1)
  unknown.buffer[4] = 200
  unknown.send()
  await until(() => unknown.isClosed)
  const nonsense = await new Peer().greet()
  writeRequest(nonsense, Object.assign(new Request('configure', 'collection', ''), { text: '{' }), 0, 1)
  nonsense.send()
  await until(() => nonsense.isClosed)
  await friend.get()
})

t.test('a closed connection loses its locks and waits, and leaves no state', async t => {
  const holder = await new Peer().greet()
  writeRequest(holder, new Request('acquire', 'collection', 'held'), 0, 2)
  holder.send()
  await until(() => keyspace.collection('collection').locks.size === 1)
  const waiting = await new Peer().greet()
  writeRequest(waiting, new Request('acquire', 'collection', 'held'), 0, 2)
  waiting.send()
  await until(() => keyspace.collection('collection').waiters === 1)
  waiting.socket.destroy()
  await until(() => keyspace.collection('collection').waiters === 0)
  holder.socket.destroy()
  await until(() => keyspace.collection('collection').locks.size === 0)
  t.equal(keyspace.collection('collection').size, 0)
})

t.test('an incomplete frame does not block other connections', async () => {
  const half = await new Peer().greet()
  writeRequest(half, Object.assign(new Request('set', 'collection', 'key'), { text: 'x'.repeat(1000) }), 0, 1)
  half.send(half.buffer.subarray(0, half.used - 500))
  const friend = await new Peer().greet()
  await friend.get()
  half.socket.destroy()
})

t.test('a flood of connections is closed, and does not keep clients out', async t => {
  const peers = Array.from({ length: 200 }, () => new Peer())
  const friend = await new Peer().greet()
  await until(() => peers.filter(({ isClosed }) => !isClosed).length <= 20)
  await until(() => peers.every(({ isClosed }) => isClosed))
  await friend.get()
  t.equal(friend.isClosed, false)
})

t.test('a client that does not read gets STORE_OVERLOADED, and is disconnected after a timeout', async t => {
  const holder = await new Peer().greet()
  writeRequest(holder, Object.assign(new Request('set', 'collection', 'large'), { text: 'x'.repeat(50_000) }), 0, 0)
  writeRequest(holder, new Request('acquire', 'collection', 'large'), 0, 2)
  holder.send()
  await until(() => keyspace.collection('collection').locks.size === 1)
  const deaf = await new Peer().greet()
  deaf.socket.pause()
  for (let i = 1; i <= 500; i++) writeRequest(deaf, new Request('get', 'collection', 'large'), 0, i)
  deaf.send()
  await until(() => keyspace.collection('collection').waiters === 500)
  const before = process.memoryUsage().arrayBuffers
  const { peers } = server
  holder.socket.destroy()
  await until(() => keyspace.collection('collection').waiters === 0)
  t.ok(process.memoryUsage().arrayBuffers - before < 15e6, 'less than the 25 MB that it has requested')
  const friend = await new Peer().greet()
  await until(() => server.peers === peers - 1) // one was opened, two were closed
  await friend.get()
  keyspace.collection('collection').clearPrefix('', new Map(), () => {})
})

t.test('close ends all connections and removes the directory', async t => {
  const peer = await new Peer().greet()
  server.close()
  await until(() => peer.isClosed)
  await until(() => server.peers === 0)
  t.notOk(existsSync(dirname(path)))
})
