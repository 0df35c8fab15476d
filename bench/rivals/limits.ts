// Upper bounds: sends the bytes of calls and replies over the same kind of socket, without processing them.
import { connect, createServer, type Socket } from 'node:net'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ownCpu, type Client, type Load, type Rival, type Served } from './rival.js'

// The frames of strong-store: headers of 16 and 12 bytes, a key of 8 bytes, and 8 bytes of version in replies to sets.
const REQUEST_HEAD = 24
const REPLY_HEAD = 12
const VERSION = 8

interface Sizes { request: number, reply: number }

function sizesOf ({ bytes, operation }: Load): Sizes {
  return operation === 'set'
    ? { request: REQUEST_HEAD + bytes, reply: REPLY_HEAD + VERSION }
    : { request: REQUEST_HEAD, reply: REPLY_HEAD + bytes }
}

/** One call at a time: each takes a write and a read on both sides. */
export const pingPong: Rival = {
  serve: load => serve(load, (socket, { request, reply }) => {
    const content = Buffer.alloc(reply)
    receive(socket, request, () => { socket.write(content) })
  }),
  async client (address) {
    const { path, request, reply } = JSON.parse(address) as Sizes & { path: string }
    const socket = await open(path)
    const content = Buffer.alloc(request)
    let settle = (): void => {}
    receive(socket, reply, () => { settle() })
    const call = (): Promise<void> => new Promise(resolve => {
      settle = resolve
      socket.write(content)
    })
    return { get: call, set: call }
  }
}

/** The primary forwards each message to the other workers. */
export const relay: Rival = {
  async serve (load) {
    const sockets = new Set<Socket>()
    return await serve(load, (socket, { request }) => {
      sockets.add(socket)
      const content = Buffer.alloc(request)
      receive(socket, request, () => { for (const other of sockets) if (other !== socket) other.write(content) })
    })
  },
  async client (address) {
    const { path, request } = JSON.parse(address) as Sizes & { path: string }
    const socket = await open(path)
    const content = Buffer.alloc(request)
    const publish = async (): Promise<void> => { socket.write(content) }
    return {
      get: publish,
      set: publish,
      publish,
      subscribe: async (_channel, received) => { receive(socket, request, received) }
    }
  }
}

/** Many calls at a time: pending frames are combined into one write, as strong-store does. */
export const batchedEcho: Rival = {
  serve: load => serve(load, (socket, { request, reply }) => {
    const content = Buffer.alloc(reply)
    receive(socket, request, calls => {
      const out = Buffer.allocUnsafe(calls * reply)
      for (let i = 0; i < calls; i++) content.copy(out, i * reply)
      socket.write(out)
    })
  }),
  client: address => batchedClient(address, process.nextTick)
}

/** `defer` decides for how long calls are gathered. */
export async function batchedClient (address: string, defer: (flush: () => void) => void): Promise<Client> {
  const { path, request, reply } = JSON.parse(address) as Sizes & { path: string }
  const socket = await open(path)
  const content = Buffer.alloc(request)
  let waiting: Array<() => void> = []
  let gathered = 0
  receive(socket, reply, calls => {
    const settled = waiting.slice(0, calls)
    waiting = waiting.slice(calls)
    for (const settle of settled) settle()
  })
  const flush = (): void => {
    const out = Buffer.allocUnsafe(gathered * request)
    for (let i = 0; i < gathered; i++) content.copy(out, i * request)
    gathered = 0
    socket.write(out)
  }
  const call = (): Promise<void> => new Promise(resolve => {
    waiting.push(resolve)
    if (gathered++ === 0) defer(flush)
  })
  return { get: call, set: call }
}

async function serve (load: Load, answer: (socket: Socket, sizes: Sizes) => void): Promise<Served> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-echo-'))
  const path = join(folder, 'socket')
  const sizes = sizesOf(load)
  const server = createServer(socket => {
    socket.on('error', () => {}) // workers are killed when they are done
    answer(socket, sizes)
  })
  await new Promise<void>(resolve => { server.listen(path, resolve) })
  process.on('exit', () => { rmSync(folder, { recursive: true, force: true }) })
  return { address: JSON.stringify({ path, ...sizes }), cpu: ownCpu }
}

async function open (path: string): Promise<Socket> {
  const socket = connect(path)
  await new Promise(resolve => { socket.once('connect', resolve) })
  return socket
}

/** Calls `received` with the number of complete messages of `size` bytes that have arrived. */
function receive (socket: Socket, size: number, received: (messages: number) => void): void {
  let rest = 0
  socket.on('data', chunk => {
    rest += chunk.length
    const messages = Math.floor(rest / size)
    rest %= size
    if (messages > 0) received(messages)
  })
}

/** No store: what the JSON of the values costs any store that sets them. */
export const jsonAlone: Rival = {
  serve: async () => ({ address: '', cpu: undefined }),
  client: async () => {
    const texts = new Map<string, string>()
    return {
      get: async key => JSON.parse(texts.get(key)!) as unknown,
      set: async (key, value) => { texts.set(key, JSON.stringify(value)) }
    }
  }
}
