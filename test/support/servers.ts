// Cluster workers that serve HTTP, each on a port of its own. The test is the primary.
import cluster from 'node:cluster'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { Agent, request } from 'undici'

/** Enough to show what workers share. Each takes a second of CPU to start. */
export const WORKERS = 2

export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: any
}

export interface Servers {
  /** Sends a request to the worker whose turn it is. A JSON body is parsed. */
  get (path: string, headers?: Record<string, string>): Promise<Answer>
  /** Sends many requests at once, the same number to each worker. */
  burst (path: string, count: number): Promise<Answer[]>
  /** The output of the workers; empty unless there were errors. */
  output (): string
}

/** Starts WORKERS of a compiled fixture that serve `what`. They are killed at the end of the test. */
export async function servers (t: Test, fixture: string, what: object): Promise<Servers> {
  const single = new Agent({ pipelining: 0 }) // a connection for each request
  const pool = new Agent({ connections: 64 })
  t.teardown(() => Promise.all([single.destroy(), pool.destroy()]))
  const exec = fileURLToPath(new URL(`../fixtures/${fixture}.js`, import.meta.url))
  cluster.setupPrimary({ exec, execArgv: [], silent: true })
  let output = ''
  const ports = await Promise.all(Array.from({ length: WORKERS }, async () => {
    const worker = cluster.fork({ SERVE: JSON.stringify(what), NODE_OPTIONS: '' })
    for (const stream of [worker.process.stdout!, worker.process.stderr!]) {
      stream.on('data', chunk => {
        output += String(chunk)
      })
    }
    t.teardown(async () => {
      if (worker.isDead()) return
      worker.process.kill('SIGKILL')
      await once(worker, 'exit')
    })
    const failed = once(worker, 'exit').then(() => { throw new Error(`the worker has exited: ${output}`) })
    failed.catch(() => {})
    // The stores of the workers send messages, too.
    const listening = new Promise<number>(resolve => {
      worker.on('message', message => { if (typeof message === 'number') resolve(message) })
    })
    const port = await Promise.race([listening, failed])
    return port
  }))
  let turn = 0
  const ask = async (dispatcher: Agent, path: string, headers: Record<string, string>): Promise<Answer> => {
    const url = `http://127.0.0.1:${ports[turn++ % WORKERS]}${path}`
    const { statusCode, headers: answered, body } = await request(url, { dispatcher, headers })
    const text = await body.text()
    const isJson = String(answered['content-type']).startsWith('application/json')
    return { status: statusCode, headers: answered, body: isJson ? JSON.parse(text) : text }
  }
  return {
    get: (path, headers = {}) => ask(single, path, headers),
    burst: (path, count) => Promise.all(Array.from({ length: count }, () => ask(pool, path, {}))),
    output: () => output
  }
}

/** The cookies of a response, as sent with the next request. */
export function cookieOf ({ headers }: Answer): string {
  return [headers['set-cookie'] ?? []].flat().map(cookie => cookie.split(';')[0]!).join('; ')
}
