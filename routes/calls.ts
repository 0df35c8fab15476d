// What stores at 'http:' URLs speak: many calls in one request, which reach the store in their order. src/engines/http/protocol.ts has the rules.
import { Type } from '@sinclair/typebox'
import { offAbort, onAbort } from '../src/core/abort-signals.js'
import { OPS } from '../src/core/engine.js'
import { CALLS, MAX_CALLS, MAX_CALLS_LENGTH, type SentCall } from '../src/engines/http/protocol.js'
import { isWhole } from '../src/web/transport.js'
import type { Admin } from './app.js'
import { identityOf, ownerOf, type RouteConfig } from './auth.js'
import { limitBody } from './body.js'
import { Batch } from './batch.js'
import { BODY, FAILURES } from './schemas.js'

const milliseconds = (description: string, minimum = 1): ReturnType<typeof Type.Number> => Type.Number({ minimum, maximum: 2 ** 51, description: `Milliseconds: ${description}` })
const text = (description: string, maxLength = 1024): ReturnType<typeof Type.String> => Type.String({ maxLength, description })

const Call = Type.Object({
  op: Type.Union(OPS.map(op => Type.Literal(op)), { description: 'What to do' }),
  collection: text('The collection'),
  key: text('The key'),
  text: Type.Optional(text('What to write: JSON, as text', 2 ** 25)),
  ttl: Type.Optional(milliseconds('until the key ends')),
  ifVersion: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, format: 'int64', description: 'Only if the key has this version; 0: no value' })),
  ifAbsent: Type.Optional(Type.Boolean({ description: 'Only if the key has no value' })),
  number: Type.Optional(Type.Number({ description: 'What to add; keys of a page; locks at most; subscribers' })),
  limit: Type.Optional(Type.Number({ description: 'A sum above it starts the ttl anew' })),
  backoff: Type.Optional(Type.Boolean({ description: 'With limit: twice as long for each one above it' })),
  down: Type.Optional(Type.Boolean({ description: 'Takes back what was counted' })),
  cursor: Type.Optional(text('Of the page before, or of the call before that waited', 2048)),
  token: Type.Optional(text('Of the lock through which this is done, or that is to be taken; of the subscription')),
  release: Type.Optional(Type.Boolean({ description: 'Releases the lock as well; ends the subscription' })),
  lease: Type.Optional(milliseconds('until the lock ends')),
  owner: Type.Optional(text('Who holds the lock, for people')),
  nowait: Type.Optional(Type.Boolean({ description: 'Fails with STORE_LOCKED where it would have to wait' })),
  durable: Type.Optional(Type.Boolean({ description: 'Answered when the change is on disk' })),
  timeout: Type.Optional(milliseconds('that it may wait; for as long as the connection lasts by default', 0)),
  unconfirmed: Type.Optional(Type.Boolean({ description: 'It gets no reply' }))
}, { additionalProperties: false })

/** Quotes and backslashes of a value are escaped on their way, and a request with one call may be longer than others. */
const limitOf = (maxValueBytes: number): number => 2 * maxValueBytes + 4 * MAX_CALLS_LENGTH

/** Each call is checked on its own. */
const CONFIG: RouteConfig = { reads: true, isScoped: true }

export function callRoutes ({ app, store, maxLease, stopping }: Admin): void {
  app.post(CALLS.path, {
    config: CONFIG as object,
    bodyLimit: 2 ** 27,
    preParsing: limitBody(store, limitOf),
    schema: {
      operationId: 'makeCalls',
      summary: 'Make many calls, in their order',
      description: 'What createStore speaks where it is given the URL of this API. Each line of the answer is a JSON array of pairs: the index of a call, and its reply. ' +
        'The first line says that all calls have reached the store; those that have no reply in it wait for a locked key, for changes or for messages, and get one in a later line. ' +
        'An empty line says that the server is alive. A client that hangs up gives up what still waits.',
      tags: ['calls'],
      body: Type.Array(Call, { maxItems: MAX_CALLS }),
      response: {
        [CALLS.status]: {
          description: 'Replies as they come',
          headers: { 'X-Accel-Buffering': { type: 'string', maxLength: 2, description: 'Tells nginx to pass lines on as they come' } },
          content: { [CALLS.type]: { schema: Type.String({ maxLength: 2 ** 31 - 1, description: 'Lines of [index, reply] pairs' }) } }
        },
        ...FAILURES,
        ...BODY
      }
    }
  }, async (request, reply) => {
    const batch = new Batch(store, request.body as SentCall[], {
      identity: identityOf(request), maxLease: maxLease * 1000, ownerOf: owner => ownerOf(request, owner)
    })
    const stop = (): void => { batch.stop() }
    onAbort(stopping, stop)
    if (stopping.aborted) stop()
    reply.raw.once('close', () => {
      offAbort(stopping, stop)
      batch.end(isWhole(reply.raw))
    })
    await batch.accepted
    reply.type(CALLS.type).headers({ 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
    return batch.answer()
  })
}
