// Health, statistics, and the OpenAPI document.
import { Type } from '@sinclair/typebox'
import { StoreError } from '../src/core/errors.js'
import type { Admin } from './app.js'
import type { RouteConfig } from './auth.js'
import { FAILURES, Health, counts, name, whole } from './schemas.js'
import { statsFor } from './scope.js'

const tags = ['health']
/** The route must answer within two seconds, so a slower store counts as unreachable. */
const HEALTH_TIMEOUT_SECONDS = 1.5

export const Stats = Type.Object({
  collections: whole('Collections'),
  ...counts,
  maxValueBytes: whole('Maximum bytes of a value'),
  ...Type.Partial(Type.Object({
    processes: whole('Processes that share the store'),
    connections: Type.Array(Type.Object({
      name: name('Its process id, with the host where that may be another'),
      locks: whole('Locks that end with it'),
      waiting: whole('Its calls that wait for a locked key'),
      backlog: whole('Bytes of replies that it has not read yet')
    }), { maxItems: 250, description: 'The first 250 of these processes' }),
    memory: Type.Object(
      { rss: whole('All of it'), heap: whole("JavaScript's heap") },
      { description: 'Bytes of memory of the process of the store' }
    ),
    uptime: Type.Number({ description: 'Uptime of the process of the store, in seconds' }),
    calls: Type.Record(Type.String(), whole('How many'), { description: 'Calls on single keys, by operation' }),
    refused: Type.Record(Type.String(), Type.Record(Type.String(), whole('How many')), {
      description: 'Failed calls, by operation and code'
    }),
    waits: Type.Array(whole('How many'), {
      maxItems: 9, description: 'Calls that waited up to 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60 seconds, and longer'
    }),
    waited: Type.Number({ description: 'Total seconds that calls waited' }),
    near: Type.Object({
      hits: whole('Reads answered from copies'),
      copies: whole('Copies there are now'),
      revocations: whole('Copies that were revoked'),
      waits: whole('Changes that waited for revocations'),
      waited: Type.Number({ description: 'Total seconds that they waited' })
    }, { description: 'Near caches' }),
    loopDelay: Type.Object(
      { mean: Type.Number(), p99: Type.Number(), max: Type.Number() },
      { description: 'Event loop delay of the process of the store in the last full minute, in milliseconds' }
    )
  })).properties
})

export function healthRoutes (admin: Admin): void {
  readHealth(admin)
  readStats(admin)
  readOpenapi(admin)
}

function readHealth ({ app, store }: Admin): void {
  /** The pending ping. Requests need no token, so they share it rather than pile up calls to a stalled store. */
  let asked: Promise<void> | undefined
  const ask = async (): Promise<void> => {
    try {
      await store.ping({ timeout: HEALTH_TIMEOUT_SECONDS })
    } catch (error) {
      if ((error as StoreError).code !== 'STORE_TIMEOUT') throw error
      throw new StoreError('STORE_UNREACHABLE', `no reply within ${HEALTH_TIMEOUT_SECONDS} s`)
    } finally {
      asked = undefined
    }
  }
  app.get('/health', {
    config: { open: true } satisfies RouteConfig,
    schema: {
      operationId: 'readHealth',
      summary: 'Check whether the store replies',
      description: 'Needs no token.',
      tags,
      security: [],
      response: { 200: Health, ...FAILURES }
    }
  }, async (_, reply) => {
    await (asked ??= ask())
    reply.header('cache-control', 'no-store')
    return { status: 'ok' as const }
  })
}

function readStats ({ app, store }: Admin): void {
  app.get('/stats', {
    config: { isScoped: true } satisfies RouteConfig,
    schema: {
      operationId: 'readStats',
      summary: 'Show the store as a whole',
      description: 'A scoped token gets the sums of its collections.',
      tags,
      response: { 200: Stats, ...FAILURES }
    }
  }, async request => await statsFor(request, store))
}

function readOpenapi ({ app, describe }: Admin): void {
  app.get('/openapi.yaml', {
    config: { isScoped: true } satisfies RouteConfig,
    schema: {
      operationId: 'readOpenapi',
      summary: 'Show this document',
      tags,
      produces: ['application/yaml'],
      response: {
        200: {
          description: 'OpenAPI 3.1', content: { 'application/yaml': { schema: Type.String({ maxLength: 1_000_000 }) } }
        },
        ...FAILURES
      }
    }
  }, async (request, reply) => {
    reply.type('application/yaml')
    return describe(request.originalUrl.split('?', 1)[0]!.replace(/\/openapi\.yaml\/?$/, ''))
  })
}
