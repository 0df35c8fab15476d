// Types and dependencies shared by all routes of the admin API.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { Store } from '../src/api/store.js'
import type { PreferredWait } from './prefer.js'

export type App = FastifyInstance<
  RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider
>

export interface Admin {
  app: App
  store: Store
  waiting: PreferredWait
  maxLease: number
  /** Aborts when the server stops. Endless streams must end then. */
  stopping: AbortSignal
  /** The OpenAPI document of an API at this path, as YAML. */
  describe: (path: string) => string
}
