// Fastify: `app.store` for the life of the server, `req.store` for that of a request.
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import type { AdminOptions } from '../../routes/admin.js'
import { StoreError } from '../core/errors.js'
import { runFor } from './current-response.js'
import { storeForResponse } from './request-scope.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'

export interface StrongStoreOptions extends PickOptions {
  /** Serves the admin API: see AdminOptions. Default: it is not served. */
  admin?: AdminOptions | undefined
}

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

const plugin: FastifyPluginAsync<StrongStoreOptions> = async (app, { admin, ...options }) => {
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
    runFor(reply.raw, done)
  })
  if (admin !== undefined) await serveAdmin(app, store, admin)
  if (options.store === undefined && !store.isShared) app.addHook('onClose', async () => { await store.close() })
}

const ADMIN_PREFIX = '/_store/v1'

/**
 * Hands what comes in under the prefix on to the admin API before anything of it is read, with the headers that the app's hooks have set. Those of
 * type onRequest have run, also of the route, where limiters add theirs; and those of preParsing that are the app's.
 */
async function serveAdmin (app: FastifyInstance, store: Store, options: AdminOptions): Promise<void> {
  const prefix = options.prefix ?? ADMIN_PREFIX
  const { adminApp, problemHandler } = await import('../../routes/index.js') // it is not loaded where it is not used
  const admin = adminApp(store, { ...options, prefix: app.prefix + prefix })
  await admin.ready()
  const explain = problemHandler(store)
  app.all(`${prefix}/*`, {
    exposeHeadRoute: false,
    schema: { hide: true } as object, // from a description of the app's own routes
    errorHandler: (error, request, reply) => {
      if (!(error instanceof StoreError) && (error.statusCode ?? 500) >= 500) throw error // for the app to tell
      explain(error, request, reply).then(text => { reply.send(text) }, () => {})
    },
    preParsing: (request, reply, payload) => {
      if (payload !== request.raw) throw new StoreError('STORE_OPTION_INVALID', 'a preParsing hook of the app has taken the body: keep it from the routes of the admin API')
      reply.hijack()
      for (const [name, value] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value!)
      admin.routing(Object.assign(request.raw, { ip: request.ip }), reply.raw)
    }
  }, () => {})
  app.addHook('onClose', async () => { await admin.close() })
}

/** `app.register(strongStore, options)`: adds `app.store` and `req.store`. Throws STORE_OPTION_INVALID. */
export const strongStore = fastifyPlugin(plugin, { name: 'strong-store', fastify: '5.x' })
export default strongStore
