// npm run openapi: writes openapi.yaml from the schemas of the routes. A test compares the two.
import { readFileSync, writeFileSync } from 'node:fs'
import { STATUS_CODES } from 'node:http'
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
          { name: 'calls', description: 'What a store of another process speaks' },
          { name: 'locks', description: 'Exclusive use of a key, first come, first served' },
          { name: 'health', description: 'How the store is doing' }
        ],
        components: {
          headers: HEADERS,
          responses: {},
          securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'The token that the API was mounted with' } }
        }
      },
      refResolver: { buildLocalReference: ({ $id }, _, __, i) => typeof $id === 'string' ? $id : `def-${i}` },
      transform: ({ schema, url }) => ({ schema: named(schema as Described), url: url.replace('*', ':key') }),
      transformObject: document => withHeaders((document as unknown as { openapiObject: Document }).openapiObject) as object
    })
  })
  await app.ready()
  const text = app.swagger({ yaml: true })
  await app.close()
  await store.close()
  return text
}

const whole = (): object => ({ type: 'integer', format: 'int64', minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const text = (): object => ({ type: 'string', maxLength: 256 })

/** What the app that the API is mounted in may add to any answer. */
const OF_THE_APP = {
  'X-RateLimit-Limit': { description: 'Requests that may come in a window of time. Only where the app limits them; the API itself limits wrong tokens alone', schema: whole() },
  'X-RateLimit-Remaining': { description: 'Those that are left in this window. Only where the app limits them', schema: whole() },
  'Access-Control-Allow-Origin': { description: 'Only where the app lets pages of other origins in; the API itself does not', schema: text() }
}

/** Headers of answers that do not depend on the route. */
const HEADERS = {
  ...OF_THE_APP,
  'Retry-After': { description: 'Seconds after which to try again', schema: whole() },
  'WWW-Authenticate': { description: 'How to authenticate', schema: text() }
}

interface Response {
  headers?: Record<string, object>
  content?: object
}

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, Response | { $ref: string }> }>>
  components: { responses: Record<string, Response> }
}

/** Says of each answer which headers it may have, and of failures, which are the same for all routes, once. */
function withHeaders (document: Document): Document {
  for (const { responses } of Object.values(document.paths).flatMap(path => Object.values(path))) {
    for (const [status, response] of Object.entries(responses) as Array<[string, Response]>) {
      const names = Object.keys(OF_THE_APP)
      if (status === '401') names.push('WWW-Authenticate')
      if (status === '423' || status === '429') names.push('Retry-After')
      response.headers = { ...response.headers, ...Object.fromEntries(names.map(name => [name, { $ref: `#/components/headers/${name}` }])) }
      if (Number(status) < 400) continue
      const name = STATUS_CODES[status]!.replaceAll(' ', '')
      document.components.responses[name] = response
      responses[status] = { $ref: `#/components/responses/${name}` }
    }
  }
  return document
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
