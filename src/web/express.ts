// Middleware for Express 4 and 5: `req.store` and the admin API, like the Fastify plugin.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { checkAdmin, type AdminOptions } from '../../routes/admin.js'
import installedVersion from '../../routes/installed-version.cjs'
import { StoreError } from '../core/errors.js'
import { runFor } from './request-context.js'
import { RequestScope } from './request-scope.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'

declare global {

  namespace Express {
    interface Request {
      /**
       * The store, scoped to this request: changes under its locks are committed before the response, its waits end
       * with it.
       */
      readonly store: Store
    }
  }
}

export type ExpressMiddleware =
  (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void

/** `app.use(expressStore())`: adds `req.store`. Throws STORE_OPTION_INVALID. */
export function expressStore (options: PickOptions = {}): ExpressMiddleware {
  const store = pickStore(options)
  return (request, response, next) => {
    let scoped: Store | undefined
    const scope = (): Store => {
      const scope = RequestScope.of(response)
      scope.refuse = next
      return store.within(scope)
    }
    Object.defineProperty(request, 'store', {
      configurable: true,
      get () {
        scoped ??= scope()
        return scoped
      }
    })
    runFor(request, response, next)
  }
}

export type ExpressErrorMiddleware = (
  error: unknown, request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void
) => void

/**
 * `app.use(expressStoreErrors())`, after the routes and before other error handlers: drops the changes that a failed
 * handler made under its locks. Without it they are committed if an error handler answers with a status below 500,
 * because Express reports errors to error handlers only.
 */
export function expressStoreErrors (): ExpressErrorMiddleware {
  return (error, _request, response, next) => { // Express recognizes an error handler by its four parameters
    RequestScope.of(response).drop()
    next(error)
  }
}

export interface ExpressAdminOptions extends PickOptions {
  /** As for the Fastify plugin; `app.use` sets the prefix. */
  admin: Omit<AdminOptions, 'prefix'>
}

/**
 * `app.use('/_store/v1', expressAdmin({ admin: { token } }))`: serves the admin API. Mount it before body parsers. It
 * requires the package fastify, version 5, which routes the requests without listening itself.
 * Throws STORE_OPTION_INVALID, also if fastify is not installed or has another version.
 */
export function expressAdmin ({ admin, ...options }: ExpressAdminOptions): ExpressMiddleware {
  checkAdmin(admin)
  if ((admin as AdminOptions).prefix !== undefined) {
    const message = 'pass the prefix to app.use instead: app.use(prefix, expressAdmin(…))'
    throw new StoreError('STORE_OPTION_INVALID', message)
  }
  const version = installedVersion('fastify')
  if (version !== undefined && !version.startsWith('5.')) {
    const found = version === '' ? '' : `, found version ${version}`
    throw new StoreError('STORE_OPTION_INVALID', NEEDS_FASTIFY + found)
  }
  const store = pickStore(options)
  const app = load(store, admin)
  app.catch(() => {}) // each request reports it
  return (request, response, next) => {
    if ((request as { body?: unknown }).body !== undefined && request.readableEnded) {
      const message = 'the body was read already: mount the admin API before express.json()'
      next(new StoreError('STORE_OPTION_INVALID', message))
      return
    }
    app.then(app => { app.routing(request, response) }, next)
  }
}

const NEEDS_FASTIFY = 'the admin API requires the package fastify, version 5: npm install fastify@5'

interface AdminApp {
  routing (request: IncomingMessage, response: ServerResponse): void
}

async function load (store: Store, options: Omit<AdminOptions, 'prefix'>): Promise<AdminApp> {
  const { adminApp } = await import('../../routes/index.js').catch(cause => {
    throw new StoreError('STORE_OPTION_INVALID', NEEDS_FASTIFY, { cause })
  })
  const app = adminApp(store, options)
  await app.ready()
  return app
}
