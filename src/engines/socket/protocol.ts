// The layout of the frames between client and server. All numbers are little-endian.
//
//   hello, the first frame:   size u32 | 'SSTR' | version u8 | token, 64 characters | label of the client
//   request, to the server:   size u32 | op u8 | slot u8 | key length u16 | id u32 | fields u32 | key | fields | text
//   reply, to the client:     size u32 | kind u8 | fields u8 | 0 u16 | id u32 | fields | text
//
// `size` is the number of bytes after it. `op` is an index in OPS or a control frame: NAME assigns `slot` to the
// collection named by the key, CANCEL ends the wait of call `id`, GONE says that copy `id` is not kept any more,
// and in `slot` how often it was read, MAX_HITS at most.
// Fields are in the order of their bits; `text` is the rest of the frame. Requests with id 0 get no reply. Strings are
// UTF-8: the client converts them, the server passes the bytes through (see value.ts).
import { OPS, Reply, Request, type Op } from '../../core/engine.js'
import { StoreError, isErrorCode } from '../../core/errors.js'
import { copyBytes, isBuffer, type Bytes } from '../../core/value.js'
import { LARGE, bytes, inside, readShort, readText, textRoom, utf8, writeShort, writeText } from './charset.js'

/**
 * Must be equal on both sides. Raise it whenever a frame or `Engine` changes: copies of this package with the same
 * version share one engine per process.
 */
export const PROTOCOL_VERSION = 8

/** Maximum frame size. The value limit must leave room for a key and the fields. */
export const MAX_FRAME = 64 * 2 ** 20

export const GONE = 253
export const NAME = 254
export const CANCEL = 255

/**
 * Kinds of reply. MORE is like OK, but further replies to the same call follow. Three are sent without a request: LOST
 * with the token of a lock that has ended, MAX_VALUE with the maximum value size, after the hello and on every change,
 * and REVOKE with the id of a copy, which GONE acknowledges.
 */
export const OK = 0
export const ERROR = 1
export const LOST = 2
export const MAX_VALUE = 3
export const MORE = 4
export const REVOKE = 5

/** Number of collections that a connection can name at a time. */
export const SLOTS = 256

export const MAX_HITS = 255

export const MAGIC = 'SSTR'
const HELLO_HEAD = 5
const TOKEN_LENGTH = 64
const REQUEST_HEAD = 16
const REPLY_HEAD = 12
const OP_CODE = Object.fromEntries(OPS.map((op, code) => [op, code])) as Record<Op, number>

// Fields of a request.
const TEXT = 1
const TTL = 2
const IF_VERSION = 4
const NUMBER = 8
const CURSOR = 16
const LEASE = 32
const TOKEN = 64
const OWNER = 128
const IF_ABSENT = 256
const RELEASE = 512
const DETACHED = 1024
const NOWAIT = 2048
const LIMIT = 4096
const BACKOFF = 8192
const DOWN = 16384
const DURABLE = 32768
const IF_PRESENT = 65536
const STREAM = 131072

// Fields of a reply. TEXT, NUMBER and TOKEN have the same bits as above.
const VERSION = 2
const EXPIRES_IN = 4
const FENCE = 16
const NEAR = 32

/** Output of frames: `reserve` makes room in `buffer` from `used` on, `commit` marks bytes as written. */
export interface Target {
  readonly buffer: Buffer
  readonly used: number
  reserve (size: number): void
  commit (size: number): void
}

/** `append` takes bytes that do not change, so it need not copy them. */
export interface ReplyTarget extends Target {
  append (bytes: Buffer): void
}

export function writeHello (target: Target, token: string, label: string): void {
  const content = MAGIC + String.fromCharCode(PROTOCOL_VERSION) + token + label
  target.reserve(4 + content.length)
  target.buffer.writeUInt32LE(content.length, target.used)
  bytes.write(target.buffer, content, target.used + 4)
  target.commit(4 + content.length)
}

/** The token and label of a hello frame; undefined if it is not a hello of this version. */
export function readHello (buffer: Buffer, at: number, end: number): { token: string, label: string } | undefined {
  const content = bytes.read(buffer, at, end)
  if (!content.startsWith(MAGIC + String.fromCharCode(PROTOCOL_VERSION))) return undefined
  const token = content.slice(HELLO_HEAD, HELLO_HEAD + TOKEN_LENGTH)
  return { token, label: content.slice(HELLO_HEAD + TOKEN_LENGTH) }
}

/** Writes NAME, with id 0, or CANCEL or GONE, without a key. `slot`: for GONE, the number of hits. */
export function writeControl (
  target: Target, code: typeof NAME | typeof CANCEL | typeof GONE, slot: number, id: number, key: string
): void {
  target.reserve(REQUEST_HEAD + utf8.room(key))
  const end = writeHead(target, code, slot, 0, id, key)
  target.buffer.writeUInt32LE(end - target.used - 4, target.used)
  target.commit(end - target.used)
}

/** `room`: for the text. */
export function writeRequest (
  target: Target, request: Request, slot: number, id: number,
  room = request.text === undefined ? 0 : textRoom(request.text)
): void {
  const { text, token, owner } = request
  const fields = (text === undefined ? 0 : TEXT) | (request.ttl === undefined ? 0 : TTL) |
    (request.ifVersion === undefined ? 0 : IF_VERSION) | (request.number === undefined ? 0 : NUMBER) |
    (request.cursor === undefined ? 0 : CURSOR) | (request.lease === undefined ? 0 : LEASE) |
    (token === undefined ? 0 : TOKEN) | (owner === undefined ? 0 : OWNER) |
    (request.ifAbsent ? IF_ABSENT : 0) | (request.release ? RELEASE : 0) |
    (request.detached ? DETACHED : 0) | (request.nowait ? NOWAIT : 0) |
    (request.limit === undefined ? 0 : LIMIT) | (request.backoff ? BACKOFF : 0) | (request.down ? DOWN : 0) |
    (request.durable ? DURABLE : 0) | (request.ifPresent ? IF_PRESENT : 0) | (request.stream ? STREAM : 0)
  target.reserve(REQUEST_HEAD + utf8.room(request.key) + 5 * 8 +
    (request.cursor === undefined ? 0 : 2 + utf8.room(request.cursor)) +
    (token === undefined ? 0 : 2 + utf8.room(token)) + (owner === undefined ? 0 : 2 + utf8.room(owner)) +
    room)
  const { buffer, used } = target
  let at = writeHead(target, OP_CODE[request.op], slot, fields, id, request.key)
  if (request.ttl !== undefined) at = buffer.writeDoubleLE(request.ttl, at)
  if (request.ifVersion !== undefined) at = buffer.writeDoubleLE(request.ifVersion, at)
  if (request.number !== undefined) at = buffer.writeDoubleLE(request.number, at)
  if (request.cursor !== undefined) at = writeShort(buffer, request.cursor, at, utf8)
  if (request.lease !== undefined) at = buffer.writeDoubleLE(request.lease, at)
  if (token !== undefined) at = writeShort(buffer, token, at, utf8)
  if (owner !== undefined) at = writeShort(buffer, owner, at, utf8)
  if (request.limit !== undefined) at = buffer.writeDoubleLE(request.limit, at)
  if (text !== undefined) {
    const end = writeText(buffer, text, at, room)
    if (end === undefined) return writeRequest(target, request, slot, id, Buffer.byteLength(text))
    at = end
  }
  buffer.writeUInt32LE(at - used - 4, used)
  target.commit(at - used)
}

// Frames are read from `at`, after the size field, to `end`.

export function codeOf (buffer: Buffer, at: number): number {
  return buffer[at]!
}

export function slotOf (buffer: Buffer, at: number): number {
  return buffer[at + 1]!
}

export function idOf (buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at + 4)
}

export function keyOf (buffer: Buffer, at: number, end: number): string {
  const from = at + REQUEST_HEAD - 4
  return bytes.read(buffer, from, inside(from + buffer.readUInt16LE(at + 2), end))
}

/** `isOwned`: `buffer` has nothing but this frame, and belongs to the request if its text is a Buffer. */
export function readRequest (
  buffer: Buffer, at: number, end: number, collection: string, isOwned: boolean
): Request<Bytes> {
  const op = OPS[codeOf(buffer, at)]
  if (op === undefined) throw new StoreError('STORE_PROTOCOL', `unknown operation ${codeOf(buffer, at)}`)
  const fields = buffer.readUInt32LE(at + 8)
  const key = keyOf(buffer, at, end)
  const request = new Request<Bytes>(op, collection, key)
  at += REQUEST_HEAD - 4 + key.length
  if (fields !== 0) {
    if ((fields & TTL) !== 0) request.ttl = readNumber(buffer, (at += 8) - 8, end)
    if ((fields & IF_VERSION) !== 0) request.ifVersion = readNumber(buffer, (at += 8) - 8, end)
    if ((fields & NUMBER) !== 0) request.number = readNumber(buffer, (at += 8) - 8, end)
    if ((fields & CURSOR) !== 0) at += 2 + (request.cursor = readShort(buffer, at, end, bytes)).length
    if ((fields & LEASE) !== 0) request.lease = readNumber(buffer, (at += 8) - 8, end)
    if ((fields & TOKEN) !== 0) at += 2 + (request.token = readShort(buffer, at, end, bytes)).length
    if ((fields & OWNER) !== 0) at += 2 + (request.owner = readShort(buffer, at, end, bytes)).length
    if ((fields & LIMIT) !== 0) request.limit = readNumber(buffer, (at += 8) - 8, end)
    if ((fields & TEXT) !== 0) request.text = readText(buffer, at, end, isOwned)
    request.ifAbsent = (fields & IF_ABSENT) !== 0
    request.ifPresent = (fields & IF_PRESENT) !== 0
    request.release = (fields & RELEASE) !== 0
    request.detached = (fields & DETACHED) !== 0
    request.nowait = (fields & NOWAIT) !== 0
    request.backoff = (fields & BACKOFF) !== 0
    request.down = (fields & DOWN) !== 0
    request.durable = (fields & DURABLE) !== 0
    request.stream = (fields & STREAM) !== 0
  }
  return request
}

export function writeReply (target: ReplyTarget, reply: Reply<Bytes>, id: number): void {
  const { text, token } = reply
  const fields = (text === undefined ? 0 : TEXT) | (reply.version === undefined ? 0 : VERSION) |
    (reply.expiresIn === undefined ? 0 : EXPIRES_IN) | (reply.number === undefined ? 0 : NUMBER) |
    (reply.fence === undefined ? 0 : FENCE) | (reply.near === undefined ? 0 : NEAR) | (token === undefined ? 0 : TOKEN)
  const isAppended = text !== undefined && isBuffer(text) && text.length >= LARGE
  const copied = text === undefined || isAppended ? 0 : text.length
  target.reserve(REPLY_HEAD + 5 * 8 + 2 + (token?.length ?? 0) + copied)
  const { buffer, used } = target
  const kind = reply.more ? MORE : OK
  let at = used + REPLY_HEAD
  if (reply.version !== undefined) at = buffer.writeDoubleLE(reply.version, at)
  if (reply.expiresIn !== undefined) at = buffer.writeDoubleLE(reply.expiresIn, at)
  if (reply.number !== undefined) at = buffer.writeDoubleLE(reply.number, at)
  if (reply.fence !== undefined) at = buffer.writeDoubleLE(reply.fence, at)
  if (reply.near !== undefined) at = buffer.writeDoubleLE(reply.near, at)
  if (token !== undefined) at = writeShort(buffer, token, at, bytes)
  if (text === undefined) {
    writeReplyHead(target, kind, fields, id, at)
  } else if (isAppended) {
    writeReplyHead(target, kind, fields, id, at, text.length)
    target.append(text)
  } else {
    writeReplyHead(target, kind, fields, id, copyBytes(text, buffer, at))
  }
}

/** Writes ERROR with a code as text, LOST with a token, MAX_VALUE with a decimal number, or REVOKE without text. */
export function writeNotice (
  target: Target, kind: typeof ERROR | typeof LOST | typeof MAX_VALUE | typeof REVOKE, text: string, id: number
): void {
  target.reserve(REPLY_HEAD + text.length)
  const at = target.used + REPLY_HEAD
  writeReplyHead(target, kind, TEXT, id, at + bytes.write(target.buffer, text, at))
}

/** `more`: the number of bytes that are appended after `end`. */
function writeReplyHead (target: Target, kind: number, fields: number, id: number, end: number, more = 0): void {
  const { buffer, used } = target
  buffer.writeUInt32LE(end - used - 4 + more, used)
  buffer[used + 4] = kind
  buffer[used + 5] = fields
  buffer[used + 6] = buffer[used + 7] = 0
  buffer.writeUInt32LE(id, used + 8)
  target.commit(end - used)
}

export function readReply (buffer: Buffer, at: number, end: number): Reply {
  const fields = buffer[at + 1]!
  const kind = codeOf(buffer, at)
  if (kind === ERROR) {
    const code = utf8.read(buffer, at + REPLY_HEAD - 4, end)
    return new Reply(isErrorCode(code) ? code : 'STORE_PROTOCOL')
  }
  at += REPLY_HEAD - 4
  const reply = new Reply()
  reply.more = kind === MORE
  if ((fields & VERSION) !== 0) reply.version = readNumber(buffer, (at += 8) - 8, end)
  if ((fields & EXPIRES_IN) !== 0) reply.expiresIn = readNumber(buffer, (at += 8) - 8, end)
  if ((fields & NUMBER) !== 0) reply.number = readNumber(buffer, (at += 8) - 8, end)
  if ((fields & FENCE) !== 0) reply.fence = readNumber(buffer, (at += 8) - 8, end)
  if ((fields & NEAR) !== 0) reply.near = readNumber(buffer, (at += 8) - 8, end)
  if ((fields & TOKEN) !== 0) at += 2 + (reply.token = readShort(buffer, at, end, bytes)).length
  if ((fields & TEXT) !== 0) reply.text = utf8.read(buffer, at, end)
  return reply
}

/** The text of a LOST or MAX_VALUE frame. */
export function readNotice (buffer: Buffer, at: number, end: number): string {
  return bytes.read(buffer, at + REPLY_HEAD - 4, end)
}

function writeHead (
  { buffer, used }: Target, code: number, slot: number, fields: number, id: number, key: string
): number {
  buffer[used + 4] = code
  buffer[used + 5] = slot
  buffer.writeUInt32LE(id, used + 8)
  buffer.writeUInt32LE(fields, used + 12)
  const length = utf8.write(buffer, key, used + REQUEST_HEAD)
  buffer.writeUInt16LE(length, used + 6)
  return used + REQUEST_HEAD + length
}

function readNumber (buffer: Buffer, at: number, end: number): number {
  inside(at + 8, end)
  const number = buffer.readDoubleLE(at)
  if (!Number.isFinite(number)) throw new StoreError('STORE_PROTOCOL', 'not a finite number')
  return number
}
