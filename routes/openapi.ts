// The OpenAPI document, generated from the schemas of the routes. openapi.yaml is the one for the default prefix,
// written by scripts/openapi.ts.
import { STATUS_CODES } from 'node:http'
import type { FastifySchema, RouteOptions } from 'fastify'
import { COMMON_HEADERS, HEADERS_OF_FAILURES, PARTS } from './openapi-parts.js'
import { Problem } from './schemas.js'
import { toYaml } from './yaml.js'

interface Schema {
  type?: string
  description?: string
  properties?: Record<string, Schema>
  required?: string[]
  headers?: Record<string, Schema>
}

interface Response {
  description: string
  headers?: Record<string, Schema>
  content?: Record<string, object>
}

interface Described extends FastifySchema {
  operationId: string
  summary: string
  description?: string
  tags: string[]
  /** Media types of the body; application/json if there are none. */
  consumes?: string[]
  security?: []
  params?: Schema
  querystring?: Schema
  headers?: Schema
  body?: Schema
  response: Record<string, Schema | Response>
}

export class Description {
  readonly #paths: Record<string, Record<string, object>> = {}
  readonly #failures: Record<string, object> = {}

  /** An onRoute hook. HEAD routes are not described on their own. */
  add ({ url, method, schema }: RouteOptions, prefix: string): void {
    if (method === 'HEAD') return
    if (url.length === prefix.length) return // redirects to the path with a trailing slash
    const path = url.slice(prefix.length).replace('*', '{key}').replace(/:(\w+)/g, '{$1}')
    const operations = this.#paths[path] ??= {}
    operations[(method as string).toLowerCase()] = this.#operation(schema as Described)
  }

  /** The document for the API at `path`. */
  at (path: string): string {
    const { components, ...parts } = PARTS
    return toYaml(plain({
      ...parts,
      servers: [{ url: path === '' ? '/' : path, description: 'Where this API is served' }],
      paths: this.#paths,
      components: { ...components, responses: this.#failures, schemas: { Problem } }
    })).trimStart()
  }

  #operation (described: Described): object {
    const { params, querystring, headers, body, response, consumes = ['application/json'], ...shown } = described
    const { operationId, summary, description, tags, security } = shown
    const parameters = [
      ...parametersOf('path', params), ...parametersOf('query', querystring), ...parametersOf('header', headers)
    ]
    return {
      operationId,
      summary,
      description,
      tags,
      security,
      parameters: parameters.length === 0 ? undefined : parameters,
      requestBody: body === undefined
        ? undefined
        : { required: true, content: Object.fromEntries(consumes.map(type => [type, { schema: body }])) },
      responses: Object.fromEntries(
        Object.entries(response).map(([status, schema]) => [status, this.#response(status, schema)])
      )
    }
  }

  /** Failures are the same for all routes, and become shared components. */
  #response (status: string, schema: Schema | Response): object {
    const { headers = {}, ...answer } = 'content' in schema ? schema : responseOf(status, schema as Schema)
    const common = [...COMMON_HEADERS, ...HEADERS_OF_FAILURES[status] ?? []]
    const response = {
      ...answer,
      headers: {
        ...Object.fromEntries(
          Object.entries(headers).map(([name, { description, ...schema }]) => [name, { description, schema }])
        ),
        ...Object.fromEntries(common.map(name => [name, { $ref: `#/components/headers/${name}` }]))
      }
    }
    if (Number(status) < 400) return response
    const name = STATUS_CODES[status]!.replaceAll(' ', '')
    this.#failures[name] = response
    return { $ref: `#/components/responses/${name}` }
  }
}

/** A plain schema describes a JSON body; type null means no body. */
function responseOf (status: string, { headers = {}, ...schema }: Schema): Response {
  const { description = STATUS_CODES[status]! } = schema
  return { description, headers, ...schema.type === 'null' ? {} : { content: { 'application/json': { schema } } } }
}

/** The wildcard parameter, which has no name in a route, is the key. */
function parametersOf (where: string, { properties = {}, required = [] }: Schema = {}): object[] {
  return Object.entries(properties).map(([name, { description, ...schema }]) => (
    { name: name === '*' ? 'key' : name, in: where, required: required.includes(name), description, schema }
  ))
}

/** Removes what TypeBox and Fastify add to JSON schemas, and converts references and records to OpenAPI's form. */
function plain (document: object): unknown {
  type Part = { patternProperties?: Record<string, object> } | string | null
  return JSON.parse(JSON.stringify(document, (name, value: Part) => {
    if (name === '$id') return undefined
    if (name === '$ref' && value === 'Problem#') return '#/components/schemas/Problem'
    if (typeof value !== 'object' || value?.patternProperties === undefined) return value
    const { patternProperties, ...record } = value
    return { ...record, additionalProperties: Object.values(patternProperties)[0] }
  }))
}
