// Express 4 and 5: `req.store`, as the Fastify plugin gives it.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { storeForResponse } from '../request-scope.js'
import { pickStore, type PickOptions, type Store } from '../store.js'

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
    next()
  }
}
