// Errors as problem documents (RFC 9457).
import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { ERRORS, StoreError } from '../src/core/errors.js'
import type { Store } from '../src/api/store.js'
import { discardBody } from '../src/web/transport.js'
import { frontOf } from './front.js'

/** Codes of the admin API, in addition to those of the store. */
export const PROBLEMS = {
  ADMIN_URL_INVALID: { status: 400, meaning: 'The URL is not percent-encoded UTF-8' },
  ADMIN_TOKEN_WRONG: { status: 401, meaning: 'The request needs a valid bearer token' },
  ADMIN_READ_ONLY: { status: 403, meaning: 'The token has read access only' },
  ADMIN_OUT_OF_SCOPE: { status: 403, meaning: 'The token does not cover this collection' },
  ADMIN_NOT_FOUND: { status: 404, meaning: 'There is no such key, lock, collection or path' },
  ADMIN_METHOD_NOT_ALLOWED: {
    status: 405, meaning: 'The path does not support this method; the Allow header lists those it supports'
  },
  ADMIN_TOO_OLD: { status: 410, meaning: 'The changes since that revision are no longer available' },
  ADMIN_UNSUPPORTED_MEDIA_TYPE: {
    status: 415, meaning: 'The body must be application/json, or application/x-ndjson for an import, in UTF-8 and uncompressed'
  },
  ADMIN_TOO_MANY_TRIES: {
    status: 429, meaning: 'Too many failed authentications from this address; try again in a minute'
  },
  ADMIN_TOKENS_UNAVAILABLE: { status: 503, meaning: 'The list of tokens cannot be read' }
} as const

export type ProblemCode = keyof typeof PROBLEMS

export class Problem extends Error {
  constructor (readonly code: ProblemCode, detail?: string) {
    super(detail ?? '')
  }
}

const KINDS = { ...ERRORS, ...PROBLEMS }
type Code = keyof typeof KINDS

/** Equivalents of Fastify's codes; its other codes are not sent to clients. */
const OURS: Record<string, Code> = {
  FST_ERR_VALIDATION: 'STORE_OPTION_INVALID',
  FST_ERR_CTP_BODY_TOO_LARGE: 'STORE_VALUE_TOO_LARGE',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'STORE_VALUE_INVALID',
  FST_ERR_CTP_INVALID_JSON_BODY: 'STORE_VALUE_INVALID',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'ADMIN_UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_BAD_URL: 'ADMIN_URL_INVALID',
  FST_ERR_MAX_PARAM_LENGTH: 'STORE_KEY_INVALID'
}

type Failure = Error & { code?: string | undefined, statusCode?: number | undefined, line?: number | undefined }

/** The error handler of the admin API. */
export function problemHandler (store: Store) {
  return async (
    error: Failure | FastifyError | StoreError | Problem, request: FastifyRequest, reply: FastifyReply
  ): Promise<string> => {
    const code = codeOf(error)
    const kind = code === undefined ? undefined : KINDS[code]
    const status = kind?.status ?? statusOf(error)
    const title = kind?.meaning ?? STATUS_CODES[status] ?? 'Error'
    if (kind === undefined && status >= 500) {
      const { method, routeOptions: { url } } = request
      frontOf(request).log.error({ err: traceOf(error), method, route: url }, 'the admin API failed unexpectedly')
    }
    reply.code(status).header('cache-control', 'no-store').type('application/problem+json')
    if (status === 401 && !reply.hasHeader('www-authenticate')) {
      reply.header('www-authenticate', 'Bearer realm="strong-store"')
    }
    if (status === 429 && !reply.hasHeader('retry-after')) reply.header('retry-after', '1')
    const details = status === 423 ? await holder(store, request, reply) : undefined
    if (await isArriving(request)) stopSender(reply)
    return JSON.stringify({
      type: code === undefined ? 'about:blank' : `urn:strong-store:${code}`,
      title,
      status,
      code,
      detail: detailOf(error, title, status),
      line: (error as Failure).line,
      ...details
    })
  }
}

/** An error for the log: its stack without the message, which may quote a value or a token. */
export function traceOf ({ name, code, stack = '' }: Failure): object {
  return { type: name, code, stack: [name, ...stack.split('\n').filter(line => /^\s+at /.test(line))].join('\n') }
}

/** Sends a response without a body. */
export function done (reply: FastifyReply<any, any, any, any, any, any, any, any>, status: number): FastifyReply {
  return (reply as unknown as FastifyReply).code(status).send()
}

function codeOf ({ code }: Failure): Code | undefined {
  if (typeof code !== 'string') return undefined
  if (Object.hasOwn(KINDS, code)) return code as Code
  return Object.hasOwn(OURS, code) ? OURS[code] : undefined
}

function statusOf ({ statusCode }: Failure): number {
  return Number.isInteger(statusCode) && statusCode! >= 400 && statusCode! <= 599 ? statusCode! : 500
}

/** Details of this error, unless they repeat its title or might expose internals. */
function detailOf (error: Failure | StoreError, title: string, status: number): string | undefined {
  const detail = error instanceof StoreError ? error.detail : error.message
  return status === 500 || detail === '' || detail === title ? undefined : detail
}

/** Whether the body of the request is still arriving. */
async function isArriving ({ raw }: FastifyRequest): Promise<boolean> {
  if (raw.complete !== false) return false
  await new Promise(resolve => { setImmediate(resolve) }) // a body in the same packet as the head is parsed later
  return !raw.complete
}

/** Stops reading the body: closes the connection of HTTP/1.1, discards the rest of an HTTP/2 stream. */
function stopSender (reply: FastifyReply): void {
  if (discardBody(reply.raw)) reply.removeHeader('connection') // which Fastify sets in some cases
  else reply.header('connection', 'close')
}

/** Members of a 423 that describe the holder of the lock. */
async function holder (store: Store, request: FastifyRequest, reply: FastifyReply): Promise<object> {
  reply.header('retry-after', '1')
  const { collection, '*': key } = request.params as { collection: string, '*': string }
  const info = key === undefined
    ? undefined
    : await store.collection(collection).lockInfo(key, {
      timeout: 1
    }).catch(() => undefined)
  return info === undefined
    ? {}
    : {
        holder: info.owner, since: info.since, expiresAt: info.expiresAt, waiters: info.waiters
      }
}
