// A Fastify server with the admin API of a store on a free loopback port, and a client that sends paths unchanged.
import type { IncomingHttpHeaders } from 'node:http'
import Fastify, { type FastifyServerOptions } from 'fastify'
import { Pool } from 'undici'
import strongStore, { type Store, type StrongStoreOptions } from '../../src/index.js'
import type { Owner } from '../faults/attack.js'

export const TOKEN = 'a-token-for-tests'
export const READ_TOKEN = 'a-token-for-tests-that-read'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
  json: any
}

export interface AskOptions {
  headers?: Record<string, string>
  body?: string | Buffer | AsyncIterable<Buffer>
  json?: unknown
  signal?: AbortSignal
}

export interface Ask {
  (method: string, path: string, options?: AskOptions): Promise<Answer>
}

export interface Server {
  origin: string
  port: number
  /** Sends a request below the prefix, with the token. */
  ask: Ask
  /** Ends all connections. */
  drop: () => void
  /** Closes the app, which otherwise happens at the end of the test. */
  close: () => Promise<void>
}

export async function serveAdmin (
  t: Pick<Owner, 'teardown'>, store: Store, admin: StrongStoreOptions['admin'] = {}, options: FastifyServerOptions = {}
): Promise<Server> {
  const app = Fastify({ forceCloseConnections: true, ...options })
  await app.register(strongStore, { store, admin: { token: TOKEN, readToken: READ_TOKEN, ...admin } })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const { ask, close } = client(origin, '/_store/v1')
  t.teardown(async () => {
    await close()
    await app.close()
  })
  return {
    origin,
    port: Number(new URL(origin).port),
    ask,
    drop: () => { app.server.closeAllConnections() },
    close: () => app.close()
  }
}

export function client (origin: string, prefix: string): { ask: Ask, close: () => Promise<void> } {
  const pool = new Pool(origin)
  return {
    ask: async (method, path, { headers = {}, body, json, signal } = {}) => {
      const answer = await pool.request({
        method: method as 'GET',
        path: prefix + path,
        headers: {
          authorization: `Bearer ${TOKEN}`,
          ...json === undefined && body === undefined ? {} : { 'content-type': 'application/json' },
          ...headers
        },
        body: json === undefined ? body as string ?? null : JSON.stringify(json),
        ...signal === undefined ? {} : { signal }
      })
      const text = await answer.body.text()
      return {
        status: answer.statusCode,
        headers: answer.headers,
        text,
        json:
          /[/+]json/.test(answer.headers['content-type']?.toString() ?? '') && text !== ''
            ? (JSON.parse(text) as unknown)
            : undefined
      }
    },
    close: () => pool.destroy()
  }
}
