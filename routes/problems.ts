// Failures as problem documents (RFC 9457).
import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { ERRORS, type StoreError, isErrorCode } from '../src/core/errors.js'
import type { Store } from '../src/api/store.js'

/** What the admin API adds to the codes of the store. */
export const PROBLEMS = {
  ADMIN_TOKEN_WRONG: { status: 401, meaning: 'A bearer token is needed, and it must be the right one' },
  ADMIN_READ_ONLY: { status: 403, meaning: 'This token may read, but change nothing' },
  ADMIN_NOT_FOUND: { status: 404, meaning: 'There is no such thing' },
  ADMIN_TOO_MANY_TRIES: { status: 429, meaning: 'Too many tries with a wrong token; wait until the minute is over' }
} as const

export type ProblemCode = keyof typeof PROBLEMS

export class Problem extends Error {
  constructor (readonly code: ProblemCode, detail?: string) {
    super(detail ?? '')
  }
}

/** Fastify's codes that say the same as one of ours. */
const SAME: Record<string, keyof typeof ERRORS> = {
  FST_ERR_VALIDATION: 'STORE_OPTION_INVALID',
  FST_ERR_CTP_BODY_TOO_LARGE: 'STORE_VALUE_TOO_LARGE',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'STORE_VALUE_INVALID',
  FST_ERR_CTP_INVALID_JSON_BODY: 'STORE_VALUE_INVALID',
  FST_ERR_MAX_PARAM_LENGTH: 'STORE_KEY_INVALID'
}

/** The error handler of the admin API. Nothing is logged: details may hold what was sent. */
export function problemHandler (store: Store) {
  return async (error: Error & { code?: string | undefined } | StoreError | Problem, request: FastifyRequest, reply: FastifyReply): Promise<string> => {
    const code = SAME[error.code!] ?? error.code
    const kind = code === undefined ? undefined : isErrorCode(code) ? ERRORS[code] : PROBLEMS[code as ProblemCode]
    const status: number = kind?.status ?? (error as FastifyError).statusCode ?? 500
    reply.code(status).header('cache-control', 'no-store').type('application/problem+json')
    if (status === 401 && !reply.hasHeader('www-authenticate')) reply.header('www-authenticate', 'Bearer realm="strong-store"')
    if (status === 413) reply.header('connection', 'close') // the rest of the body is not worth reading
    if (status === 429 && !reply.hasHeader('retry-after')) reply.header('retry-after', '1')
    return JSON.stringify({
      type: code === undefined ? 'about:blank' : `urn:strong-store:${code}`,
      title: kind?.meaning ?? STATUS_CODES[status] ?? 'Error',
      status,
      code,
      detail: status === 500 || error.message === '' ? undefined : error.message,
      ...status === 423 ? await holder(store, request, reply) : undefined
    })
  }
}

/** Ends a request whose answer has no body. */
export function done (reply: FastifyReply<any, any, any, any, any, any, any, any>, status: number): FastifyReply {
  return (reply as unknown as FastifyReply).code(status).send()
}

/** Who is in the way. */
async function holder (store: Store, request: FastifyRequest, reply: FastifyReply): Promise<object> {
  reply.header('retry-after', '1')
  const { collection, '*': key } = request.params as { collection: string, '*': string }
  const info = key === undefined ? undefined : await store.collection(collection).lockInfo(key, { timeout: 1 }).catch(() => undefined)
  return info === undefined ? {} : { holder: info.owner, since: info.since, expiresAt: info.expiresAt, waiters: info.waiters }
}
