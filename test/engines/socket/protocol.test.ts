import t from 'tap'
import { OPS, Reply, Request } from '../../../src/core/engine.js'
import {
  CANCEL, ERROR, GONE, LOST, MAX_VALUE, NAME, REVOKE, codeOf, idOf, keyOf, readHello, readNotice, readReply,
  readRequest, slotOf, writeControl, writeHello, writeNotice, writeReply, writeRequest, type ReplyTarget
} from '../../../src/engines/socket/protocol.js'
import { fromBytes, isBuffer, toBytes, type Bytes } from '../../../src/core/value.js'

class Paper implements ReplyTarget {
  buffer = Buffer.alloc(2 ** 17, 0xaa)
  used = 0
  #reserved = 0
  reserve (size: number): void { this.#reserved = size }
  commit (size: number): void {
    if (size > this.#reserved) throw new Error(`${size} bytes committed, ${this.#reserved} reserved`)
    this.used += size
  }

  append (bytes: Buffer): void { this.used += bytes.copy(this.buffer, this.used) }
}

/** The frame written by `write`, without its size field. */
function frame (write: (target: ReplyTarget) => void): { buffer: Buffer, at: number, end: number } {
  const paper = new Paper()
  paper.used = 5 // frames do not start at the beginning of a buffer
  write(paper)
  const size = paper.buffer.readUInt32LE(5)
  if (paper.used !== 5 + 4 + size) throw new Error(`a frame of ${paper.used - 9} bytes has the size ${size}`)
  return { buffer: paper.buffer, at: 9, end: paper.used }
}

const REQUESTS: Array<Partial<Request>> = [
  {},
  { text: '"é€😀"' },
  { text: '' },
  {
    ttl: 1.5,
    ifVersion: 2 ** 53 - 1,
    number: -0.1,
    cursor: '4294967295',
    lease: 1e9,
    token: 'a-token',
    owner: 'é 😀',
    text: '{}'
  },
  { ifAbsent: true, release: true, detached: true, nowait: true },
  { ifPresent: true, durable: true },
  { limit: 2 ** 53, backoff: true, down: true, token: 'a-token', owner: 'é', text: '1' },
  { token: '', owner: '' },
  { ttl: 0, ifVersion: 0, number: 0, cursor: 'x', lease: 0, limit: -1 },
  { text: `"${'é'.repeat(20_000)}"` },
  ...['x', 'é', 'ж', '漢', '😀'].map(character => ({ text: `"${'x'.repeat(4096)}${character}"` }))
]

t.test('requests arrive unchanged, with strings as bytes', async t => {
  for (const op of OPS) {
    for (const fields of REQUESTS) {
      for (const key of ['', 'key', 'é😀\u0000', 'k'.repeat(1024)]) {
        const request = Object.assign(new Request(op, 'c', key), fields)
        const { buffer, at, end } = frame(target => { writeRequest(target, request, 200, 2 ** 32 - 1) })
        t.equal(slotOf(buffer, at), 200)
        t.equal(idOf(buffer, at), 2 ** 32 - 1)
        t.equal(fromBytes(keyOf(buffer, at, end)), key)
        const { text, owner, ...rest } = readRequest(buffer, at, end, 'c', false)
        t.match({ ...rest, key: fromBytes(rest.key) }, { ...fields, op, key, text: undefined, owner: undefined })
        t.equal(text === undefined ? undefined : fromBytes(text), fields.text)
        t.equal(owner === undefined ? undefined : fromBytes(owner), fields.owner)
      }
    }
  }
})

t.test('a request borrows a text of less than 8 KB from the frame, and keeps a longer one as bytes', async t => {
  for (const size of [8191, 8192, 65_536]) {
    const request = Object.assign(new Request('set', 'c', 'key'), { text: 'x'.repeat(size) })
    const { buffer, at, end } = frame(target => { writeRequest(target, request, 0, 1) })
    const { text } = readRequest(buffer, at, end, 'c', false)
    buffer.fill('y')
    t.equal(fromBytes(text!), (size < 8192 ? 'y' : 'x').repeat(size))
    t.equal(isBuffer(text!), size >= 8192)
  }
})

t.test('replies arrive unchanged, with bytes as text', async t => {
  const all = {
    version: 2 ** 53 - 1, expiresIn: 0.5, number: -1, token: 't'.repeat(36), fence: 7, near: 2 ** 32 - 1, text: '1'
  }
  for (const fields of [{}, { text: '"é€😀"' }, { text: '' }, { text: `"${'é'.repeat(20_000)}"` }, all]) {
    const forms = 'text' in fields ? [{ text: toBytes(fields.text) }, { text: Buffer.from(fields.text) }] : [{}]
    for (const form of forms) {
      const reply = Object.assign(new Reply<Bytes>(), fields, form)
      const { buffer, at, end } = frame(target => {
        writeReply(target, reply, 77)
      })
      t.equal(idOf(buffer, at), 77)
      t.match(readReply(buffer, at, end), { code: undefined, ...fields })
    }
  }
})

t.test('notices and control frames arrive unchanged', async t => {
  const error = frame(target => { writeNotice(target, ERROR, 'STORE_LOCKED', 5) })
  t.equal(readReply(error.buffer, error.at, error.end).code, 'STORE_LOCKED')
  t.equal(idOf(error.buffer, error.at), 5)
  const unknown = frame(target => { writeNotice(target, ERROR, 'toString', 5) })
  t.equal(readReply(unknown.buffer, unknown.at, unknown.end).code, 'STORE_PROTOCOL')
  const lost = frame(target => { writeNotice(target, LOST, 'a-token', 0) })
  t.equal(codeOf(lost.buffer, lost.at), LOST)
  t.equal(readNotice(lost.buffer, lost.at, lost.end), 'a-token')
  const limit = frame(target => { writeNotice(target, MAX_VALUE, '1048576', 0) })
  t.strictSame([codeOf(limit.buffer, limit.at), readNotice(limit.buffer, limit.at, limit.end)], [MAX_VALUE, '1048576'])
  const name = frame(target => { writeControl(target, NAME, 3, 0, 'é') })
  t.strictSame(
    [codeOf(name.buffer, name.at), slotOf(name.buffer, name.at), fromBytes(keyOf(name.buffer, name.at, name.end))],
    [NAME, 3, 'é']
  )
  for (const id of [1, 2 ** 32 - 1]) {
    const revoke = frame(target => { writeNotice(target, REVOKE, '', id) })
    t.strictSame([codeOf(revoke.buffer, revoke.at), idOf(revoke.buffer, revoke.at)], [REVOKE, id])
    const gone = frame(target => { writeControl(target, GONE, 0, id, '') })
    t.strictSame([codeOf(gone.buffer, gone.at), idOf(gone.buffer, gone.at)], [GONE, id])
  }
  const cancel = frame(target => { writeControl(target, CANCEL, 0, 9, '') })
  t.strictSame([codeOf(cancel.buffer, cancel.at), idOf(cancel.buffer, cancel.at)], [CANCEL, 9])
})

t.test('a hello arrives unchanged, and a malformed one is rejected', async t => {
  const { buffer, at, end } = frame(target => { writeHello(target, 'f'.repeat(64), 'pid 5') })
  t.strictSame(readHello(buffer, at, end), { token: 'f'.repeat(64), label: 'pid 5' })
  for (let i = 0; i < 5; i++) {
    const broken = Buffer.from(buffer)
    broken[at + i]!++
    t.equal(readHello(broken, at, end), undefined)
  }
})

t.test('a truncated or malformed request is rejected or read as another request', async t => {
  const request = Object.assign(new Request('set', 'c', 'key'), REQUESTS[3])
  const { buffer, at, end } = frame(target => { writeRequest(target, request, 1, 1) })
  for (let cut = at + 10; cut < end - 2; cut++) {
    t.throws(() => readRequest(buffer, at, cut, 'c', false), { code: 'STORE_PROTOCOL' }, `cut at ${cut - at}`)
  }
  let refused = 0
  for (let i = at; i < end; i++) {
    for (const change of [1, 0x55, 0xff]) {
      const broken = Buffer.from(buffer)
      broken[i]! ^= change
      try {
        readRequest(broken, at, end, 'c', false)
      } catch (error) {
        refused++
        if ((error as { code?: string }).code !== 'STORE_PROTOCOL') throw error
      }
    }
  }
  t.ok(refused > 10)
  for (const value of [NaN, Infinity, -Infinity]) {
    const { buffer, at, end } = frame(target => {
      writeRequest(target, Object.assign(new Request('set', 'c', 'key'), { ttl: value }), 1, 1)
    })
    t.throws(() => readRequest(buffer, at, end, 'c', false), { code: 'STORE_PROTOCOL' })
  }
})
