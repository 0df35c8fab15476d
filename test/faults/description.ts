// Reads openapi.yaml like a client: the responses of each operation and their schemas.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import { parse } from 'yaml'

type Schema = Record<string, unknown>
type Check = ((data: unknown) => unknown) & { errors?: unknown }
interface Response {
  headers?: Record<string, { schema: Schema; required?: boolean } | { $ref: string }>
  content?: Record<string, { schema: Schema }>
}
interface Document { paths: Record<string, Record<string, { responses: Record<string, Response | { $ref: string }> }>> }

interface Expected {
  headers: Map<string, { isNumber: boolean, check: Check }>
  /** By media type; undefined without a body. */
  content: Map<string, Check>
}

export interface Answer { statusCode: number, headers: Record<string, unknown>, body: string }

/** Headers added by HTTP itself, and headers that any response may have. */
const GENERAL = [
  'content-type', 'content-length', 'transfer-encoding', 'connection', 'keep-alive', 'date', 'cache-control',
  'preference-applied', 'retry-after'
]

export class Description {
  readonly #document: Document
  /** By method, path and status. */
  readonly #operations = new Map<string, Map<number, Expected>>()

  private constructor (document: Document, compile: (schema: Schema) => Check) {
    this.#document = document
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const [method, { responses }] of Object.entries(operations)) {
        const statuses = Object.entries(responses).map(
          ([status, response]) => [Number(status), this.#expected(response, compile)] as const
        )
        this.#operations.set(`${method.toUpperCase()} ${path}`, new Map(statuses))
      }
    }
  }

  /** The validator of Fastify, configured not to modify the data. */
  static async read (): Promise<Description> {
    const text = readFileSync(new URL('../../../openapi.yaml', import.meta.url), 'utf8')
    const app = Fastify({
      ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, strict: false } }
    })
    app.post('/', { schema: { body: {} } }, async () => {}) // without a schema, it would have no validator
    await app.ready()
    const compile = (schema: Schema): Check =>
      app.validatorCompiler!({ schema, method: '', url: '', httpPart: '' }) as Check
    const description = new Description(parse(text, { maxAliasCount: -1 }) as Document, compile)
    await app.close()
    return description
  }

  /** For example 'GET /collections/{collection}'. */
  get operations (): string[] {
    return [...this.#operations.keys()]
  }

  /** Throws unless the document describes this response. */
  check (operation: string, isHead: boolean, { statusCode, headers, body }: Answer, what: string): void {
    const expected = this.#operations.get(operation)!.get(statusCode)
    assert.ok(expected !== undefined, `this status is not in openapi.yaml: ${what}`)
    for (const [name, value] of Object.entries(headers)) {
      if (GENERAL.includes(name)) continue
      const header = expected.headers.get(name)
      assert.ok(header !== undefined, `the header ${name} is not in openapi.yaml: ${what}`)
      assert.ok(
        header.check(header.isNumber ? Number(value) : value),
        `the header ${name} does not match openapi.yaml: ${value as string} ${what}`
      )
    }
    assert.match(String(headers['cache-control'] ?? 'no-store'), /^no-store$/, what)
    assert.match(String(headers['preference-applied'] ?? 'wait=0'), /^wait=\d+$/, what)
    if (expected.content.size === 0) {
      assert.deepEqual([body, headers['content-type']], ['', undefined], `openapi.yaml describes no body: ${what}`)
      return
    }
    const type = String(headers['content-type']).split(';')[0]!
    const check = expected.content.get(type)
    assert.ok(check !== undefined, `the media type ${type} is not in openapi.yaml: ${what}`)
    if (isHead) assert.equal(body, '', what)
    else {
      assert.ok(
        check(/[/+]json$/.test(type) ? JSON.parse(body) : body),
        `the body does not match openapi.yaml: ${JSON.stringify(check.errors)} ${what}`
      )
    }
  }

  #expected (response: Response | { $ref: string }, compile: (schema: Schema) => Check): Expected {
    const { headers = {}, content = {} } = this.#resolve(response) as Response
    return {
      headers: new Map(
        Object.entries(headers).map(([name, header]) => {
          const { schema } = this.#resolve(header) as { schema: Schema }
          return [
            name.toLowerCase(),
            {
              isNumber: schema.type === 'number' || schema.type === 'integer',
              check: compile(this.#closed(schema) as Schema)
            }
          ]
        })
      ),
      content: new Map(
        Object.entries(content).map(([type, { schema }]) => [type, compile(this.#closed(schema) as Schema)])
      )
    }
  }

  /** Resolves references, and forbids properties that are not in the schema. */
  #closed (schema: unknown): unknown {
    if (Array.isArray(schema)) return schema.map(part => this.#closed(part))
    if (typeof schema !== 'object' || schema === null) return schema
    const resolved = this.#resolve(schema) as Schema
    const closed = Object.fromEntries(Object.entries(resolved).map(([name, part]) => [name, this.#closed(part)]))
    return closed.type === 'object' && closed.properties !== undefined
      ? { additionalProperties: false, ...closed }
      : closed
  }

  #resolve (part: object): object {
    const { $ref } = part as { $ref?: string }
    if (typeof $ref !== 'string') return part
    return $ref
      .split('/')
      .slice(1)
      .reduce((found, name) => (found as Record<string, object>)[name]!, this.#document as object)
  }
}
