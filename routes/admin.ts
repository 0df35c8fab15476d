// The admin API's options, and what its routes have in common.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { Store } from '../src/store.js'
import type { Waiting } from './waiting.js'

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
  waiting: Waiting
  maxLease: number
}
