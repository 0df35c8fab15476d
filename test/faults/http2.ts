// Attack: requests over HTTP/2 that lock and change a key are canceled, and their connections destroyed, at any step.
// Locks must exclude, a change must be made once if its request was answered, else at most once, and no lock may stay.
import assert from 'node:assert/strict'
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import { createConnection, type AddressInfo, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { setImmediate as tick, setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import strongStore from '../../src/index.js'
import { until } from '../support/until.js'
import { random, type Attack } from './attack.js'

const KEYS = ['a', 'b', 'c']
const AT_ONCE = 30

export const http2: Attack = async ({ seed, rounds, secondsLeft, owner }) => {
  const next = random(seed)
  const upTo = (most: number): number => Math.floor(next() * (most + 1))
  const app = Fastify({ http2: true })
  owner.teardown(() => app.close())
  await app.register(strongStore, { url: 'memory:' })
  const inside = new Set<string>()
  const errors: unknown[] = []
  app.setErrorHandler(async (error, _request, reply) => {
    if ((error as { code?: string }).code !== 'STORE_ABORTED') errors.push(error)
    return await reply.code(500).send()
  })
  app.post('/add/:key', async (request, reply) => {
    const { key } = request.params as { key: string }
    const lock = await request.store.collection<number>('counts').acquire(key)
    if (inside.has(key)) errors.push(new Error(`two requests hold the lock of ${key}`))
    inside.add(key)
    try {
      for (let i = upTo(5); i > 0; i--) await (next() < 0.2 ? delay(upTo(3)) : tick())
      lock.set((lock.get() ?? 0) + 1)
    } finally {
      inside.delete(key)
    }
    if (next() < 0.3) return await reply.send(Readable.from(['x'.repeat(upTo(100_000)), 'y']))
    return 'done'
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo

  let socket: Socket
  const open = (): ClientHttp2Session => {
    socket = createConnection(port, '127.0.0.1')
    return connect(`http://127.0.0.1:${port}`, { createConnection: () => socket }).on('error', () => {})
  }
  let session = open()
  const answered = new Map(KEYS.map(key => [key, 0]))
  const cancelled = new Map(KEYS.map(key => [key, 0]))
  const figures = { requests: 0, answered: 0, cancelled: 0, 'connections destroyed': 0 }

  const ask = async (): Promise<void> => {
    if (session.destroyed) session = open()
    const key = KEYS[upTo(KEYS.length - 1)]!
    const stream = session.request({ ':method': 'POST', ':path': `/add/${key}` })
    let status: unknown
    stream.on('response', headers => { status = headers[':status'] }).on('error', () => {}).resume()
    const isWhole = new Promise<boolean>(resolve => {
      stream
        .once('end', () => {
          resolve(stream.rstCode === constants.NGHTTP2_NO_ERROR)
        })
        .once('close', () => {
          resolve(false)
        })
    })
    if (next() < 0.4) await cancel(stream)
    const counts = await isWhole && status === 200 ? answered : cancelled
    counts.set(key, counts.get(key)! + 1)
    figures[counts === answered ? 'answered' : 'cancelled']++
  }
  const cancel = async (stream: ClientHttp2Stream): Promise<void> => {
    for (let i = upTo(8); i > 0; i--) await (next() < 0.2 ? delay(upTo(3)) : tick())
    if (next() < 0.1) {
      figures['connections destroyed']++
      socket.resetAndDestroy() // `session.destroy()` can crash Node.js 20 in its native part
    } else stream.close(constants.NGHTTP2_CANCEL)
  }

  while (figures.requests < rounds && secondsLeft() > 0) {
    figures.requests += AT_ONCE
    await Promise.all(Array.from({ length: AT_ONCE }, ask))
  }
  await until(async () => (await app.store.locks()).length === 0, 30)
  assert.deepEqual(errors, [])
  for (const key of KEYS) {
    const [least, more] = [answered.get(key)!, cancelled.get(key)!]
    const value = await app.store.collection<number>('counts').get(key) ?? 0
    assert.ok(
      least <= value && value <= least + more, `${key} is ${value} after ${least} answered and ${more} unanswered requests`
    )
  }
  session.destroy()
  await app.close()
  return figures
}
