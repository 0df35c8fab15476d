// Large values are overwritten while others still read them: their memory is reused, but never too early.
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { Request } from '../../../src/core/engine.js'
import { Keyspace } from '../../../src/engines/memory/keyspace.js'
import { NAME, writeControl, writeHello, writeRequest, type Target } from '../../../src/engines/socket/protocol.js'
import { SocketServer } from '../../../src/engines/socket/server.js'
import { createStore } from '../../../src/index.js'
import { random } from '../../faults/attack.js'
import { directory, serve } from '../../support/serve.js'
import { until } from '../../support/until.js'

const LETTERS = 'abcdefghijklmnopqrstuvwxyz'

t.test('a slow reader gets values unchanged that were overwritten and deleted after its calls', async t => {
  const keyspace = new Keyspace()
  const server = new SocketServer(keyspace)
  const { path, token } = await server.address()
  t.teardown(() => { server.close() })
  const peer = (): Target & { send: () => void, received: Buffer[], pause: () => void, resume: () => void } => {
    const socket = connect(path)
    t.teardown(() => { socket.destroy() })
    const received: Buffer[] = []
    socket.on('data', bytes => { received.push(bytes) })
    const peer = {
      buffer: Buffer.alloc(2 ** 21),
      used: 0,
      received,
      reserve () {},
      commit (size: number) { peer.used += size },
      send () {
        socket.write(Buffer.from(peer.buffer.subarray(0, peer.used)))
        peer.used = 0
      },
      pause () { socket.pause() },
      resume () { socket.resume() }
    }
    writeHello(peer, token, '')
    writeControl(peer, NAME, 0, 0, 'c')
    return peer
  }
  const reader = peer()
  const writer = peer()
  const { calls } = keyspace.counters
  const write = async (fill: string, size: number): Promise<void> => {
    writeRequest(writer, Object.assign(new Request('set', 'c', 'key'), { text: fill.repeat(size) }), 0, 0)
    writer.send()
    const { set } = calls
    await until(() => calls.set > set)
  }
  for (const size of [10_000, 40_000, 64 * 1024, 2 ** 20]) {
    const gets = Math.ceil(3e6 / size) // more than the kernel buffers
    await write('A', size)
    reader.pause()
    const { get } = calls
    const before = reader.received.reduce((sum, { length }) => sum + length, 0)
    for (let i = 0; i < gets; i++) writeRequest(reader, new Request('get', 'c', 'key'), 0, 1)
    reader.send()
    await until(() => calls.get === get + gets)
    for (const letter of LETTERS) await write(letter, size)
    writeRequest(writer, new Request('del', 'c', 'key'), 0, 0)
    for (const letter of LETTERS) await write(letter, size)
    reader.resume()
    const received = (): number => reader.received.reduce((sum, { length }) => sum + length, 0) - before
    await until(() => received() >= gets * size)
    const letters = new Map<number, number>()
    for (const byte of Buffer.concat(reader.received).subarray(before)) {
      if (byte >= 65) letters.set(byte, (letters.get(byte) ?? 0) + 1)
    }
    t.ok(letters.get(65)! >= gets * size, `${gets} values of ${size} bytes arrive`)
    t.notOk([...LETTERS].some(letter => letters.has(letter.charCodeAt(0))), 'without bytes of later ones')
  }
})

t.test('whoever reads a large value, by any call, gets it as it was written', async t => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
  t.comment(`SEED=${seed}`)
  const next = random(seed)
  const below = (limit: number): number => Math.floor(next() * limit)
  const folder = directory(t)
  const start = async (): ReturnType<typeof serve> => {
    return await serve(t, ['--socket', join(folder, 'socket'), '--data', join(folder, 'data'), '--flush', '0.05'])
  }
  const first = await start()
  const store = createStore(first.url)
  t.teardown(() => store.close().catch(() => {}))
  const values = store.collection<string>('values')
  let read = 0
  const check = (value: string | undefined): void => {
    if (value === undefined) return
    read++
    if (value !== value[0]!.repeat(value.length)) throw new Error(`bytes of another value in one of ${value.length}`)
  }
  const key = (): string => `k${below(4)}`
  const over = new AbortController()
  const loop = async (turn: () => Promise<unknown>): Promise<void> => { while (!over.signal.aborted) await turn() }
  const follow = async (): Promise<void> => {
    for await (const event of values.watch({ prefix: 'k', signal: over.signal })) {
      if (event.type === 'set') check(event.value)
    }
  }
  const dump = async (): Promise<void> => {
    let text = ''
    for await (const chunk of store.export()) text += chunk
    for (const line of text.split('\n').filter(Boolean)) check((JSON.parse(line) as { value?: string }).value)
  }
  const hold = async (): Promise<void> => {
    const lock = await values.acquire(key())
    check(lock.get())
    await lock.release()
  }
  const readers = [
    follow(), loop(dump), loop(hold),
    loop(async () => { check((await values.entry(key()))?.value) }),
    loop(async () => { (await Promise.all(Array.from({ length: 8 }, () => values.get(key())))).forEach(check) })
  ]
  for (let round = 0; round < 40; round++) {
    await Promise.all(Array.from({ length: 1 + below(6) }, async () => {
      const name = key()
      const size = [8000, 33_000, 65_000, 70_000, 300_000, 1_000_000][below(6)]! + below(2000)
      const value = LETTERS[below(26)]!.repeat(size)
      await values.set(name, value)
      if (below(5) === 0) await values.del(name)
    }))
  }
  over.abort()
  await Promise.all(readers)
  t.ok(read > 40, `${read} values were read`)
  const stored = async (): Promise<Map<string, string>> => {
    const names = ['k0', 'k1', 'k2', 'k3']
    const found = await values.getMany(names)
    return new Map(names.flatMap((name, i) => found[i] === undefined ? [] : [[name, found[i]]]))
  }
  const before = await stored()
  for (const value of before.values()) check(value)
  first.kill()
  await first.exited
  await start()
  const after = await stored()
  t.ok([...after].every(([name, value]) => before.get(name) === value) && after.size === before.size, 'also from disk')
})
