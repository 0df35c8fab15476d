// What goes in and out, said once: it validates, it types, and openapi.yaml is made of it.
import { Type, type TSchema } from '@sinclair/typebox'
import { MAX_LOCKS } from '../src/core/engine.js'

const count = (description: string): ReturnType<typeof Type.Integer> => Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, format: 'int64', description })
const name = (description: string): ReturnType<typeof Type.String> => Type.String({ maxLength: 1024, description })
const moment = (description: string): ReturnType<typeof Type.String> => Type.String({ format: 'date-time', maxLength: 32, description })
const strict = { additionalProperties: false }

// Where.

export const CollectionParams = Type.Object({ collection: name('The collection, percent-encoded') })

/** '*' is shown as {key} in openapi.yaml. */
export const KeyParams = Type.Object({
  collection: name('The collection, percent-encoded'),
  '*': name('The key, percent-encoded; a plain / is part of it')
})

// How.

const Prefer = Type.Optional(Type.String({
  maxLength: 256,
  description: '`wait=N`: seconds to wait for a locked key (RFC 7240); without it a locked key is answered with 423 at once'
}))
const LockToken = Type.Optional(Type.String({ maxLength: 1024, description: 'The token of the lock through which this is done' }))
const IfMatch = Type.Optional(Type.String({
  maxLength: 1024, description: 'Only if the key has one of these versions, in quotes, or, with `*`, any value; "0" stands for no value'
}))
const ttl = Type.Optional(Type.Number({ minimum: 0.001, maximum: 2 ** 32, description: 'Seconds after which the key ends, reads or not' }))
const release = Type.Optional(Type.Boolean({ description: 'With Lock-Token: releases the lock, whatever becomes of the change' }))

export const WaitHeaders = Type.Object({ prefer: Prefer })
export const ReadHeaders = Type.Object({
  prefer: Prefer,
  'lock-token': LockToken,
  'if-none-match': Type.Optional(Type.String({ maxLength: 1024, description: '304 if the key has one of these versions, or, with `*`, any value' }))
})
export const WriteHeaders = Type.Object({
  prefer: Prefer,
  'lock-token': LockToken,
  'if-match': IfMatch,
  'if-none-match': Type.Optional(Type.String({ maxLength: 64, description: '`*`: only if the key has no value' }))
})
export const DeleteHeaders = Type.Object({ prefer: Prefer, 'lock-token': LockToken, 'if-match': IfMatch })
export const ChangeHeaders = Type.Object({ prefer: Prefer, 'lock-token': LockToken })
export const AcquireHeaders = Type.Object({
  prefer: Prefer,
  'lock-token': Type.Optional(Type.String({
    maxLength: 128,
    pattern: '^[\\x21-\\x7e]{16,}$',
    description: 'The token for the lock, chosen by the client and never used before. A repeated request with it gets the same grant again; ' +
      'with it the lock, or the wait for it, can be given up even if the response was lost'
  }))
})
export const HolderHeaders = Type.Object({ 'lock-token': Type.Optional(Type.String({ maxLength: 1024, description: 'The token of the lock' })) })

export const ReadQuery = Type.Object({ peek: Type.Optional(Type.Boolean({ description: 'true: is no use of the key, whose idle time goes on' })) }, strict)
export const WriteQuery = Type.Object({ ttl, release }, strict)
export const DeleteQuery = Type.Object({ release }, strict)
export const ReleaseQuery = Type.Object({ force: Type.Optional(Type.Boolean({ description: 'Takes the lock from whoever holds it' })) }, strict)
const cursor = Type.Optional(Type.String({ pattern: '^[!-~]{1,2048}$', maxLength: 2048, description: 'Where to continue: the cursor of the previous page' }))
const nextCursor = Type.Optional(Type.String({ maxLength: 2048, description: 'Where the next page begins; absent on the last page' }))
export const CollectionsQuery = Type.Object({
  cursor,
  limit: Type.Optional(Type.Number({ minimum: 1, maximum: 1000, multipleOf: 1, description: 'Collections at most; 100 by default' }))
}, strict)
export const PageQuery = Type.Object({
  prefix: Type.Optional(name('Only keys that begin with it')),
  cursor,
  limit: Type.Optional(Type.Number({ minimum: 1, maximum: 1000, multipleOf: 1, description: 'Keys to look at; 100 by default' })),
  values: Type.Optional(Type.Boolean({ description: 'With their values' }))
}, strict)

const since = Type.Optional(Type.Integer({
  minimum: 0, maximum: Number.MAX_SAFE_INTEGER, format: 'int64', description: 'The id of an event, after which to continue; 410 where that is not known any more'
}))

export const EventsQuery = Type.Object({
  prefix: Type.Optional(name('Only keys that begin with it')),
  values: Type.Optional(Type.Boolean({ description: 'With their values' })),
  since
}, strict)
export const EventHeaders = Type.Object({
  'last-event-id': Type.Optional(Type.String({ maxLength: 64, description: 'The id of the last event that a client has seen before it connects again: like since, but with a reset instead of 410' }))
})

export const LocksQuery = Type.Object({
  limit: Type.Optional(Type.Number({ minimum: 1, maximum: MAX_LOCKS, multipleOf: 1, description: 'Locks to tell of; 1000 by default. If there are as many, there may be more' }))
}, strict)

const bounds = {
  expireKeys: Type.Number({ minimum: 0, maximum: 2 ** 32, description: 'Seconds without use after which a key goes; 0: never' }),
  maxKeys: count('Keys it may have; 0: no bound'),
  maxBytes: count('Bytes that names and values may have; 0: no bound'),
  evict: Type.Boolean({ description: 'At a bound: true drops what was least recently used, false refuses with 507' })
}

export const Bounds = Type.Partial(Type.Object(bounds), strict)
export const Change = Type.Union([
  Type.Object({
    increment: Type.Number({ description: 'What to add; a key without a value counts as 0' }),
    down: Type.Optional(Type.Boolean({ description: 'Takes back what was counted: makes no key, and no sum below 0' })),
    ttl,
    limit: Type.Optional(Type.Number({ description: 'A sum above it starts the ttl anew' })),
    backoff: Type.Optional(Type.Boolean({ description: 'With limit: twice as long for each one above it' }))
  }, strict),
  Type.Object({ touch: Type.Literal(true, { description: 'Counts as a use of the key, and sets its end where ttl is given' }), ttl }, strict)
], { description: '{"increment": number} or {"touch": true}, with options of that kind' })
export const Acquire = Type.Object({
  lease: Type.Optional(Type.Number({ minimum: 0.001, maximum: 2 ** 32, description: 'Seconds after which the lock ends if it is not renewed; 30 by default, or the maximum of the server if that is less' })),
  owner: Type.Optional(name('Who holds it, for people; the address of the client by default. The name of the token is added to it'))
}, strict)
export const Renew = Type.Object({ lease: Type.Optional(Acquire.properties.lease) }, strict)

// What comes back.

const counts = {
  keys: count('Keys that have a value'),
  bytes: count('Of names and values'),
  locks: count('Keys that are locked'),
  waiters: count('Calls that wait for a locked key'),
  reads: count('So far'),
  writes: count('So far'),
  expired: count('So far'),
  evicted: count('So far')
}

export const Collection = Type.Object({ name: name('Its name'), ...counts, ...bounds })
export const Collections = Type.Object({ collections: Type.Array(Collection, { maxItems: 1000 }), cursor: nextCursor })
export const Stats = Type.Object({
  collections: count('Collections'),
  ...counts,
  maxValueBytes: count('Bytes a value may have'),
  ...Type.Partial(Type.Object({
    processes: count('Processes that share the store'),
    uptime: Type.Number({ description: 'Seconds that the process of the store has run' }),
    calls: Type.Record(Type.String(), count('How many'), { description: 'Calls on single keys, by operation' }),
    refused: Type.Record(Type.String(), Type.Record(Type.String(), count('How many')), { description: 'Those that failed, by operation and code' }),
    waits: Type.Array(count('How many'), { maxItems: 9, description: 'Calls that waited up to 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60 seconds, and longer' }),
    waited: Type.Number({ description: 'Seconds that they waited, all together' }),
    loopDelay: Type.Object({ mean: Type.Number(), p99: Type.Number(), max: Type.Number() }, { description: 'By which the event loop of the process of the store was late in the last full minute, in milliseconds' })
  })).properties
})
export const Page = Type.Object({
  keys: Type.Array(Type.Object({
    key: name('Its name'),
    version: count('Its version, as in the ETag'),
    bytes: count('Of its value'),
    expiresAt: Type.Optional(moment('When it ends if it is not used before')),
    value: Type.Optional(Type.Unknown({ description: 'Where values were asked for' })),
    code: Type.Optional(Type.String({ maxLength: 64, description: 'Why there is no value, where one was asked for' }))
  }), { maxItems: 10_000 }),
  cursor: nextCursor
})
export const Sum = Type.Object({ value: Type.Number({ description: 'The sum' }), version: Type.Optional(count('The new version; none where it was counted down')) })

const lock = {
  collection: name('The collection'),
  key: name('The key'),
  owner: name('Who holds it'),
  fence: count('Grows with every grant'),
  since: moment('When it was granted'),
  expiresAt: Type.Optional(moment('When its lease ends; none if it ends with its holder')),
  waiters: count('Calls that wait for it')
}
export const Locks = Type.Object({ locks: Type.Array(Type.Object(lock), { maxItems: MAX_LOCKS }) })
export const Lock = Type.Object({
  ...lock,
  queue: Type.Array(Type.Object({ owner: name('Who waits'), op: Type.String({ maxLength: 16, description: 'For what' }), since: moment('Since when') }), {
    maxItems: 100, description: 'Who waits, in their order; the first hundred'
  })
})
export const Grant = Type.Object({
  token: Type.String({ maxLength: 128, description: 'The proof of holding: as Lock-Token in later requests' }),
  fence: count('Grows with every grant'),
  expiresAt: moment('When the lease ends'),
  owner: name('Who holds it'),
  version: count('The version of the key; 0 if it has no value'),
  value: Type.Optional(Type.Unknown({ description: 'The value, as it is stored; none if the key has none' }))
})
export const Lease = Type.Object({ expiresAt: Type.Optional(moment('When the lease ends; none if the lock has no lease')) })
export const Health = Type.Object({ status: Type.Literal('ok') })
export const PrometheusText = Type.String({ maxLength: 10_000_000, description: 'Figures, a line each' })
export const Value = Type.Unknown({ description: 'The JSON value itself' })

const HEADERS = {
  ETag: Type.String({ maxLength: 18, pattern: '^"[0-9]{1,16}"$', description: 'The version of the key' }),
  'X-TTL': Type.Number({ minimum: 0, description: 'Seconds that are left: to the key, or to the lease of the lock; none where it has no end' }),
  'X-Deleted': Type.String({ maxLength: 5, pattern: '^(true|false)$', description: 'Whether there was a value' }),
  Location: Type.String({ format: 'uri-reference', maxLength: 8192, description: 'The lock' }),
  'Lock-Token': Type.String({ maxLength: 128, description: 'The proof of holding' })
}

/** An answer that may have these headers, beside those that any has. */
export function withHeaders<T extends TSchema> (schema: T, ...names: Array<keyof typeof HEADERS>): T {
  return { ...schema, headers: Object.fromEntries(names.map(name => [name, { ...HEADERS[name] }])) }
}

/** An answer without a body; type null is how this is said to what makes openapi.yaml. */
export const NOTHING = Type.Null({ description: 'Done' })

/** RFC 9457. */
export const Problem = Type.Object({
  type: Type.String({ format: 'uri', maxLength: 64 }),
  title: Type.String({ maxLength: 256 }),
  status: Type.Integer({ minimum: 400, maximum: 599, format: 'int32' }),
  code: Type.Optional(Type.String({ maxLength: 64, description: 'The stable name of what went wrong; none where the app in front of the API refused the request' })),
  detail: Type.Optional(Type.String({ maxLength: 4096 })),
  holder: Type.Optional(Type.String({ maxLength: 1024, description: 'With 423: who holds the lock' })),
  since: Type.Optional(moment('With 423: since when')),
  expiresAt: Type.Optional(moment('With 423: when the lease ends; none if the lock ends with its holder')),
  waiters: Type.Optional(count('With 423: calls that wait'))
}, { $id: 'Problem' })
const problem = (description: string): object => ({ description, content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } } })

/** The answers that every route may give. */
export const FAILURES = {
  400: problem('What was asked for is malformed'),
  401: problem('No token, or a wrong one'),
  403: problem('The token may only read, or does not cover the collection'),
  429: problem('Too many failed authentications, too many calls that wait for the key, or more requests than the app in front allows'),
  503: problem('The store cannot be reached')
}
export const NOT_FOUND = { 404: problem('There is no such thing') }
export const TOO_OLD = { 410: problem('What has changed since then is not known any more') }
export const LOCKED = { 423: problem('The key is locked') }
export const CONFLICT = { 409: problem('The lock is held by somebody else, or the value is no number') }
export const CHANGED = { 412: problem('The key has another version') }
export const BODY = { 413: problem('The value is too large'), 415: problem('The body is not application/json in UTF-8, or it is compressed'), 507: problem('The collection is full') }
