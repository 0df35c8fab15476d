// The route that the http engine uses: many calls in one request, in order. See src/engines/http/protocol.ts.
import { Type } from '@sinclair/typebox'
import { offAbort, onAbort } from '../src/core/abort-signals.js'
import { OPS } from '../src/core/engine.js'
import { CALLS, MAX_CALLS, MAX_CALLS_LENGTH, type SentCall } from '../src/engines/http/protocol.js'
import { isWhole } from '../src/web/transport.js'
import type { Admin } from './app.js'
import { identityOf, ownerOf, type RouteConfig } from './auth.js'
import { limitBody } from './body.js'
import { Batch } from './batch.js'
import { BODY, FAILURES, whole } from './schemas.js'

const milliseconds = (description: string, minimum = 1): ReturnType<typeof Type.Number> => Type.Number({
  minimum, maximum: 2 ** 51, description: `Milliseconds: ${description}`
})
const text = (
  description: string, maxLength = 1024
): ReturnType<typeof Type.String> => Type.String({ maxLength, description })

const Call = Type.Object({
  op: Type.Union(OPS.map(op => Type.Literal(op)), { description: 'The operation' }),
  collection: text('The collection'),
  key: text('The key'),
  text: Type.Optional(text('The value to write, as JSON text', 2 ** 25)),
  ttl: Type.Optional(milliseconds('until the key expires')),
  ifVersion: Type.Optional(whole('Only if the key has this version; 0: no value')),
  ifAbsent: Type.Optional(Type.Boolean({ description: 'Only if the key has no value' })),
  ifPresent: Type.Optional(Type.Boolean({ description: 'Only if the key has a value' })),
  number: Type.Optional(
    Type.Number({ description: 'Amount to add; keys per page; maximum number of locks; subscribers' })
  ),
  limit: Type.Optional(Type.Number({ description: 'A sum above it restarts the ttl' })),
  backoff: Type.Optional(Type.Boolean({ description: 'With limit: doubles the ttl for each one above it' })),
  down: Type.Optional(Type.Boolean({ description: 'Decrements' })),
  cursor: Type.Optional(text('Returned with the previous page, or by the previous call that waited', 2048)),
  token: Type.Optional(text('Token of the lock that is used or acquired, or of the subscription')),
  release: Type.Optional(Type.Boolean({ description: 'Also releases the lock, or ends the subscription' })),
  lease: Type.Optional(milliseconds('until the lease expires')),
  owner: Type.Optional(text('Display name of the lock owner')),
  nowait: Type.Optional(Type.Boolean({ description: 'Fails with STORE_LOCKED instead of waiting' })),
  durable: Type.Optional(Type.Boolean({ description: 'Answered when the change is on disk' })),
  timeout: Type.Optional(milliseconds('maximum wait; default: as long as the connection lasts', 0)),
  unconfirmed: Type.Optional(Type.Boolean({ description: 'A reply is sent only if the call may be lost' }))
}, { additionalProperties: false })

/** JSON text is escaped within JSON, and a request with a single call may exceed MAX_CALLS_LENGTH. */
const limitOf = (maxValueBytes: number): number => 2 * maxValueBytes + 4 * MAX_CALLS_LENGTH

/** Access is checked for each call. */
const CONFIG: RouteConfig = { reads: true, isScoped: true }

export function callRoutes ({ app, store, maxLease, stopping }: Admin): void {
  app.post(CALLS.path, {
    config: CONFIG as object,
    bodyLimit: 2 ** 27,
    preParsing: limitBody(store, limitOf),
    schema: {
      operationId: 'makeCalls',
      summary: 'Make many calls in order',
      description: 'Used by createStore({ url }). Each line of the response is a JSON array of pairs: the index of a ' +
        'call, and its reply. The first line is sent when all calls have reached the store. Calls without a reply ' +
        'in it wait for a locked key, for changes or for messages; their replies follow in later lines. An empty ' +
        'line is a heartbeat. If the client disconnects, its waits are cancelled.',
      tags: ['calls'],
      body: Type.Array(Call, { maxItems: MAX_CALLS }),
      response: {
        [CALLS.status]: {
          description: 'Replies, streamed',
          headers: {
            'X-Accel-Buffering': { type: 'string', maxLength: 2, description: 'Turns off buffering in nginx' }
          },
          content: {
            [CALLS.type]: {
              schema: Type.String({ maxLength: 2 ** 31 - 1, description: 'Lines of [index, reply] pairs' })
            }
          }
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
