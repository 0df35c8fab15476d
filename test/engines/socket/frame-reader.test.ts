import t from 'tap'
import { FrameReader, READ, type FrameHandler } from '../../../src/engines/socket/frame-reader.js'
import { random } from '../../faults/attack.js'

const EAGER = 2 ** 21
const TAIL = 16

function framed (size: number, fill: number): Buffer {
  const frame = Buffer.alloc(4 + size, fill)
  frame.writeUInt32LE(size)
  return frame
}

interface Seen { buffer: Buffer, size: number, isOwned: boolean }

/** A reader, and the frames that it has handled. `keeps`: the handler keeps the buffers that it is given. */
function reading (keeps = false): { reader: FrameReader, seen: Seen[], gate: { isReady: boolean } } {
  const seen: Seen[] = []
  const gate = { isReady: true }
  const handler: FrameHandler = {
    frame (buffer, at, end, isOwned) {
      const content = buffer.subarray(at, end)
      if (!content.equals(Buffer.alloc(content.length, content[0]))) throw new Error('bytes of different frames')
      seen.push({ buffer, size: end - at, isOwned })
      return keeps && isOwned
    }
  }
  return { reader: new FrameReader(handler, () => gate.isReady), seen, gate }
}

/** Receives like a socket: into `target` if there is one, else into a buffer that is reused. Returns the reads. */
function receive (reader: FrameReader, bytes: Buffer, most = READ): Array<{ size: number, inPlace: boolean }> {
  const reads = []
  const reused = Buffer.alloc(READ)
  for (let at = 0; at < bytes.length;) {
    const { target } = reader
    const into = target ?? reused
    const size = bytes.copy(into, 0, at, at + Math.min(most, into.length))
    reader.receive(into.subarray(0, size))
    reused.fill(0xff)
    at += size
    reads.push({ size, inPlace: target !== undefined })
  }
  return reads
}

t.test('frames of any size, received in pieces of any size, are handled complete and in order', async t => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
  t.comment(`SEED=${seed}`)
  const next = random(seed)
  const below = (limit: number): number => Math.floor(next() * limit)
  for (let round = 0; round < 40; round++) {
    const { reader, seen, gate } = reading(round % 2 === 0)
    const sizes = Array.from({ length: 30 }, () => 8 + below([20, 2000, READ, 3 * READ][below(4)]!))
    const bytes = Buffer.concat(sizes.map((size, i) => framed(size, i)))
    for (let at = 0; at < bytes.length;) {
      const end = at + 1 + below([10, 5000, 300_000][below(3)]!)
      if (gate.isReady) receive(reader, bytes.subarray(at, end))
      else reader.receive(bytes.subarray(at, end)) // was read before the socket was paused
      at = end
      gate.isReady = below(4) > 0
      if (gate.isReady) reader.receive(Buffer.alloc(0))
    }
    gate.isReady = true
    reader.receive(Buffer.alloc(0))
    t.strictSame(seen.map(({ size }) => size), sizes)
  }
})

t.test('no frame is handled while the handler is not ready', async t => {
  const { reader, seen, gate } = reading()
  gate.isReady = false
  reader.receive(Buffer.concat([framed(10, 1), framed(20, 2), framed(30, 3).subarray(0, 9)]))
  t.equal(seen.length, 0)
  gate.isReady = true
  reader.receive(framed(30, 3).subarray(9))
  t.strictSame(seen.map(({ size }) => size), [10, 20, 30])
})

t.test('the rest of a long frame is received in place, once its size is known', async t => {
  const { reader, seen } = reading()
  const reads = receive(reader, Buffer.concat([framed(100, 1), framed(2 ** 20, 2), framed(100, 3)]), 2 ** 30)
  t.strictSame(seen.map(({ size }) => size), [100, 2 ** 20, 100])
  t.strictSame(reads, [
    { size: READ, inPlace: false },
    { size: 104 + 2 ** 20 + 4 - READ + TAIL, inPlace: true },
    { size: 104 - TAIL, inPlace: false }
  ])
})

t.test('long frames that follow each other take one read each, whatever their sizes', async t => {
  const { reader, seen } = reading(true)
  const sizes = Array.from({ length: 20 }, (_, i) => READ + 1 + i * i * 1000)
  const reads = receive(reader, Buffer.concat(sizes.map((size, i) => framed(size, i))), 2 ** 30)
  t.strictSame(seen.map(({ size }) => size), sizes)
  t.ok(seen.slice(1).every(({ isOwned }) => isOwned))
  t.equal(reads.length, 21)
})

t.test('what follows a long frame stays as it was, whatever the handler does with the memory of the frame', async t => {
  for (const keeps of [true, false]) {
    const sizes: number[] = []
    const reader = new FrameReader({
      frame (buffer, at, end, isOwned) {
        sizes.push(end - at)
        if (isOwned) new Uint8Array(buffer.buffer).fill(0xff)
        return keeps && isOwned
      }
    }, () => true)
    const all = [READ, 8, READ + 1, 9, 10, 2 * READ, 11, 2 ** 20, 2 ** 20, 12]
    receive(reader, Buffer.concat(all.map(size => framed(size, 1))), 2 ** 30)
    t.strictSame(sizes, all)
  }
})

t.test('a handler can keep the buffer of a long frame, which contains nothing else', async t => {
  const { reader, seen } = reading(true)
  for (let i = 0; i < 3; i++) receive(reader, framed(2 ** 20, i))
  t.ok(seen.every(({ buffer, isOwned }) => isOwned && buffer.length === 4 + 2 ** 20), 'only the frame is in it')
  t.equal(new Set(seen.map(({ buffer }) => buffer.buffer)).size, 3)
  for (const [i, { buffer }] of seen.entries()) t.equal(buffer.at(-1), i)
})

t.test('long frames that are not kept share a buffer, which cannot be kept if it is larger than the frame', async t => {
  const { reader, seen } = reading()
  for (const size of [2 ** 20, 2 ** 20, 2 ** 19]) receive(reader, framed(size, 1))
  t.equal(new Set(seen.map(({ buffer }) => buffer.buffer)).size, 1)
  t.strictSame(seen.map(({ isOwned }) => isOwned), [true, true, false])
})

t.test('a peer that claims more than it sends takes little memory', async t => {
  const { reader, seen } = reading()
  const size = 2 ** 26
  const frame = framed(size, 1)
  let most = 0
  for (let at = 0; at < frame.length; at += READ) {
    const { target } = reader
    if (target !== undefined) {
      const held = target.buffer.byteLength
      t.ok(held <= Math.max(EAGER, 2 * at), `${held} bytes allocated when ${at} have arrived`)
      most = Math.max(most, held)
    }
    const bytes = frame.subarray(at, at + READ)
    if (target === undefined) reader.receive(bytes)
    else {
      const count = bytes.copy(target)
      reader.receive(target.subarray(0, count))
      if (count < bytes.length) reader.receive(bytes.subarray(count))
    }
  }
  t.equal(most, size + 4 + TAIL)
  t.equal(seen.length, 1)
  receive(reader, framed(2 * READ, 1))
  t.ok(seen[1]!.buffer.length <= EAGER, 'the large buffer is not kept')
})

t.test('an invalid frame size is rejected as soon as it is known', async t => {
  for (const size of [0, 7, 2 ** 26 + 1]) {
    const { reader } = reading()
    const head = Buffer.alloc(4)
    head.writeUInt32LE(size)
    reader.receive(head.subarray(0, 3))
    t.throws(() => { reader.receive(head.subarray(3)) }, { code: 'STORE_PROTOCOL', message: new RegExp(`${size} bytes`) })
  }
})
