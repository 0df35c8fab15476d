// Many keys in one request. Each is read or written on its own, with its own result.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type, type Static } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import { StoreError } from '../src/core/errors.js'
import { memberTexts } from '../src/core/member-texts.js'
import type { Collection } from '../src/api/collection.js'
import type { EntryOptions, KeyPage } from '../src/api/options.js'
import type { Store } from '../src/api/store.js'
import type { Admin } from './app.js'
import { identityOf, type RouteConfig } from './auth.js'
import { jsonText, limitBody } from './body.js'
import { done } from './problems.js'
import { BODY, CollectionParams, FAILURES, LOCKED, NOTHING, WaitHeaders, Value, whole } from './schemas.js'

const MAX_KEYS = 1000
/** Maximum size of a body with all its keys and values. */
const MAX_BYTES = 16 * 2 ** 20

const key = Type.String({ maxLength: 1024, description: 'The key' })
const failure = {
  code: Type.Optional(Type.String({ maxLength: 64, description: 'Code of the error; absent on success' })),
  detail: Type.Optional(Type.String({ maxLength: 4096 }))
}

const Found = Type.Object({
  key,
  value: Type.Optional(Value),
  version: Type.Optional(whole('Its version; absent if it has no value')),
  expiresAt: Type.Optional(
    Type.String({ format: 'date-time', maxLength: 32, description: 'When it expires unless it is used before' })
  ),
  ...failure
})
const Write = Type.Object({
  key,
  value: Value,
  ttl: Type.Optional(Type.Number({
    minimum: 0.001, maximum: 2 ** 32, description: 'Seconds until the key expires, whether used or not'
  }))
}, { additionalProperties: false })
const Written = Type.Object({ key, version: Type.Optional(whole('Its new version')), ...failure })
const PrefixQuery = Type.Object({
  prefix: Type.String({ maxLength: 1024, description: 'Only keys with this prefix' })
}, { additionalProperties: false })

const tags = ['keys']
const READS: RouteConfig = { reads: true }

export function manyRoutes (admin: Admin): void {
  readKeys(admin)
  writeKeys(admin)
  clearKeys(admin)
}

const limitsOf = (store: Store): Pick<RouteShorthandOptions, 'bodyLimit' | 'preParsing'> => (
  { bodyLimit: MAX_BYTES, preParsing: limitBody(store, () => MAX_BYTES) }
)

function readKeys ({ app, store, waiting }: Admin): void {
  app.post('/collections/:collection/get', {
    config: READS as object,
    ...limitsOf(store),
    schema: {
      operationId: 'readKeys',
      summary: 'Read many values',
      description: 'A result for each key, in the same order: its value, if it has one, or the code of an error.',
      tags,
      params: CollectionParams,
      headers: WaitHeaders,
      body: Type.Array(key, { maxItems: MAX_KEYS }),
      response: { 200: Type.Array(Found, { maxItems: MAX_KEYS }), ...FAILURES, ...BODY }
    }
  }, async (request, reply) => {
    const timeout = waiting.seconds(request, reply) ?? 0
    return sendFound(
      reply,
      await findMany(store.collection(request.params.collection).text, request.body, {
        timeout, peek: !identityOf(request).canWrite
      })
    )
  })
}

/** In a context of its own, because the values in its body are kept as text. */
function writeKeys ({ app, store, waiting }: Admin): void {
  app.register(async scoped => {
    const app = scoped.withTypeProvider<TypeBoxTypeProvider>()
    app.removeContentTypeParser('application/json')
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, writesIn)
    app.post('/collections/:collection/set', {
      ...limitsOf(store),
      schema: {
        operationId: 'writeKeys',
        summary: 'Write many values',
        description: 'Each key is written on its own, so some may fail. A result for each, in the same order. Values ' +
          'are stored byte for byte.',
        tags,
        params: CollectionParams,
        headers: WaitHeaders,
        body: Type.Array(Write, { maxItems: MAX_KEYS }),
        response: { 200: Type.Array(Written, { maxItems: MAX_KEYS }), ...FAILURES, ...BODY }
      }
    }, async (request, reply) => {
      const timeout = waiting.seconds(request, reply) ?? 0
      const collection = store.collection(request.params.collection).text
      return await Promise.all(request.body.map(async ({ key, value, ttl }): Promise<Static<typeof Written>> => {
        try {
          return { key, version: await collection.set(key, value as string, { ttl, timeout }) }
        } catch (error) {
          return { key, ...failureOf(error) }
        }
      }))
    })
  })
}

/** A content type parser: each value is the JSON text that was sent. */
async function writesIn (request: FastifyRequest, body: Buffer): Promise<unknown> {
  const json = await jsonText(request, body)
  let writes: unknown
  try {
    writes = JSON.parse(json)
  } catch (cause) {
    throw new StoreError('STORE_VALUE_INVALID', (cause as Error).message, { cause })
  }
  if (!Array.isArray(writes) || !writes.every(isObject)) return writes // which the schema rejects
  const texts = memberTexts(json, 'value')
  for (const [i, write] of writes.entries()) if ('value' in write) write.value = texts[i]
  return writes
}

function isObject (value: unknown): value is { value?: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function clearKeys ({ app, store, waiting }: Admin): void {
  app.delete('/collections/:collection/keys', {
    schema: {
      operationId: 'clearKeys',
      summary: 'Delete the keys that begin with a prefix',
      description: 'Unlocked keys are deleted at once. `Prefer: wait=N` waits for locked ones; without it they are ' +
        'kept, and the response is 423.',
      tags,
      params: CollectionParams,
      headers: WaitHeaders,
      querystring: PrefixQuery,
      response: { 204: NOTHING, ...FAILURES, ...LOCKED }
    }
  }, async (request, reply) => {
    const { prefix } = request.query
    await store.collection(request.params.collection).clear({ prefix, timeout: waiting.seconds(request, reply) ?? 0 })
    return await done(reply, 204)
  })
}

interface FoundText extends Omit<Static<typeof Found>, 'value'> {
  /** JSON. */
  text?: string
}

async function findMany (collection: Collection<string>, keys: string[], options: EntryOptions): Promise<FoundText[]> {
  return await Promise.all(keys.map(async key => {
    try {
      const entry = await collection.entry(key, options)
      if (entry === undefined) return { key }
      const { value, version, expiresAt } = entry
      return { key, version, ...expiresAt === undefined ? {} : { expiresAt: expiresAt.toISOString() }, text: value }
    } catch (error) {
      return { key, ...failureOf(error) }
    }
  }))
}

type AnyReply = FastifyReply<any, any, any, any, any, any, any, any>

/** Sends JSON with values as they are stored. */
function sendFound (reply: AnyReply, found: FoundText[]): never {
  return sendText(reply, `[${found.map(withText).join(',')}]`)
}

/** Sends a page of keys with their values. Keys that have expired in the meantime are left out. */
export async function sendPage (
  reply: AnyReply, collection: Collection<string>, { keys, cursor }: KeyPage
): Promise<never> {
  const found = await findMany(collection, keys.map(({ key }) => key), { timeout: 0, peek: true })
  const present = found.flatMap(({ text, code, ...entry }, i) => {
    if (text !== undefined) return [withText({ ...entry, bytes: Buffer.byteLength(text), text })]
    const { version, bytes } = keys[i]!
    return code === undefined ? [] : [JSON.stringify({ key: entry.key, version, bytes, code })]
  })
  return sendText(
    reply, `{"keys":[${present.join(',')}]${cursor === undefined ? '' : `,"cursor":${JSON.stringify(cursor)}`}}`
  )
}

function withText<T extends { text?: string }> ({ text, ...rest }: T): string {
  const json = JSON.stringify(rest)
  return text === undefined ? json : `${json.slice(0, -1)},"value":${text}}`
}

/** Bypasses the route's serializer, which would need parsed values. */
function sendText (reply: AnyReply, text: string): never {
  reply.type('application/json').header('cache-control', 'no-store')
  return text as never
}

function failureOf (error: unknown): { code: string, detail?: string } {
  if (!(error instanceof StoreError)) throw error
  return { code: error.code, ...error.detail === undefined ? {} : { detail: error.detail } }
}
