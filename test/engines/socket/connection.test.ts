import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Socket, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Connection, type Handler } from '../../../src/engines/socket/connection.js'
import { adopt, connectTo } from '../../../src/engines/socket/read-buffer.js'
import { until } from '../../support/until.js'

interface Ends { ours: Socket, theirs: Socket }

const IGNORED = { target: undefined, receive () {} }
const connections = new WeakMap<Socket, Connection>()

/** Two ends of a socket; ours reads like the primary. */
async function ends (t: Test): Promise<Ends> {
  const folder = mkdtempSync(join(tmpdir(), 'connection-')) // short: socket paths are limited to 107 bytes
  const server: Server = createServer({ pauseOnConnect: true }).listen(join(folder, 'socket'))
  await once(server, 'listening')
  const theirs: Socket = connectTo(server.address() as string, () => connections.get(theirs) ?? IGNORED)
  const [accepted] = await once(server, 'connection') as [Socket]
  const ours: Socket = adopt(accepted, () => connections.get(ours)!)
  t.teardown(() => {
    ours.destroy()
    theirs.destroy()
    server.close()
    rmSync(folder, { recursive: true })
  })
  return { ours, theirs }
}

class Log implements Handler {
  frames: string[] = []
  batches = 0
  isClosed = false
  error: Error | undefined
  connection: Connection | undefined
  onframe: ((text: string) => void) | undefined

  batch (): void { this.batches++ }
  frame (buffer: Buffer, at: number, end: number): void {
    const text = buffer.toString('latin1', at, end)
    this.frames.push(text)
    this.onframe?.(text)
  }

  closed (error: Error | undefined): void {
    this.isClosed = true
    this.error = error
  }
}

function listen (socket: Socket): Log {
  const log = new Log()
  connections.set(socket, log.connection = new Connection(socket, log))
  return log
}

function framed (...texts: string[]): Buffer {
  return Buffer.concat(texts.map(text => {
    const size = Buffer.alloc(4)
    size.writeUInt32LE(text.length)
    return Buffer.concat([size, Buffer.from(text, 'latin1')])
  }))
}

function send (connection: Connection, text: string): void {
  const frame = framed(text)
  connection.reserve(frame.length)
  frame.copy(connection.buffer, connection.used)
  connection.commit(frame.length)
}

t.test('frames that are split at any byte arrive complete', async t => {
  const { ours, theirs } = await ends(t)
  const log = listen(ours)
  const bytes = framed('first one', 'the second', 'a third frame')
  for (let cut = 1; cut < bytes.length; cut++) {
    log.frames = []
    const seen = log.batches
    theirs.write(bytes.subarray(0, cut))
    if (cut >= 4 + 9) await until(() => log.frames.length > 0)
    else await until(() => ours.bytesRead % bytes.length === cut)
    theirs.write(bytes.subarray(cut))
    await until(() => log.frames.length === 3)
    t.strictSame(log.frames, ['first one', 'the second', 'a third frame'], `cut at ${cut}`)
    t.ok(log.batches > seen)
  }
})

t.test('frames arrive complete if the buffer is reused after each read', async t => {
  const { ours } = await ends(t)
  const log = listen(ours)
  const bytes = framed('first one', 'the second', 'a third frame')
  const buffer = Buffer.alloc(16)
  for (let at = 0; at < bytes.length; at += buffer.length) {
    const size = bytes.copy(buffer, 0, at)
    log.connection!.receive(buffer.subarray(0, size))
  }
  t.strictSame(log.frames, ['first one', 'the second', 'a third frame'])
})

t.test('a socket without an accessible handle is used as it is', async t => {
  const { ours } = await ends(t)
  const accepted = Object.assign(new Socket(), { resume: () => ours })
  t.equal(adopt(accepted, () => t.fail('must not be asked') as never), ours)
})

t.test('all reads of a socket use one buffer', async t => {
  const { ours, theirs } = await ends(t)
  for (const [from, to] of [[ours, theirs], [theirs, ours]] as const) {
    const buffers = new Set<ArrayBufferLike>()
    connections.set(to, { receive: (bytes: Buffer) => { buffers.add(bytes.buffer) } } as Connection)
    for (let i = 1; i <= 10; i++) {
      from.write('some bytes')
      await until(() => to.bytesRead === i * 10)
    }
    t.equal(buffers.size, 1)
  }
})

t.test('frames can arrive byte by byte, or thousands in one read', async t => {
  const { ours, theirs } = await ends(t)
  theirs.setNoDelay()
  const log = listen(ours)
  for (const byte of framed('slow frame')) {
    const read = ours.bytesRead
    theirs.write(Buffer.of(byte))
    await until(() => ours.bytesRead > read)
  }
  await until(() => log.frames.length === 1)
  const many = Array.from({ length: 5000 }, (_, i) => `frame ${1000 + i}`)
  theirs.write(framed(...many))
  await until(() => log.frames.length === 5001)
  t.strictSame(log.frames.slice(1), many)
  t.ok(log.batches < 100)
})

t.test('output gathered in one event loop iteration is sent in one write', async t => {
  const { ours, theirs } = await ends(t)
  const log = listen(ours)
  const sender = new Connection(theirs, new Log())
  for (const gathers of [true, false]) {
    sender.gathers = gathers
    const before = theirs.bytesWritten
    for (let i = 0; i < 3; i++) {
      send(sender, 'any frame')
      await new Promise(process.nextTick)
    }
    t.equal(theirs.bytesWritten - before, gathers ? 0 : 3 * (4 + 9))
    await until(() => log.frames.length === (gathers ? 3 : 6))
  }
})

t.test('a large frame arrives complete', async t => {
  const { ours, theirs } = await ends(t)
  const log = listen(ours)
  const large = 'x'.repeat(5_000_000)
  const sender = new Connection(theirs, new Log())
  send(sender, 'before it')
  send(sender, large)
  send(sender, 'behind it')
  await until(() => log.frames.length === 3)
  t.ok(log.frames[1] === large)
  t.equal(log.frames[2], 'behind it')
})

t.test('output of one tick is sent in one write', async t => {
  const { ours, theirs } = await ends(t)
  const log = listen(theirs)
  const connection = new Connection(ours, new Log())
  let writes = 0
  const write = ours.write.bind(ours)
  ours.write = ((chunk: Buffer) => {
    writes++
    return write(chunk)
  }) as typeof ours.write
  for (let i = 0; i < 100; i++) send(connection, `frame number ${i}`)
  await until(() => log.frames.length === 100)
  t.equal(writes, 1)
  t.equal(connection.backlog, 0)
})

t.test('invalid frame sizes end the connection', async t => {
  for (const size of [0, 7, 2 ** 26 + 1, 2 ** 32 - 1]) {
    const { ours, theirs } = await ends(t)
    const log = listen(ours)
    const head = Buffer.alloc(8)
    head.writeUInt32LE(size)
    theirs.write(Buffer.concat([framed('good one'), head]))
    await until(() => log.isClosed)
    t.match(log.error, { code: 'STORE_PROTOCOL', message: new RegExp(`${size} bytes`) })
    t.strictSame(log.frames, ['good one'])
  }
})

t.test('an error thrown by the handler ends the connection, and later frames are ignored', async t => {
  const { ours, theirs } = await ends(t)
  const log = listen(ours)
  log.onframe = text => { if (text === 'bad frame') throw new Error('no') }
  theirs.write(framed('good frame', 'bad frame', 'later frame'))
  await until(() => log.isClosed)
  t.match(log.error, { message: 'no' })
  t.strictSame(log.frames, ['good frame', 'bad frame'])
})

t.test('reading stops while the peer does not read: its backlog is bounded, and no frame is lost', async t => {
  const { ours, theirs } = await ends(t)
  theirs.pause()
  const log = listen(ours)
  const connection = log.connection!
  connection.slowTimeoutMs = 60_000
  const answer = 'x'.repeat(64 * 1024)
  let highest = 0
  log.onframe = () => {
    send(connection, answer)
    highest = Math.max(highest, connection.backlog)
  }
  theirs.write(framed(...Array.from({ length: 1000 }, () => 'question')))
  await until(() => ours.isPaused())
  t.ok(highest < 6 * 2 ** 20, `${highest} bytes wait`)
  t.ok(log.frames.length < 200)
  theirs.resume()
  await until(() => theirs.bytesRead === 1000 * (answer.length + 4))
  t.equal(log.frames.length, 1000)
})

t.test('a peer that never reads is disconnected', async t => {
  const { ours, theirs } = await ends(t)
  theirs.pause()
  const log = listen(ours)
  log.connection!.slowTimeoutMs = 50
  for (let i = 0; i < 100; i++) send(log.connection!, 'x'.repeat(64 * 1024))
  await until(() => log.isClosed)
  t.match(log.error, { code: 'STORE_DISCONNECTED', message: /stopped reading/ })
})

t.test('small writes to a peer that does not read share a buffer', async t => {
  const { ours, theirs } = await ends(t)
  theirs.pause()
  const { connection } = listen(ours)
  const buffers = new Set<Buffer>()
  const text = 'x'.repeat(46)
  for (let i = 0; i < 50_000; i++) {
    send(connection!, text)
    connection!.flush()
    buffers.add(connection!.buffer)
  }
  t.equal(connection!.backlog, ours.writableLength)
  t.ok(ours.writableLength > 2e6, 'they wait')
  t.ok(buffers.size <= 50_000 * 50 / 2 ** 16 + 1, `in ${buffers.size} buffers`)
})

t.test('buffers that are full are reused once they are written', async t => {
  const { ours, theirs } = await ends(t)
  const log = listen(theirs)
  const { connection } = listen(ours)
  const rounds = []
  for (let round = 1; round <= 3; round++) {
    const buffers = new Set<ArrayBufferLike>()
    for (let i = 0; i < 100; i++) {
      send(connection!, String(i).repeat(10_000))
      buffers.add(connection!.buffer.buffer)
    }
    await until(() => log.frames.length === round * 100 && ours.writableLength === 0)
    rounds.push(buffers)
  }
  const [, second, third] = rounds
  t.ok(second!.size > 5, `${second!.size} buffers`)
  t.ok([...third!].every(buffer => second!.has(buffer)), 'the same again')
  t.ok(log.frames.every((text, i) => text === String(i % 100).repeat(10_000)))
})

t.test('a frame can be given more room before anything is written to it', async t => {
  const { ours, theirs } = await ends(t)
  const log = listen(theirs)
  const { connection } = listen(ours)
  const memory = new Set<ArrayBufferLike>()
  for (let i = 1; i <= 20; i++) {
    send(connection!, 'before it')
    connection!.reserve(100_000)
    memory.add(connection!.buffer.buffer)
    connection!.reserve(150_000)
    memory.add(connection!.buffer.buffer)
    send(connection!, 'x'.repeat(150_000))
    await until(() => log.frames.length === 2 * i && ours.writableLength === 0)
  }
  t.ok(log.frames.every((text, i) => text === (i % 2 === 0 ? 'before it' : 'x'.repeat(150_000))))
  t.ok(memory.size < 10, `${memory.size} buffers`)
})
