// Real Redis servers, each started for one test on its own socket.
import { fork, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import type { StoreOptions } from '../../src/index.js'
import type { Owner } from '../faults/attack.js'
import { freePort } from './ports.js'
import { until } from './until.js'

export const hasRedis = spawnSync('redis-server', ['--version']).status === 0
/** The reason why tests that need it are skipped. */
export const NO_REDIS = 'is left out: it needs the command redis-server (apt-get install redis-server)'

/** The error code of a call, or its result. */
export function outcome (call: Promise<unknown>): Promise<string> {
  return call.then(value => `gave ${String(value)}`, (error: { code: string }) => error.code)
}

export interface TestServer {
  readonly options: StoreOptions & { url: string }
  readonly path: string
  /** A plain client of the server. */
  readonly redis: Redis
  /** Kills the server, and resolves when it has exited. */
  kill (): Promise<void>
  start (): Promise<void>
  signal (signal: NodeJS.Signals): void
}

/** Starts a redis-server with optional arguments. It is killed at the end of the test. */
export async function startServer (t: Pick<Owner, 'teardown'>, args: string[] = []): Promise<TestServer> {
  const folder = mkdtempSync(join(tmpdir(), 'ss-redis-'))
  const path = join(folder, 's')
  const redis = new Redis({ path, lazyConnect: true, retryStrategy: () => 5, maxRetriesPerRequest: null })
  redis.on('error', () => {}) // while the server is down
  let child: ChildProcess | undefined
  const server: TestServer = {
    path,
    options: { url: `redis://${path}` },
    redis,
    async start () {
      child = spawn(
        'redis-server',
        ['--port', '0', '--unixsocket', path, '--save', '', '--appendonly', 'no', '--dir', folder, ...args],
        { stdio: 'ignore' }
      )
      await until(() => redis.ping())
    },
    async kill () {
      if (child === undefined) return
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
      child = undefined
    },
    signal: signal => { child!.kill(signal) }
  }
  t.teardown(async () => {
    redis.disconnect()
    await server.kill()
    rmSync(folder, { recursive: true })
  })
  await server.start()
  return server
}

/** A user of the server without permission for functions. */
export async function withoutFunctions ({ path, redis }: TestServer): Promise<StoreOptions & { url: string }> {
  await redis.call('ACL', 'SETUSER', 'scripts', 'on', '>password', '~*', '&*', '+@all', '-function', '-fcall')
  return { url: 'redis:', redis: { client: { path, username: 'scripts', password: 'password' } } }
}

/** Starts a Valkey from npm packages. It is stopped at the end of the test. */
export async function startValkey (t: Test): Promise<StoreOptions> {
  const port = await freePort()
  const child = fork(
    fileURLToPath(new URL('../fixtures/valkey.js', import.meta.url)), [String(port)],
    { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }
  )
  t.teardown(() => { child.kill() })
  await once(child, 'message')
  return { url: `redis://127.0.0.1:${port}` }
}

/** How scripts reach a server, which depends on the permissions of the user. */
export type Mode = 'functions' | 'scripts'

/** The ACL rules that the store needs, as in docs/redis.md. */
export function rulesOf (mode: Mode): string[] {
  const guide = readFileSync(new URL('../../../docs/redis.md', import.meta.url), 'utf8')
  const [, rules] = /^ *ACL SETUSER \S+ on >\S+ ([^`]+?)\n *```/m.exec(guide)!
  const all = rules!.replaceAll('\\\n', ' ').split(/\s+/)
  if (mode === 'functions') return all
  const [, instead] = /functions, scripts do: `([^`]+)` in place/.exec(guide)!
  return [...all.filter(rule => !/^\+(fcall|function)/.test(rule)), ...instead!.split(' ')]
}

/** A server whose user has only the permissions listed in docs/redis.md. */
export async function limitedServer (t: Pick<Owner, 'teardown'>, mode: Mode): Promise<TestServer> {
  const server = await startServer(t)
  await server.redis.call('ACL', 'SETUSER', 'limited', 'on', '>secret', ...rulesOf(mode))
  return { ...server, options: { url: 'redis://limited:secret@localhost', redis: { client: { path: server.path } } } }
}

/** Data of another application. */
export async function fill (redis: Redis): Promise<void> {
  const pipeline = redis.pipeline()
  for (let i = 0; i < 20_000; i++) pipeline.set(`theirs:{c:${i}}`, 'x')
  for (let i = 0; i < 10; i++) pipeline.set(`theirs large ${i}`, 'x'.repeat(2 ** 22))
  await pipeline.exec()
}
