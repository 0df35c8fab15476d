// Fastify: `app.store` for the life of the server, `req.store` for that of a request.
import type { Readable } from 'node:stream'
import type {
  FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, RegisterOptions, RouteHandlerMethod, RouteShorthandOptions, onSendHookHandler
} from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { pathOf, type AdminOptions } from '../../routes/admin.js'
import { FRONT, type Front } from '../../routes/front.js'
import { StoreError } from '../core/errors.js'
import { runFor } from './current-response.js'
import { RequestScope } from './request-scope.js'
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
    /** The store for the time of this request: what is changed under its locks is committed before the reply, its waits end with it. */
    readonly store: Store
  }
}

const REPLY = Symbol('strong-store.reply')
const SCOPED = Symbol('strong-store.scoped')
const SCOPE = Symbol('strong-store.scope')
const RUNNING = Symbol('strong-store.running')

interface Decorated extends FastifyRequest {
  [REPLY]: FastifyReply
  [SCOPED]: Store | null
  [SCOPE]: RequestScope | null
  /** The handler's promise, once it has been called. */
  [RUNNING]: PromiseLike<unknown> | null
}

/** Options that are Fastify's own. `prefix` means nothing to a plugin that adds to the app itself: the admin API has its own. */
const plugin: FastifyPluginAsync<StrongStoreOptions & RegisterOptions> = async (app, { admin, prefix, logLevel, logSerializers, ...options }) => {
  if (app.hasDecorator('store')) {
    throw new StoreError('STORE_OPTION_INVALID', 'app.store is there already: register strong-store once, on the app that all routes share')
  }
  const store = pickStore(options)
  app.decorate('store', store)
  app.decorateRequest(REPLY)
  app.decorateRequest(SCOPED, null)
  app.decorateRequest(SCOPE, null)
  app.decorateRequest(RUNNING, null)
  app.decorateRequest('store', {
    getter (this: FastifyRequest) {
      const request = this as Decorated
      request[SCOPED] ??= store.within(scopeOf(request))
      return request[SCOPED]
    }
  })
  app.addHook('onRequest', (request, reply, done) => {
    (request as Decorated)[REPLY] = reply
    runFor(reply.raw, done)
  })
  app.addHook('onRoute', route => { route.handler = watched(route.handler) })
  app.addHook('onSend', commitFirst)
  if (admin !== undefined) await serveAdmin(app, store, admin, { logLevel, logSerializers })
  if (options.store === undefined && !store.isShared) app.addHook('onClose', async () => { await store.close() })
}

function scopeOf (request: Decorated): RequestScope {
  const scope = RequestScope.of(request[REPLY].raw)
  scope.onlock = () => { watchEnd(request) }
  request[SCOPE] = scope
  return scope
}

/** A handler whose end can be seen, also where it sends nothing: as it does when its client has gone. */
function watched (handler: RouteHandlerMethod): RouteHandlerMethod {
  return function (this: FastifyInstance, request, reply) {
    try {
      const result: unknown = handler.call(this, request, reply)
      const decorated = request as Decorated
      if (result instanceof Promise) decorated[RUNNING] = result
      if (decorated[SCOPE] !== null && decorated[SCOPE].locks.size > 0) watchEnd(decorated)
      return result
    } catch (error) {
      (request as Decorated)[SCOPE]?.drop()
      throw error
    }
  }
}

/** Where a lock is held. */
function watchEnd (request: Decorated): void {
  const scope = request[SCOPE]!
  const { raw } = request[REPLY]
  request[RUNNING]?.then(() => {
    const isHijacked = request[REPLY].sent && !raw.writableEnded // it ends when the response is ended
    if (!isHijacked && !scope.isClosing) scope.handled()
  }, () => {
    scope.drop()
    scope.handled()
  })
}

/** No answer leaves before what it tells of is committed. */
const commitFirst: onSendHookHandler = (request, reply, payload, done) => {
  const scope = (request as Decorated)[SCOPE]
  if (scope === null) {
    done()
    return
  }
  if (scope.aborted || reply.statusCode >= 500) scope.drop()
  if (!scope.hasChanges) {
    scope.handled()
    done()
    return
  }
  Object.defineProperty(reply, 'sent', { configurable: true, value: true }) // an async handler that has called reply.send is not to send once more
  const finish = (error: Error | null): void => {
    delete (reply as { sent?: boolean }).sent
    scope.handled()
    if (error !== null) (payload as Partial<Readable> | null)?.destroy?.()
    try {
      if (error === null) done(null, payload)
      else done(error)
    } catch (error) {
      reply.send(error)
    }
  }
  // Where the handler has thrown, whatever the status of its error, the changes are dropped in this turn.
  Promise.resolve().then(() => scope.commit()).then(() => { finish(null) }, finish)
}

/**
 * Hands what comes in under the prefix on to the admin API before anything of it is read, with the headers that the app's hooks have set. Those of
 * type onRequest have run, also of the route, where limiters add theirs; and those of preParsing that are the app's.
 */
async function serveAdmin (app: FastifyInstance, store: Store, options: AdminOptions, logging: object): Promise<void> {
  const { adminApp, problemHandler } = await import('../../routes/index.js') // it is not loaded where it is not used
  const path = pathOf(options.prefix)
  const admin = adminApp(store, options, app.prefix.replace(/\/$/, '') + path)
  await admin.ready()
  const explain = problemHandler(store)
  const route: RouteShorthandOptions = {
    exposeHeadRoute: false,
    ...logging,
    schema: { hide: true } as object, // from a description of the app's own routes
    errorHandler: (error, request, reply) => {
      if (!(error instanceof StoreError) && (error.statusCode ?? 500) >= 500) throw error // for the app to tell
      explain(error, request, reply).then(text => { reply.send(text) }, () => {})
    },
    preParsing: (request, reply, payload) => {
      if (payload !== request.raw) throw new StoreError('STORE_OPTION_INVALID', 'a preParsing hook of the app has taken the body: keep it from the routes of the admin API')
      reply.hijack()
      for (const [name, value] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value!)
      admin.routing(Object.assign(request.raw, { [FRONT]: frontOf(request, reply) }), reply.raw)
    }
  }
  app.all(`${path}/*`, route, () => {})
  if (path !== '') app.all(path, route, () => {})
  app.addHook('onClose', async () => { await admin.close() })
}

/** What the admin API is to know of a request, whose further log lines name the token. */
function frontOf (request: FastifyRequest, reply: FastifyReply): Front {
  return {
    address: request.ip as string | undefined ?? 'local', // none on a Unix socket
    get log () { return request.log },
    identified: name => { request.log = reply.log = request.log.child({ adminToken: name }) }
  }
}

/** `app.register(strongStore, options)`: adds `app.store` and `req.store`. Throws STORE_OPTION_INVALID. */
export const strongStore = fastifyPlugin(plugin, { name: 'strong-store', fastify: '5.x' })
export default strongStore
