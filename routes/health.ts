// How the store is doing, for machines that watch it.
import { readFile } from 'node:fs/promises'
import { Type } from '@sinclair/typebox'
import type { Admin } from './admin.js'
import { FAILURES, Health, Stats } from './schemas.js'

const tags = ['health']
/** Seconds within which a healthy store answers. */
const PROMPT = 2

export function healthRoutes ({ app, store }: Admin): void {
  app.get('/health', {
    config: { open: true },
    schema: {
      operationId: 'readHealth',
      summary: 'Tell whether the store answers',
      description: 'Needs no token.',
      tags,
      security: [],
      response: { 200: Health, ...FAILURES }
    }
  }, async (_, reply) => {
    await store.collection('').lockInfo('', { timeout: PROMPT })
    reply.header('cache-control', 'no-store')
    return { status: 'ok' as const }
  })

  app.get('/stats', {
    schema: { operationId: 'readStats', summary: 'Show the store as a whole', tags, response: { 200: Stats, ...FAILURES } }
  }, async () => await store.stats())

  app.get('/openapi.yaml', {
    schema: {
      operationId: 'readOpenapi',
      summary: 'This description',
      tags,
      produces: ['application/yaml'],
      response: { 200: { description: 'OpenAPI 3.1', content: { 'application/yaml': { schema: Type.String({ maxLength: 1_000_000 }) } } }, ...FAILURES }
    }
  }, async (_, reply) => {
    reply.type('application/yaml')
    return await readFile(new URL('../../openapi.yaml', import.meta.url), 'utf8')
  })
}
