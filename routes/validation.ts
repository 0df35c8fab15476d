// Validates requests against the schemas of their routes. Query parameters become numbers and booleans only if they are
// written as such.
import type { TObject, TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { FastifySchemaCompiler } from 'fastify'

const PARTS: Record<string, string> = { querystring: 'query parameter', headers: 'header', params: 'path' }

export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart = 'body' }) => {
  const check = TypeCompiler.Compile(schema)
  return (value: unknown) => {
    const read = httpPart === 'querystring' ? readQuery(schema as TObject, value as Record<string, unknown>) : value
    if (check.Check(read)) return { value: read }
    // Messages must not contain the value.
    const { message, path } = check.Errors(read).First()!
    const name = path.slice(1).replace('*', 'key')
    const isUnion = path === '' && schema.anyOf !== undefined
    const what = isUnion ? `expected ${schema.description}` : message.charAt(0).toLowerCase() + message.slice(1)
    return { error: new Error(`invalid ${PARTS[httpPart] ?? httpPart}${name === '' ? '' : ` ${name}`}: ${what}`) }
  }
}

function readQuery ({ properties }: TObject, query: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(query).map(([name, value]) => {
    const type = Object.hasOwn(properties, name) ? (properties[name] as { type?: string }).type : undefined
    if (typeof value !== 'string') return [name, value]
    if ((type === 'number' || type === 'integer') && /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(value)) {
      return [name, Number(value)]
    }
    if (type === 'boolean' && /^(true|false)$/.test(value)) return [name, value === 'true']
    return [name, value]
  }))
}
