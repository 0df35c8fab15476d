// A whole store, or a collection, out and in: the lines of src/api/export-lines.ts, streamed.
import { Readable, pipeline } from 'node:stream'
import { createGzip } from 'node:zlib'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { StoreError } from '../src/core/errors.js'
import type { Store } from '../src/api/store.js'
import type { Admin } from './app.js'
import { identityOf, type RouteConfig } from './auth.js'
import { BODY, CollectionParams, FAILURES, LOCKED, WaitHeaders, strict, whole } from './schemas.js'

const NDJSON = 'application/x-ndjson'
const tags = ['transfer']

const LINES = {
  description: 'A line for each collection with options, `{collection, options}`, then a line for each of its keys, ' +
    '`{collection, key, version, expiresAt, value}`',
  headers: {
    Vary: { type: 'string', maxLength: 32, description: 'Accept-Encoding' },
    'Content-Encoding': { type: 'string', maxLength: 4, description: 'gzip, if the request accepts that' }
  },
  content: { [NDJSON]: { schema: Type.String({ maxLength: 2 ** 31 - 1, description: 'Lines of JSON' }) } }
}
const ImportQuery = Type.Object({
  mode: Type.Optional(Type.Union([Type.Literal('merge'), Type.Literal('replace'), Type.Literal('absent')], {
    description: 'merge: overwrites keys, the default. replace: clears each collection in the body before its first ' +
      'line. absent: only keys without a value'
  }))
}, strict)

const Imported = Type.Object({
  keys: whole('Keys that were written'),
  skipped: whole('Keys that were not: past their end, or there already with mode=absent')
})

export function transferRoutes (admin: Admin): void {
  exportStore(admin)
  exportCollection(admin)
  importStore(admin)
}

function exportStore ({ app, store }: Admin): void {
  app.get('/export', {
    exposeHeadRoute: false,
    config: { isScoped: true } satisfies RouteConfig,
    schema: {
      operationId: 'exportStore',
      summary: 'Export all keys and options',
      description: 'Only those of the collections that the token covers. Each key is sent with its state at the time ' +
        'of reading, which does not count as a use. If the store fails during the export, the connection is closed.',
      tags,
      response: { 200: LINES, ...FAILURES }
    }
  }, async (request, reply) => await send(store, request, reply, identityOf(request).collections))
}

function exportCollection ({ app, store }: Admin): void {
  app.get('/collections/:collection/export', {
    exposeHeadRoute: false,
    schema: {
      operationId: 'exportCollection',
      summary: 'Export the keys and options of a collection',
      description: 'As for the whole store.',
      tags,
      params: CollectionParams,
      response: { 200: LINES, ...FAILURES }
    }
  }, async (request, reply) => await send(store, request, reply, [request.params.collection]))
}

/** Waits for the first lines, so that an error can still be answered with a status. */
async function send (
  store: Store, { headers }: FastifyRequest, reply: FastifyReply, collections: Iterable<string> | undefined
): Promise<Readable> {
  const lines = store.export({ collections })
  const { value: first = '' } = await lines.next()
  const body = Readable.from(following(first as string, lines), { objectMode: false })
  reply.type(NDJSON).headers({ 'cache-control': 'no-store', vary: 'Accept-Encoding' })
  if (!/\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/i.test(headers['accept-encoding'] ?? '')) return body
  reply.header('content-encoding', 'gzip')
  return pipeline(body, createGzip(), () => {}) // either end destroys the other
}

async function * following (first: string, lines: AsyncGenerator<string>): AsyncGenerator<string> {
  yield first
  yield * lines
}

/** In a context of its own, because its body is not parsed. */
function importStore ({ app, store, waiting }: Admin): void {
  app.register(async scoped => {
    const app = scoped.withTypeProvider<TypeBoxTypeProvider>()
    app.removeAllContentTypeParsers()
    app.addContentTypeParser(NDJSON, async (_: FastifyRequest, body: Readable) => body)
    app.post('/import', {
      schema: {
        operationId: 'importStore',
        summary: 'Import an export',
        description: 'The body is read as fast as the store writes it, and may have any size. Keys whose `expiresAt` ' +
          'is over are skipped. Ends at the first line that fails; lines before it have been written, some that ' +
          'follow it may have been. A token with collections of its own cannot import.',
        tags,
        consumes: [NDJSON],
        headers: WaitHeaders,
        querystring: ImportQuery,
        body: Type.Unknown({
          description: 'Lines as of an export. Values are stored byte for byte'
        }),
        response: { 200: Imported, ...FAILURES, ...LOCKED, ...BODY }
      }
    }, async (request, reply) => {
      if (request.body === undefined || request.body === null) {
        throw new StoreError('STORE_VALUE_INVALID', 'the body is missing')
      }
      const timeout = waiting.seconds(request, reply) ?? 0
      try {
        return await store.import(request.body as Readable, { mode: request.query.mode, timeout })
      } catch (error) {
        if (error instanceof StoreError || !request.raw.destroyed) throw error
        throw new StoreError('STORE_ABORTED', 'the client has disconnected')
      }
    })
  })
}
