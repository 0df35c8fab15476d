// Single keys. The body is the value, the ETag its version.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import type { Entry } from '../src/api/options.js'
import { StoreError } from '../src/core/errors.js'
import { jsonText, limitBody } from './body.js'
import type { Admin } from './app.js'
import { identityOf } from './auth.js'
import { ifAbsent, isKnown, noConditions, onMatch } from './conditions.js'
import { EVENTS_RESPONSE, hasChanged, sendEvents } from './events.js'
import { Problem, done } from './problems.js'
import {
  BODY, CHANGED, CONFLICT, Change, ChangeHeaders, DeleteHeaders, DeleteQuery, FAILURES, KeyParams, LOCKED, NOTHING,
  NOT_FOUND, ReadHeaders, ReadQuery, Sum,
  Value, WriteHeaders, WriteQuery, withHeaders
} from './schemas.js'

const url = '/collections/:collection/keys/*'
const tags = ['keys']

export function keyRoutes (admin: Admin): void {
  readKey(admin)
  changeKey(admin)
  deleteKey(admin)
  writeKey(admin)
}

function readKey (admin: Admin): void {
  const { app, store, waiting } = admin
  app.get(url, {
    schema: {
      operationId: 'readKey',
      summary: 'Read a value',
      description: 'The body is the JSON value itself, byte for byte as it is stored. HEAD does the same without ' +
        'the body. It counts as a use of the key, unless the token has read access only. With `If-None-Match` and ' +
        '`Prefer: wait=N` it answers once the key has another version, or with 304 after N seconds. With `Accept: ' +
        'text/event-stream` the changes of the key are sent as server-sent events, as for a collection.',
      tags,
      params: KeyParams,
      headers: ReadHeaders,
      querystring: ReadQuery,
      response: {
        200: {
          ...EVENTS_RESPONSE,
          headers: { ...withHeaders(Value, 'ETag', 'X-TTL').headers, ...EVENTS_RESPONSE.headers },
          content: { 'application/json': { schema: Value }, ...EVENTS_RESPONSE.content }
        },
        304: withHeaders(NOTHING, 'ETag', 'X-TTL'),
        ...FAILURES,
        ...NOT_FOUND,
        ...CONFLICT,
        ...LOCKED
      }
    }
  }, async (request, reply) => {
    const { collection: name, '*': key } = request.params
    if (request.method === 'GET' && /\btext\/event-stream\b/i.test(request.headers.accept ?? '')) {
      return await sendEvents(admin, request, reply, { key }, { values: true })
    }
    const token = request.headers['lock-token']
    const known = request.headers['if-none-match']
    const peek = request.query.peek === true || !identityOf(request).canWrite
    const read = (): Promise<Entry<string> | undefined> => (
      waiting.onKey<Entry<string> | undefined>(
        request, reply, (collection, key, timeout) => collection.entry(key, { timeout, token, peek })
      )
    )
    const started = performance.now()
    let entry = await read()
    if (entry !== undefined && isKnown(known, entry.version)) {
      const left = (waiting.seconds(request, reply) ?? 0) - (performance.now() - started) / 1000
      const isSame = (version: number): boolean => isKnown(known, version)
      const collection = store.collection(name).text
      if (left > 0 && await hasChanged(admin, reply, collection, key, isSame, left)) entry = await read()
    }
    if (entry === undefined) throw new Problem('ADMIN_NOT_FOUND', 'the key has no value')
    setVersion(reply, entry.version)
    setEnd(reply, entry.expiresAt)
    reply.header('cache-control', 'no-store')
    if (isKnown(known, entry.version)) return await done(reply, 304)
    reply.type('application/json')
    return entry.value
  })
}

function changeKey ({ app, store, waiting }: Admin): void {
  app.patch(url, {
    preParsing: limitBody(store),
    schema: {
      operationId: 'changeKey',
      summary: 'Add to a number, or touch a key',
      description: 'The ttl of an increment applies only if it creates the key. A touch returns 204.',
      tags,
      params: KeyParams,
      headers: ChangeHeaders,
      body: Change,
      response: {
        200: withHeaders(Sum, 'ETag', 'X-TTL'), 204: NOTHING, ...FAILURES, ...NOT_FOUND, ...CONFLICT, ...LOCKED, ...BODY
      }
    }
  }, async (request, reply) => {
    const { body, headers: { 'lock-token': token } } = request
    noConditions(request.headers)
    if ('increment' in body) {
      const { increment, down, ttl, limit, backoff } = body
      if (down === true) {
        return {
          value: await waiting.onKey(
            request, reply, (collection, key, timeout) => collection.decrement(key, -increment, { timeout, token })
          )
        }
      }
      const { value, version, expiresAt } = await waiting.onKey(request, reply, (collection, key, timeout) => (
        collection.count(key, increment, { ttl, limit, backoff, timeout, token })
      ))
      setVersion(reply, version)
      setEnd(reply, expiresAt)
      return { value, version }
    }
    const found = await waiting.onKey(
      request, reply, (collection, key, timeout) => collection.touch(key, { ttl: body.ttl, timeout, token })
    )
    if (!found) throw new Problem('ADMIN_NOT_FOUND', 'the key has no value')
    return await done(reply, 204)
  })
}

function deleteKey ({ app, waiting }: Admin): void {
  app.delete(url, {
    schema: {
      operationId: 'deleteKey',
      summary: 'Delete a key',
      description: 'Succeeds also if the key has no value; X-Deleted says whether it had one.',
      tags,
      params: KeyParams,
      headers: DeleteHeaders,
      querystring: DeleteQuery,
      response: { 204: withHeaders(NOTHING, 'X-Deleted'), ...FAILURES, ...CONFLICT, ...CHANGED, ...LOCKED }
    }
  }, async (request, reply) => {
    const { headers, query: { release } } = request
    const token = headers['lock-token']
    const deleted = await waiting.onKey(request, reply, (collection, key, timeout) => (
      onMatch(
        headers['if-match'], collection, key, { timeout, token },
        options => collection.del(key, { ...options, token, release })
      )
    ))
    reply.header('x-deleted', String(deleted))
    return await done(reply, 204)
  })
}

/** In a context of its own, because its body is not parsed. */
function writeKey ({ app, store, waiting }: Admin): void {
  app.register(async scoped => {
    const app = scoped.withTypeProvider<TypeBoxTypeProvider>()
    app.removeContentTypeParser('application/json')
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, jsonText)
    app.put(url, {
      preParsing: limitBody(store),
      schema: {
        operationId: 'writeKey',
        summary: 'Write a value',
        description: 'The body is the JSON value itself. Without ttl the key does not expire; with a Lock-Token it ' +
          'keeps its expiry.',
        tags,
        params: KeyParams,
        headers: WriteHeaders,
        querystring: WriteQuery,
        body: Value,
        response: {
          201: withHeaders(NOTHING, 'ETag'),
          204: withHeaders(NOTHING, 'ETag'),
          ...FAILURES,
          ...CONFLICT,
          ...CHANGED,
          ...LOCKED,
          ...BODY
        }
      }
    }, async (request, reply) => {
      const { body, headers, query: { ttl, release } } = request
      if (typeof body !== 'string') throw new StoreError('STORE_VALUE_INVALID', 'the body is missing')
      const settled = { ttl, release, token: headers['lock-token'], ifAbsent: ifAbsent(headers['if-none-match']) }
      const { version, isNew } = await waiting.onKey(request, reply, (collection, key, timeout) => (
        onMatch(
          headers['if-match'], collection, key, { timeout, token: settled.token },
          options => collection.put(key, body, { ...settled, ...options })
        )
      ))
      setVersion(reply, version)
      return await done(reply, isNew ? 201 : 204)
    })
  })
}

function setVersion (reply: FastifyReply, version: number): void {
  reply.header('etag', `"${version}"`)
}

/** Sets X-TTL to the remaining seconds. */
export function setEnd (reply: FastifyReply, end: Date | undefined): void {
  if (end !== undefined) reply.header('x-ttl', (Math.max(0, end.getTime() - Date.now()) / 1000).toFixed(3))
}
