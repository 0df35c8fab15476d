// Express 4 and 5: `req.store`, as the Fastify plugin gives it.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { checkAdmin, type AdminOptions } from '../../routes/admin.js'
import { StoreError } from '../core/errors.js'
import { runFor } from './current-response.js'
import { storeForResponse } from './request-scope.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'

declare global {

  namespace Express {
    interface Request {
      /** The store for the time of this request: its locks and its waits end with the response. */
      readonly store: Store
    }
  }
}

export type ExpressMiddleware = (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void

/** `app.use(expressStore())`: adds `req.store`. Throws STORE_OPTION_INVALID. */
export function expressStore (options: PickOptions = {}): ExpressMiddleware {
  const store = pickStore(options)
  return (request, response, next) => {
    let scoped: Store | undefined
    Object.defineProperty(request, 'store', {
      configurable: true,
      get () {
        scoped ??= storeForResponse(store, response)
        return scoped
      }
    })
    runFor(response, next)
  }
}

export interface ExpressAdminOptions extends PickOptions {
  /** As for the Fastify plugin; the prefix is that of `app.use`. */
  admin: Omit<AdminOptions, 'prefix'>
}

/**
 * `app.use('/_store/v1', expressAdmin({ admin: { token } }))`: serves the admin API, before any parser of bodies. It needs the
 * package fastify, which routes its requests but does not listen; without it each request gets STORE_OPTION_INVALID. Throws STORE_OPTION_INVALID.
 */
export function expressAdmin ({ admin, ...options }: ExpressAdminOptions): ExpressMiddleware {
  checkAdmin(admin)
  const store = pickStore(options)
  const app = load(store, admin)
  app.catch(() => {}) // told to each request
  return (request, response, next) => {
    if ((request as { body?: unknown }).body !== undefined && request.readableEnded) {
      next(new StoreError('STORE_OPTION_INVALID', 'the body has been read already: mount the admin API before express.json()'))
      return
    }
    app.then(app => { app.routing(request, response) }, next)
  }
}

async function load (store: Store, options: Omit<AdminOptions, 'prefix'>): Promise<{ routing (request: IncomingMessage, response: ServerResponse): void }> {
  const { adminApp } = await import('../../routes/index.js').catch(cause => {
    throw new StoreError('STORE_OPTION_INVALID', 'the admin API needs the package fastify: npm install fastify', { cause })
  })
  const app = adminApp(store, options)
  await app.ready()
  return app
}
