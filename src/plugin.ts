// Fastify: `app.store` for the life of the server, `req.store` for that of a request.
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { StoreError } from './errors.js'
import { storeForResponse } from './request-scope.js'
import { pickStore, type PickOptions, type Store } from './store.js'

export type StrongStoreOptions = PickOptions

declare module 'fastify' {
  interface FastifyInstance {
    store: Store
  }
  interface FastifyRequest {
    /** The store for the time of this request: its locks and its waits end with the response. */
    readonly store: Store
  }
}

const REPLY = Symbol('strong-store.reply')
const SCOPED = Symbol('strong-store.scoped')

interface Decorated extends FastifyRequest {
  [REPLY]: FastifyReply
  [SCOPED]: Store | null
}

const plugin: FastifyPluginAsync<StrongStoreOptions> = async (app, options) => {
  if (app.hasDecorator('store')) {
    throw new StoreError('STORE_OPTION_INVALID', 'app.store is there already: register strong-store once, on the app that all routes share')
  }
  const store = pickStore(options)
  app.decorate('store', store)
  app.decorateRequest(REPLY)
  app.decorateRequest(SCOPED, null)
  app.decorateRequest('store', {
    getter (this: FastifyRequest) {
      const request = this as Decorated
      request[SCOPED] ??= storeForResponse(store, request[REPLY].raw)
      return request[SCOPED]
    }
  })
  app.addHook('onRequest', (request, reply, done) => {
    (request as Decorated)[REPLY] = reply
    done()
  })
  if (options.store === undefined && !store.isShared) app.addHook('onClose', async () => { await store.close() })
}

/** `app.register(strongStore, options)`: adds `app.store` and `req.store`. Throws STORE_OPTION_INVALID. */
export const strongStore = fastifyPlugin(plugin, { name: 'strong-store', fastify: '5.x' })
export default strongStore
