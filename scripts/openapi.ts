// npm run openapi: writes openapi.yaml from the schemas of the routes. A test compares the two.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import swagger from '@fastify/swagger'
import { adminApp } from '../routes/index.js'
import { createStore } from '../src/index.js'

const root = new URL('../../', import.meta.url)
export const file = fileURLToPath(new URL('openapi.yaml', root))

/** The text that openapi.yaml should have. */
export async function describe (): Promise<string> {
  const { version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { version: string }
  const store = createStore('memory:')
  const app = adminApp(store, { token: 'x' }, app => {
    app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'strong-store admin API',
          version,
          summary: 'Keys, values and locks that all processes of a server share',
          description: 'Times are in seconds. Errors are problem documents (RFC 9457) with a stable `code`.',
          license: { name: 'MIT', identifier: 'MIT' } as { name: string }
        },
        servers: [{ url: '/_store/v1', description: 'Where it is mounted if nothing else is said, in production as locally', 'x-internal': true } as { url: string }],
        security: [{ token: [] }],
        tags: [
          { name: 'keys', description: 'Single keys and their values' },
          { name: 'collections', description: 'Collections of keys' },
          { name: 'locks', description: 'Exclusive use of a key, first come, first served' },
          { name: 'health', description: 'How the store is doing' }
        ],
        components: { securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'The token that the API was mounted with' } } }
      },
      refResolver: { buildLocalReference: ({ $id }, _, __, i) => typeof $id === 'string' ? $id : `def-${i}` },
      transform: ({ schema, url }) => ({ schema: named(schema as Described), url: url.replace('*', ':key') })
    })
  })
  await app.ready()
  const text = app.swagger({ yaml: true })
  await app.close()
  await store.close()
  return text
}

interface Described {
  params?: { properties: Record<string, unknown>, required: string[] }
}

/** The parameter of a wildcard has no name in a route. */
function named (schema: Described): Described {
  if (schema?.params?.properties['*'] === undefined) return schema
  const { '*': key, ...properties } = schema.params.properties
  return { ...schema, params: { ...schema.params, properties: { ...properties, key }, required: ['collection', 'key'] } }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(file, await describe())
