// The Fastify plugin: adds `app.store` for the lifetime of the app and `req.store` for that of a request.
import type { Readable } from 'node:stream'
import type {
  FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, RegisterOptions, RouteHandlerMethod,
  onSendHookHandler
} from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import type { AdminOptions } from '../../routes/admin.js'
import { StoreError } from '../core/errors.js'
import { mountAdmin } from './admin-mount.js'
import { runFor } from './request-context.js'
import { RequestScope } from './request-scope.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'

export interface StrongStoreOptions extends PickOptions {
  /** Serves the admin API with these options. Default: it is not served. */
  admin?: AdminOptions | undefined
}

declare module 'fastify' {
  interface FastifyInstance {
    store: Store
  }
  interface FastifyRequest {
    /**
     * The store, scoped to this request: changes under its locks are committed before the reply, its waits end with
     * it.
     */
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
  /** The promise returned by the handler. */
  [RUNNING]: PromiseLike<unknown> | null
}

const plugin: FastifyPluginAsync<StrongStoreOptions & RegisterOptions> = async (app, all) => {
  // `prefix` is Fastify's: it has no meaning here, since the decorators are added to the app and `admin` has its own.
  const { admin, prefix, logLevel, logSerializers, ...options } = all
  if (app.hasDecorator('store')) {
    const advice = 'register strong-store once, on the app that all routes share'
    throw new StoreError('STORE_OPTION_INVALID', `app.store exists already: ${advice}`)
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
    runFor(request.raw, reply.raw, done)
  })
  app.addHook('onRoute', route => { route.handler = watched(route.handler) })
  app.addHook('onSend', commitFirst)
  if (admin !== undefined) await mountAdmin(app, store, admin, { logLevel, logSerializers })
  if (options.store === undefined && !store.isShared) app.addHook('onClose', async () => { await store.close() })
}

function scopeOf (request: Decorated): RequestScope {
  const scope = RequestScope.of(request[REPLY].raw)
  scope.onlock = () => { watchEnd(request) }
  request[SCOPE] = scope
  return scope
}

/** Wraps a handler to know when it finishes, even without a reply: as when its client has disconnected. */
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

/** Notifies the scope of a request that holds locks when its handler finishes. */
function watchEnd (request: Decorated): void {
  const scope = request[SCOPE]!
  const { raw } = request[REPLY]
  request[RUNNING]?.then(() => {
    const isHijacked = request[REPLY].sent && !raw.writableEnded // then it finishes with the response
    if (!isHijacked && !scope.isClosing) scope.handled()
  }, () => {
    scope.drop()
    scope.handled()
  })
}

/** Holds a reply back until the changes made by its request are committed. */
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
  // Keeps Fastify from sending again when an async handler that has called reply.send resolves.
  Object.defineProperty(reply, 'sent', { configurable: true, value: true })
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
  // If the handler has thrown, whatever the status of its error, `watched` drops the changes before this microtask.
  Promise.resolve().then(() => scope.commit()).then(() => { finish(null) }, finish)
}

/** `app.register(strongStore, options)`: adds `app.store` and `req.store`. Throws STORE_OPTION_INVALID. */
export const strongStore = fastifyPlugin(plugin, { name: 'strong-store', fastify: '5.x' })
export default strongStore
