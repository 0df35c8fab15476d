// The admin API over HTTP/2, where a rejected request ends its stream instead of its connection.
import { connect, constants, type ClientHttp2Session, type OutgoingHttpHeaders } from 'node:http2'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import strongStore from '../../src/index.js'
import { TOKEN } from '../support/admin.js'

const KEY = '/_store/v1/collections/c/keys/k'
const CHUNK = Buffer.alloc(65_536, 'x')

interface Answer { status: number | undefined, json: any }

async function serve (t: Test): Promise<{ session: ClientHttp2Session, close: () => Promise<void> }> {
  const app = Fastify({ http2: true })
  await app.register(strongStore, { url: 'memory:', admin: { token: TOKEN } })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  session.on('error', t.threw)
  return {
    session,
    close: async () => {
      session.close()
      await app.close()
    }
  }
}

/** Sends as much of a body as the server accepts, and resolves when the response has ended. */
async function ask (session: ClientHttp2Session, headers: OutgoingHttpHeaders, chunks: number): Promise<Answer> {
  const stream = session.request(
    { authorization: `Bearer ${TOKEN}`, ...chunks === 0 ? {} : { 'content-type': 'application/json' }, ...headers },
    { endStream: chunks === 0 }
  )
  let status: number | undefined
  let text = ''
  stream.on('response', headers => { status = headers[':status'] })
  stream.setEncoding('utf8').on('data', data => { text += String(data) })
  let sent = 0
  const send = (): void => {
    while (sent < chunks) {
      sent++
      if (sent === chunks) stream.end(CHUNK)
      else if (!stream.write(CHUNK)) return
    }
  }
  stream.on('drain', send)
  send()
  await new Promise<void>((resolve, reject) => { stream.on('end', resolve).on('error', reject) })
  return { status, json: text === '' ? undefined : JSON.parse(text) }
}

t.test('a rejected body ends its stream, and the server can close', async t => {
  const { session, close } = await serve(t)
  const put = { ':method': 'PUT', ':path': KEY }
  t.equal((await ask(session, put, 1)).status, 400, 'not JSON')
  for (const [headers, status, code] of [
    [put, 413, 'STORE_VALUE_TOO_LARGE'],
    [{ ...put, 'content-length': 64 * CHUNK.length }, 413, 'STORE_VALUE_TOO_LARGE'],
    [{ ...put, authorization: 'Bearer wrong' }, 401, 'ADMIN_TOKEN_WRONG'],
    [{ ...put, 'content-encoding': 'gzip' }, 415, 'ADMIN_UNSUPPORTED_MEDIA_TYPE'],
    [{ ...put, ':method': 'POST' }, 405, 'ADMIN_METHOD_NOT_ALLOWED'],
    [{ ...put, ':path': `${KEY}?ttl=x` }, 413, 'STORE_VALUE_TOO_LARGE'],
    [{ ...put, ':method': 'POST', ':path': '/_store/v1/calls' }, 413, 'STORE_VALUE_TOO_LARGE']
  ] as const) {
    t.match(await ask(session, headers, 64), { status, json: { code } }, `${status} ${headers[':path']}`)
  }
  t.equal((await ask(session, { ':method': 'GET', ':path': KEY }, 0)).status, 404)
  t.equal(session.destroyed, false, 'the connection stays open')
  await close()
})

t.test('a rejected body without an end is reset', async t => {
  const { session, close } = await serve(t)
  const stream = session.request({ ':method': 'PUT', ':path': KEY, authorization: 'Bearer wrong' })
  let status: number | undefined
  let sent = 0
  const send = (): void => { while (!stream.closed && stream.write(CHUNK, () => { sent += CHUNK.length })); }
  stream.on('response', headers => { status = headers[':status'] })
  stream.on('error', () => {}).on('drain', send).resume()
  const closed = new Promise(resolve => { stream.once('close', resolve) })
  send()
  await closed
  t.equal(status, 401)
  t.equal(stream.rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  t.ok(sent >= 15 * 2 ** 20, 'not before a large part was sent')
  t.equal((await ask(session, { ':method': 'GET', ':path': KEY }, 0)).status, 404, 'the connection stays open')
  await close()
})

t.test('a reset stream cancels its wait', async t => {
  const { session, close } = await serve(t)
  const lock = { ':method': 'POST', ':path': '/_store/v1/collections/c/locks/k' }
  const grant = await ask(session, lock, 0)
  t.equal(grant.status, 201)
  const waiting = session.request({ ...lock, authorization: `Bearer ${TOKEN}`, prefer: 'wait=60' }, { endStream: true })
  const waiters = async (): Promise<number> => (
    await ask(session, { ':path': lock[':path'] }, 0)
  ).json.waiters as number
  while (await waiters() === 0);
  waiting.close(constants.NGHTTP2_CANCEL)
  while (await waiters() === 1);
  t.equal(
    (await ask(session, { ':method': 'DELETE', ':path': lock[':path'], 'lock-token': grant.json.token }, 0)).status, 204
  )
  t.equal((await ask(session, { ':path': lock[':path'] }, 0)).status, 404)
  await close()
})
