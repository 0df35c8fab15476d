// Schemas of requests and responses. They validate, give types, and become openapi.yaml.
import { Type, type TSchema } from '@sinclair/typebox'
import { MAX_LOCKS } from '../src/core/engine.js'

/** An integer from 0 on. */
export const whole = (description: string): ReturnType<typeof Type.Integer> => Type.Integer({
  minimum: 0, maximum: Number.MAX_SAFE_INTEGER, format: 'int64', description
})
export const name = (description: string): ReturnType<typeof Type.String> => (
  Type.String({ maxLength: 1024, description })
)
export const moment = (description: string): ReturnType<typeof Type.String> => Type.String({
  format: 'date-time', maxLength: 32, description
})
export const strict = { additionalProperties: false }

// Paths.

export const CollectionParams = Type.Object({ collection: name('The collection, percent-encoded') })

/** '*' is shown as {key} in openapi.yaml. */
export const KeyParams = Type.Object({
  collection: name('The collection, percent-encoded'),
  '*': name('The key, percent-encoded; a plain / is part of it')
})

// Headers, query parameters and bodies.

const Prefer = Type.Optional(Type.String({
  maxLength: 256,
  description: '`wait=N`: seconds to wait for a locked key (RFC 7240); without it the response is 423 immediately'
}))
const LockToken = Type.Optional(
  Type.String({ maxLength: 1024, description: 'Token of the lock under which this is done' })
)
const IfMatch = Type.Optional(Type.String({
  maxLength: 1024,
  description: 'Only if the key has one of these quoted versions, or, with `*`, any value; "0" ' +
    'stands for no value'
}))
const ttl = Type.Optional(Type.Number({
  minimum: 0.001, maximum: 2 ** 32, description: 'Seconds until the key expires, whether used or not'
}))
const release = Type.Optional(
  Type.Boolean({ description: 'With Lock-Token: also releases the lock, even if the change fails' })
)

export const WaitHeaders = Type.Object({ prefer: Prefer })
export const ReadHeaders = Type.Object({
  prefer: Prefer,
  'lock-token': LockToken,
  'if-none-match': Type.Optional(
    Type.String({ maxLength: 1024, description: '304 if the key has one of these versions, or, with `*`, any value' })
  )
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
    description: 'A token for the lock, chosen by the client and never used before. A retry with the same token ' +
      'gets the same grant; and the lock, or the wait for it, can be released with it even if the response was lost'
  }))
})
export const HolderHeaders = Type.Object({
  'lock-token': Type.Optional(Type.String({ maxLength: 1024, description: 'Token of the lock' }))
})

export const ReadQuery = Type.Object(
  { peek: Type.Optional(Type.Boolean({ description: 'true: does not count as a use of the key' })) }, strict
)
export const WriteQuery = Type.Object({ ttl, release }, strict)
export const DeleteQuery = Type.Object({ release }, strict)
export const ReleaseQuery = Type.Object({
  force: Type.Optional(Type.Boolean({ description: 'true: breaks the lock, whoever holds it' })),
  fence: Type.Optional(
    whole('With force: breaks only the lock with this fence; 409 if the key has been locked again since')
  )
}, strict)
export const cursor = Type.Optional(
  Type.String({ pattern: '^[!-~]{1,2048}$', maxLength: 2048, description: 'The cursor of the previous page' })
)
const nextCursor = Type.Optional(
  Type.String({ maxLength: 2048, description: 'Cursor of the next page; absent on the last one' })
)
export const CollectionsQuery = Type.Object({
  cursor,
  limit: Type.Optional(Type.Number({
    minimum: 1, maximum: 1000, multipleOf: 1, description: 'Maximum number of collections. Default: 100'
  }))
}, strict)
export const PageQuery = Type.Object({
  prefix: Type.Optional(name('Only keys with this prefix')),
  cursor,
  limit: Type.Optional(
    Type.Number({ minimum: 1, maximum: 1000, multipleOf: 1, description: 'Number of keys to examine. Default: 100' })
  ),
  values: Type.Optional(Type.Boolean({ description: 'Include values' }))
}, strict)

export const LocksQuery = Type.Object({
  limit: Type.Optional(
    Type.Number({
      minimum: 1,
      maximum: MAX_LOCKS,
      multipleOf: 1,
      description: 'Maximum number of locks. Default: 1000. If that many are returned, there may be more'
    })
  )
}, strict)

const bounds = {
  expireKeys: Type.Number({
    minimum: 0, maximum: 2 ** 32, description: 'Seconds without use after which a key expires; 0: never'
  }),
  maxKeys: whole('Maximum number of keys; 0: unlimited'),
  maxBytes: whole('Maximum number of bytes of names and values; 0: unlimited'),
  evict: Type.Boolean({
    description: 'When full: true evicts the least recently used keys, false rejects writes with 507'
  })
}

/** Of collections in a store with `data`. */
const persistence = {
  keep: Type.Optional(Type.Boolean({ description: 'Whether a store with `data` saves the keys' })),
  durable: Type.Optional(Type.Boolean({ description: 'Whether writes are answered when they are on disk' }))
}

const near = Type.Optional(Type.Number({
  minimum: 0, maximum: 1, description: 'Lease in seconds for which a process may answer reads from its own copies; 0: off'
}))

export const Bounds = Type.Partial(Type.Object({ ...bounds, ...persistence, near }), strict)
export const Change = Type.Union([
  Type.Object({
    increment: Type.Number({ description: 'Amount to add; a key without a value counts as 0' }),
    down: Type.Optional(Type.Boolean({ description: 'Decrements an existing key, not below 0' })),
    ttl,
    limit: Type.Optional(Type.Number({ description: 'A sum above it restarts the ttl' })),
    backoff: Type.Optional(Type.Boolean({ description: 'With limit: doubles the ttl for each one above it' }))
  }, strict),
  Type.Object(
    { touch: Type.Literal(true, { description: 'Counts as a use of the key, and sets its ttl if given' }), ttl }, strict
  )
], { description: '{"increment": number} or {"touch": true}, with options of that kind' })
export const Acquire = Type.Object({
  lease: Type.Optional(
    Type.Number({
      minimum: 0.001,
      maximum: 2 ** 32,
      description: 'Seconds after which the lock ends unless renewed. Default: 30, or the server\'s maximum if less'
    })
  ),
  owner: Type.Optional(
    name('Display name of the owner. Default: the client\'s address. The name of the token is added')
  )
}, strict)
export const Renew = Type.Object({ lease: Type.Optional(Acquire.properties.lease) }, strict)

// Responses.

export const counts = {
  keys: whole('Keys with a value'),
  bytes: whole('Bytes of names and values'),
  locks: whole('Locked keys'),
  waiters: whole('Calls waiting for a locked key'),
  reads: whole('Reads so far'),
  writes: whole('Writes so far'),
  expired: whole('Expired keys so far'),
  evicted: whole('Evicted keys so far')
}

export const Collection = Type.Object({ name: name('Its name'), ...counts, ...bounds, ...persistence, near })
export const Collections = Type.Object({ collections: Type.Array(Collection, { maxItems: 1000 }), cursor: nextCursor })
export const Page = Type.Object({
  keys: Type.Array(Type.Object({
    key: name('Its name'),
    version: whole('Its version, as in its ETag'),
    bytes: whole('Bytes of its value'),
    expiresAt: Type.Optional(moment('When it expires unless it is used before')),
    value: Type.Optional(Type.Unknown({ description: 'The value, if values were requested' })),
    code: Type.Optional(Type.String({ maxLength: 64, description: 'Code of the error if the value could not be read' }))
  }), { maxItems: 10_000 }),
  cursor: nextCursor
})
export const Sum = Type.Object({
  value: Type.Number({ description: 'The sum' }),
  version: Type.Optional(whole('The new version; absent after a decrement'))
})

const lock = {
  collection: name('The collection'),
  key: name('The key'),
  owner: name('Its owner'),
  fence: whole('Increases with every grant'),
  since: moment('When it was granted'),
  expiresAt: Type.Optional(moment('When its lease ends; absent if it ends with its holder')),
  waiters: whole('Calls waiting for it')
}
export const Locks = Type.Object({ locks: Type.Array(Type.Object(lock), { maxItems: MAX_LOCKS }) })
export const Lock = Type.Object({
  ...lock,
  queue: Type.Array(Type.Object({
    owner: name('Owner of the call'),
    op: Type.String({ maxLength: 16, description: 'Operation' }),
    since: moment('Start of the wait')
  }), {
    maxItems: 100, description: 'The first hundred waiters, in order'
  })
})
export const Grant = Type.Object({
  token: Type.String({ maxLength: 128, description: 'To be sent as Lock-Token in later requests' }),
  fence: whole('Increases with every grant'),
  expiresAt: moment('When the lease ends'),
  owner: name('Its owner'),
  version: whole('The version of the key; 0 if it has no value'),
  value: Type.Optional(Type.Unknown({ description: 'The value, as it is stored; absent if the key has none' }))
})
export const Lease = Type.Object({
  expiresAt: Type.Optional(moment('When the lease ends; absent if the lock has no lease'))
})
export const Health = Type.Object({ status: Type.Literal('ok') })
export const PrometheusText = Type.String({
  maxLength: 10_000_000, description: 'Metrics in the text exposition format'
})
export const Value = Type.Unknown({ description: 'The JSON value itself' })

const HEADERS = {
  ETag: Type.String({ maxLength: 18, pattern: '^"[0-9]{1,16}"$', description: 'The version of the key' }),
  'X-TTL': Type.Number({
    minimum: 0, description: 'Remaining seconds of the key, or of the lease; absent if it does not expire'
  }),
  'X-Deleted': Type.String({ maxLength: 5, pattern: '^(true|false)$', description: 'Whether the key had a value' }),
  Location: Type.String({ format: 'uri-reference', maxLength: 8192, description: 'The lock' }),
  'Lock-Token': Type.String({ maxLength: 128, description: 'Token of the lock' })
}

/** A response with these headers, in addition to the common ones. */
export function withHeaders<T extends TSchema> (schema: T, ...names: Array<keyof typeof HEADERS>): T {
  return { ...schema, headers: Object.fromEntries(names.map(name => [name, { ...HEADERS[name] }])) }
}

/** A response without a body, which the generator of openapi.yaml knows by type null. */
export const NOTHING = Type.Null({ description: 'Done' })

/** RFC 9457. */
export const Problem = Type.Object({
  type: Type.String({ format: 'uri', maxLength: 64 }),
  title: Type.String({ maxLength: 256 }),
  status: Type.Integer({ minimum: 400, maximum: 599, format: 'int32' }),
  code: Type.Optional(
    Type.String({ maxLength: 64, description: 'Stable code of the error; absent if the app refused the request' })
  ),
  detail: Type.Optional(Type.String({ maxLength: 4096 })),
  holder: Type.Optional(Type.String({ maxLength: 1024, description: 'With 423: owner of the lock' })),
  since: Type.Optional(moment('With 423: when it was granted')),
  expiresAt: Type.Optional(moment('With 423: when the lease ends; absent if the lock ends with its holder')),
  waiters: Type.Optional(whole('With 423: calls waiting for it')),
  line: Type.Optional(whole('Of an import: the number of the line that failed'))
}, { $id: 'Problem' })
const problem = (description: string): object => ({
  description, content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } }
})

/** Responses of every route. */
export const FAILURES = {
  400: problem('The request is malformed'),
  401: problem('The token is missing or wrong'),
  403: problem('The token has read access only, or does not cover the collection'),
  429: problem('Too many failed authentications, too many calls waiting for the key, or a rate limit of the app'),
  503: problem('The store cannot be reached')
}
export const NOT_FOUND = { 404: problem('Not found') }
export const TOO_OLD = { 410: problem('The changes since then are no longer available') }
export const LOCKED = { 423: problem('The key is locked') }
export const CONFLICT = { 409: problem('The lock is not held with this token, or the value is not a number') }
export const CHANGED = { 412: problem('The key has another version') }
export const BODY = {
  413: problem('The value is too large'),
  415: problem('The body is not of the described type in UTF-8, or is compressed'),
  507: problem('The collection is full')
}
