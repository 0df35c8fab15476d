// Gets in the process that has very many keys: of few keys, which stay in the processor's caches, and of all of them in
// random order. Each value is written to an output buffer.
import { Request, type Reply } from '../../src/core/engine.js'
import type { Bytes } from '../../src/core/value.js'
import { dispatch } from '../../src/engines/memory/dispatch.js'
import { Keyspace } from '../../src/engines/memory/keyspace.js'
import { Caller } from '../../src/engines/memory/lock.js'
import { bytes } from '../../src/engines/socket/charset.js'
import { writeReply, type ReplyTarget } from '../../src/engines/socket/protocol.js'
import { KEY_BYTES, flat, keyAt, value } from '../sample.js'
import { finish } from '../workers.js'

export interface ColdOptions {
  store: 'strong-store' | 'Map'
  keys: number
  hotKeys: number
}

const { store, keys, hotKeys } = JSON.parse(process.argv[2]!) as ColdOptions
const GETS = 500_000
const TURNS = 7

class Output implements ReplyTarget {
  readonly buffer = Buffer.allocUnsafeSlow(65_536)
  used = 0
  reserve (size: number): void { if (this.used + size > this.buffer.length) this.used = 0 }
  commit (size: number): void { this.used += size }
  append (): void {}
}

const output = new Output()

class User extends Caller {
  readonly label = 'user'
  answer (id: number, reply: Reply<Bytes>): void { writeReply(output, reply, id) }
  lost (): void {}
}

interface Stored {
  set (key: string, text: string): void
  /** Reads a key into the output. */
  get (key: string): void
}

function keyspace (): Stored {
  const keyspace = new Keyspace()
  const user = new User()
  return {
    set: (key, text) => { dispatch(keyspace, Object.assign(new Request<Bytes>('set', 'c', key), { text }), user, 1) },
    get: key => { dispatch(keyspace, new Request<Bytes>('get', 'c', key), user, 1) }
  }
}

function map (): Stored {
  const map = new Map<string, string>()
  return {
    set: (key, text) => { map.set(key, text) },
    get: key => {
      const text = map.get(key)!
      output.reserve(text.length)
      output.commit(bytes.write(output.buffer, text, output.used))
    }
  }
}

const stored = store === 'Map' ? map() : keyspace()
for (let i = 0; i < keys; i++) stored.set(flat(keyAt(i)), flat(JSON.stringify(value)))
// In the order in which they are read: the keys themselves are always in the caches, like those of a received frame.
const random = Buffer.from(shuffled(Array.from({ length: keys }, (_, i) => keyAt(i))).join(''))
run(keys)
run(hotKeys)
const times = Array.from({ length: TURNS }, () => ({ hot: run(hotKeys), cold: run(keys) }))
await finish({ hot: median(times.map(({ hot }) => hot)), cold: median(times.map(({ cold }) => cold)) })

/** Microseconds of a get of one of the first `count` keys in random order. */
function run (count: number): number {
  const start = process.hrtime.bigint()
  for (let i = 0; i < GETS; i++) {
    const at = i % count * KEY_BYTES
    stored.get(bytes.read(random, at, at + KEY_BYTES))
  }
  return Number(process.hrtime.bigint() - start) / GETS / 1000
}

function shuffled (keys: string[]): string[] {
  for (let i = keys.length - 1; i > 0; i--) {
    const other = Math.floor(Math.random() * (i + 1))
    ;[keys[i], keys[other]] = [keys[other]!, keys[i]!]
  }
  return keys
}

function median (figures: number[]): number {
  return figures.sort((a, b) => a - b)[figures.length >> 1]!
}
