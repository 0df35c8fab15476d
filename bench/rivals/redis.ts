// Redis over a Unix socket, with its two common clients, and redlock on top of one of them.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cpuOf, load, type Rival, type Served } from './rival.js'

interface Commands {
  get (key: string): Promise<string | null>
  set (key: string, value: string): Promise<unknown>
}

interface Ioredis extends Commands {
  info (section: string): Promise<string>
  config (command: 'SET', name: string, value: string): Promise<unknown>
  publish (channel: string, message: string): Promise<number>
  subscribe (channel: string): Promise<unknown>
  psubscribe (pattern: string): Promise<unknown>
  on (event: 'message' | 'pmessage', listener: (...args: string[]) => void): unknown
}

export interface IoredisModule {
  Redis: new (options: object) => Ioredis
}

export interface NodeRedisModule {
  createClient (options: object): Commands & { connect (): Promise<unknown> }
}

type Redlock = new (clients: unknown[], options: object) => {
  lock (resource: string, ttl: number): Promise<{ unlock (): Promise<void> }>
}

const MEMORY_ONLY = ['--save', '', '--appendonly', 'no']
const EVERY_SECOND = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec']

/** Starts a server that exits with this process, by default without persistence. Its address is a socket path. */
export async function serveRedis (options = MEMORY_ONLY): Promise<Served & { pid: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-redis-'))
  const address = join(folder, 'socket')
  const server = spawn('redis-server', ['--port', '0', '--unixsocket', address, ...options, '--dir', folder], {
    stdio: 'ignore'
  })
  let isMissing = false
  server.on('error', () => { isMissing = true })
  process.on('exit', () => {
    server.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  while (!await answers(address)) {
    if (isMissing) throw new Error('missing: redis-server (apt-get install redis-server)')
    if (server.exitCode !== null) throw new Error('redis-server has exited')
    await sleep(10)
  }
  return { address, cpu: () => cpuOf(server.pid!), pid: server.pid! }
}

/** With default settings: one write per command. */
export const ioredis: Rival = {
  serve: () => serveRedis(),
  async client (path) {
    const { Redis } = load<IoredisModule>('ioredis')
    const client = new Redis({ path })
    return {
      ...parsed(client),
      watch: async (prefix, changed) => { // receives the name of the key, without its value
        await client.config('SET', 'notify-keyspace-events', 'K$')
        const subscriber = new Redis({ path })
        subscriber.on('pmessage', changed)
        await subscriber.psubscribe(`__keyspace@0__:${prefix}*`)
      },
      publish: (channel, message) => client.publish(channel, JSON.stringify(message)),
      subscribe: async (channel, received) => {
        const subscriber = new Redis({ path })
        subscriber.on('message', (_, text) => {
          JSON.parse(text!)
          received()
        })
        await subscriber.subscribe(channel)
      }
    }
  }
}

/** With an append-only file, synced every second. */
export const ioredisAppending: Rival = { ...ioredis, serve: () => serveRedis(EVERY_SECOND) }

/** With the option that pipelines commands automatically. */
export const ioredisPipelined: Rival = {
  serve: () => serveRedis(),
  async client (path) {
    const { Redis } = load<IoredisModule>('ioredis')
    return parsed(new Redis({ path, enableAutoPipelining: true }))
  }
}

export const nodeRedis: Rival = {
  serve: () => serveRedis(),
  async client (path) {
    const client = load<NodeRedisModule>('redis').createClient({ socket: { path } }) // pipelines by default
    await client.connect()
    return parsed(client)
  }
}

/** With client-side caching: Redis invalidates cached keys, but changes do not wait for that. */
export const nodeRedisCached: Rival = {
  serve: () => serveRedis(),
  async client (path) {
    const { createClient } = load<NodeRedisModule>('redis')
    const client = createClient({ socket: { path }, RESP: 3, clientSideCache: { ttl: 0, maxEntries: 0 } })
    await client.connect()
    return parsed(client)
  }
}

export const redlock: Rival = {
  serve: () => serveRedis(),
  async client (path) {
    const { Redis } = load<IoredisModule>('ioredis')
    const client = new Redis({ path })
    // With its default delay of 200 ms between attempts, the bench would measure sleeping. A shorter one gains nothing.
    const redlock = new (load<Redlock>('redlock'))([client], { retryCount: -1, retryDelay: 5, retryJitter: 5 })
    return {
      ...parsed(client),
      lock: async key => {
        const lock = await redlock.lock(key, 10_000)
        return () => lock.unlock()
      }
    }
  }
}

interface Parsed {
  get (key: string): Promise<unknown>
  set (key: string, value: unknown): Promise<unknown>
}

/** Operations with objects as values, as applications use them. */
function parsed (client: Commands): Commands & Parsed {
  return {
    get: async key => {
      const text = await client.get(key)
      return text === null ? undefined : JSON.parse(text)
    },
    set: (key, value) => client.set(key, JSON.stringify(value))
  }
}

function answers (path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path)
    socket.on('connect', () => { socket.destroy(); resolve(true) })
    socket.on('error', () => { resolve(false) })
  })
}
