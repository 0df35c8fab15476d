// This project, with each of its engines.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fastify from 'fastify'
import strongStore, { createStore } from '../../src/index.js'
import { serveRedis } from './redis.js'
import { cpuOf, ownCpu, type Client, type Rival } from './rival.js'

/** Creates a folder that is removed when this process exits. */
export function temporaryFolder (): string {
  const folder = mkdtempSync(join(tmpdir(), 'bench-'))
  process.on('exit', () => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

const TOKEN = 't'.repeat(32)

function client (url: string, token?: string): Client {
  const store = createStore({ url, token })
  const collection = store.collection('bench')
  return {
    get: key => collection.get(key),
    set: (key, value) => collection.set(key, value),
    lock: async key => {
      const lock = await collection.acquire(key)
      return () => lock.release()
    },
    watch: (prefix, changed) => new Promise<void>((resolve, reject) => {
      const follow = async (): Promise<void> => {
        let isReady = false
        for await (const { type } of collection.watch({ prefix })) {
          if (isReady) changed()
          else if (type === 'ready') resolve()
          isReady ||= type === 'ready'
        }
      }
      follow().catch(reject)
    }),
    publish: (channel, message) => store.channel(channel).publish(message),
    subscribe: async (channel, received) => {
      const subscription = store.channel(channel).subscribe()
      await subscription.ready
      const follow = async (): Promise<void> => { for (;;) { await subscription.next(); received() } }
      follow().catch(error => { throw error })
    }
  }
}

export const clusterStore: Rival = {
  async serve () {
    createStore('cluster:')
    return { address: '', cpu: ownCpu }
  },
  client: async () => client('cluster:')
}

/** The same with near caches. */
export const nearStore: Rival = {
  async serve () {
    await createStore('cluster:').collection('bench').configure({ near: 0.05 })
    return { address: '', cpu: ownCpu }
  },
  client: async () => client('cluster:')
}

/** The first one with `data`. */
export const dataStore: Rival = {
  async serve () {
    const store = createStore({ url: 'cluster:', data: temporaryFolder() })
    await store.ping()
    return { address: '', cpu: ownCpu }
  },
  client: async () => client('cluster:')
}

/** A store in a process of its own. */
export const unixStore: Rival = {
  async serve () {
    const path = join(temporaryFolder(), 'socket')
    const child = spawn(
      process.execPath, [fileURLToPath(new URL('../../src/cli/bin.js', import.meta.url)), 'serve', '--socket', path],
      { stdio: 'ignore' }
    )
    process.on('exit', () => { child.kill('SIGKILL') })
    await createStore(`unix:${path}`).ping()
    return { address: path, cpu: () => cpuOf(child.pid!) }
  },
  client: async path => client(`unix:${path}`)
}

/** The engine for Redis. */
export const redisStore: Rival = {
  serve: () => serveRedis(),
  client: async path => client(`redis://${path}`)
}

/** Without calls between processes: each worker has its own keyspace. */
export const memoryStore: Rival = {
  serve: async () => ({ address: '', cpu: undefined }),
  client: async () => client('memory:')
}

/** The engine for http:, with the admin API served by the process that has the keys. */
export const httpStore: Rival = {
  async serve () {
    const app = fastify()
    await app.register(strongStore, { admin: { prefix: '/_store/v1', token: TOKEN } })
    return { address: `${await app.listen({ port: 0, host: '127.0.0.1' })}/_store/v1`, cpu: ownCpu }
  },
  client: async url => client(url, TOKEN)
}
