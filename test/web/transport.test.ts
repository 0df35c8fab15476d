// discardBody, which handles the rest of a request that was answered before it was read.
import { once } from 'node:events'
import { createServer as createHttp1Server, type ServerResponse } from 'node:http'
import { connect, constants, createServer, type ClientHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { discardBody } from '../../src/web/transport.js'

const { NGHTTP2_NO_ERROR, NGHTTP2_ENHANCE_YOUR_CALM } = constants
const CHUNK = Buffer.alloc(16_384)
const NEVER = 2 ** 31 - 1

/** Sends a request to a server that rejects it immediately, and then discards its body within these limits. */
async function refused (t: Test, limits: { bytes: number, milliseconds: number }): Promise<ClientHttp2Stream> {
  const server = createServer((_request, response) => {
    t.equal(discardBody(response as unknown as ServerResponse, limits), true)
    response.writeHead(413).end('too large')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.teardown(() => {
    session.destroy()
    server.close()
  })
  const stream = session.request({ ':method': 'PUT' })
  stream.on('error', () => {}).resume() // a reset emits 'error'
  const [headers] = await once(stream, 'response')
  t.equal(headers[':status'], 413)
  return stream
}

/** The error code that the stream is closed with. */
async function closed (stream: ClientHttp2Stream): Promise<number> {
  if (!stream.destroyed) await new Promise(resolve => { stream.once('close', resolve) })
  return stream.rstCode
}

t.test('a body within the limits is read to the end', async t => {
  const stream = await refused(t, { bytes: 4 * CHUNK.length, milliseconds: NEVER })
  for (let i = 0; i < 4; i++) stream.write(CHUNK)
  stream.end()
  t.equal(await closed(stream), NGHTTP2_NO_ERROR)
})

t.test('a stream that sends too many bytes is reset', async t => {
  const stream = await refused(t, { bytes: 4 * CHUNK.length, milliseconds: NEVER })
  for (let i = 0; i < 5; i++) stream.write(CHUNK)
  t.equal(await closed(stream), NGHTTP2_ENHANCE_YOUR_CALM)
})

t.test('a stream that takes too long is reset', async t => {
  const stream = await refused(t, { bytes: Infinity, milliseconds: 1 })
  t.equal(await closed(stream), NGHTTP2_ENHANCE_YOUR_CALM)
})

t.test('nothing is discarded over HTTP/1.1', async t => {
  const server = createHttp1Server((_request, response) => {
    response.end(String(discardBody(response)))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.equal(await response.text(), 'false')
})
