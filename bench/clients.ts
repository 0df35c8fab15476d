// What is measured: each rival as a client with the same few calls, and what its primary has to do first.
import { connect, createServer, type Socket } from 'node:net'
import { createRequire } from 'node:module'
import { rmSync } from 'node:fs'
import { createStore } from '../src/index.js'

export interface Client {
  get (key: string): Promise<unknown>
  set (key: string, value: unknown): Promise<unknown>
  close (): Promise<void>
}

export interface Rival {
  /** In the primary, before workers are forked; gives what `client` needs to know. */
  serve (value: unknown): Promise<string>
  /** In each worker. */
  client (address: string): Promise<Client>
}

interface OriginalCollection {
  get (key: string, callback: (error: Error | null, value: unknown) => void): void
  set (key: string, value: unknown, callback: (error: Error | null) => void): void
}

const require = createRequire(import.meta.url)

export const rivals: Record<string, Rival> = {
  'strong-store': {
    async serve () {
      createStore()
      return ''
    },
    async client () {
      const store = createStore()
      const collection = store.collection('bench')
      return {
        get: key => collection.get(key),
        set: (key, value) => collection.set(key, value),
        close: () => store.close()
      }
    }
  },

  'strong-store-cluster': {
    async serve () {
      require('strong-store-cluster')
      return ''
    },
    async client () {
      const collection = (require('strong-store-cluster') as { collection (name: string): OriginalCollection }).collection('bench')
      return {
        get: key => new Promise((resolve, reject) => {
          collection.get(key, (error, value) => { if (error === null) resolve(value); else reject(error) })
        }),
        set: (key, value) => new Promise<void>((resolve, reject) => {
          collection.set(key, value, error => { if (error == null) resolve(); else reject(error) })
        }),
        close: async () => {}
      }
    }
  },

  // The limit: the same bytes there and back over the same kind of socket, batched the same way, and nothing done with them.
  echo: {
    async serve (value) {
      const path = `/tmp/strong-store-bench-${process.pid}`
      const reply = Buffer.alloc(REPLY_HEAD + Buffer.byteLength(JSON.stringify(value)))
      const server = createServer(socket => { answer(socket, reply) })
      await new Promise<void>(resolve => { server.listen(path, resolve) })
      process.on('exit', () => { rmSync(path, { force: true }) })
      server.unref()
      return JSON.stringify({ path, size: reply.length })
    },
    async client (address) {
      const { path, size } = JSON.parse(address) as { path: string, size: number }
      const socket = connect(path)
      await new Promise(resolve => { socket.once('connect', resolve) })
      const call = caller(socket, size)
      return { get: call, set: call, close: async () => { socket.end() } }
    }
  }
}

// A frame of strong-store: 14 bytes of head and a key of 8 there, 12 bytes of head and the value back.
const REQUEST = 22
const REPLY_HEAD = 12

function answer (socket: Socket, reply: Buffer): void {
  let rest = 0
  const out = Buffer.alloc(reply.length * 4096)
  socket.on('error', () => {})
  socket.on('data', chunk => {
    const bytes = rest + chunk.length
    const calls = Math.floor(bytes / REQUEST)
    rest = bytes % REQUEST
    for (let i = 0; i < calls; i++) reply.copy(out, i * reply.length)
    socket.write(Buffer.from(out.subarray(0, calls * reply.length)))
  })
}

function caller (socket: Socket, size: number): () => Promise<void> {
  const waiting: Array<() => void> = []
  const request = Buffer.alloc(REQUEST * 1024)
  let first = 0
  let rest = 0
  let gathered = 0
  socket.on('data', chunk => {
    rest += chunk.length
    for (; rest >= size; rest -= size) waiting[first++]!()
    if (first > 4096) {
      waiting.splice(0, first)
      first = 0
    }
  })
  return () => new Promise(resolve => {
    waiting.push(resolve)
    if (gathered++ > 0) return
    process.nextTick(() => {
      socket.write(request.subarray(0, gathered * REQUEST))
      gathered = 0
    })
  })
}
