// The admin API's options, and what its routes have in common. It loads without Fastify.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest, RawServerDefault } from 'fastify'
import { MIN_SECONDS, onlyKnown } from '../src/core/validation.js'
import { StoreError } from '../src/core/errors.js'
import type { Store } from '../src/api/store.js'
import type { PreferredWait } from './prefer.js'

export interface AdminOptions {
  /** Whoever sends `Authorization: Bearer TOKEN` may do everything. */
  token?: string | undefined
  /** A second token, with which one may read, but change nothing. Default: none. */
  readToken?: string | undefined
  /** False: no token is asked for, because something else sees to it who can get here. */
  auth?: false | undefined
  /** Where it is, from the root of the server. Default '/_store/v1'. */
  prefix?: string | undefined
  /** Seconds that a lease can be at most. Default 3600. */
  maxLease?: number | undefined
  /** Seconds that a request may wait for a lock at most. Default 600. */
  maxWait?: number | undefined
}

export type App = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>

export interface Admin {
  app: App
  store: Store
  waiting: PreferredWait
  maxLease: number
}

/** The client, as the server in front sees it, which may trust proxies: it leaves it at Node's request, as Express does. */
export function addressOf (request: Pick<FastifyRequest, 'raw' | 'ip'>): string {
  const { raw, ip } = request as { raw: { ip?: string }, ip: string | undefined } // none on a Unix socket
  return raw.ip ?? ip ?? 'local'
}

const OPTIONS = ['prefix', 'token', 'readToken', 'auth', 'maxLease', 'maxWait']

/** STORE_OPTION_INVALID. */
export function checkAdmin (options: AdminOptions = {}): void {
  onlyKnown(options, OPTIONS)
  const { token, readToken, auth, maxLease, maxWait } = options
  for (const [name, value] of Object.entries({ maxLease, maxWait })) {
    if (value !== undefined && !(typeof value === 'number' && value >= MIN_SECONDS)) throw new StoreError('STORE_OPTION_INVALID', `${name} must be a number of seconds`)
  }
  if (auth === false) return
  if (token === undefined) {
    throw new StoreError('STORE_OPTION_INVALID', 'the admin API needs a token, or auth: false where something else protects it')
  }
  for (const [name, value] of Object.entries({ token, readToken })) {
    if (value !== undefined && !(typeof value === 'string' && /^[\x21-\x7e]+$/.test(value))) throw new StoreError('STORE_OPTION_INVALID', `${name} must have visible ASCII characters only`)
  }
  if (readToken === token) throw new StoreError('STORE_OPTION_INVALID', 'readToken must be another than token')
}
