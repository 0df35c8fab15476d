// The admin API: a Fastify app of its own that never listens. The server that mounts it passes on Node's request and
// response, so any server can, and paths may be longer than that server's router allows.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify from 'fastify'
import type { Store } from '../src/api/store.js'
import { checkAdmin, type AdminOptions } from './admin.js'
import type { Admin, App } from './app.js'
import { AllowedMethods } from './allowed.js'
import { accessRoute } from './access.js'
import { authenticator } from './auth.js'
import { checkMedia } from './body.js'
import { callRoutes } from './calls.js'
import { endRequests } from './closing.js'
import { collectionRoutes } from './collections.js'
import { eventRoutes } from './events.js'
import { healthRoutes } from './health.js'
import { historyRoute } from './history.js'
import { keyRoutes } from './keys.js'
import { lockRoutes } from './locks.js'
import { manyRoutes } from './many.js'
import { metricsRoute } from './metrics.js'
import { Description } from './openapi.js'
import { pageRoutes } from './page.js'
import { problemHandler } from './problems.js'
import { Problem as ProblemDocument } from './schemas.js'
import { validatorCompiler } from './validation.js'
import { PreferredWait } from './prefer.js'
import { transferRoutes } from './transfer.js'

export { problemHandler }

/** Names that are longer when percent-encoded exceed 1 KiB in any case. */
const MAX_PARAM_LENGTH = 4096
/** More than any store accepts; the actual limit is checked while the body arrives. */
const MAX_BODY_BYTES = 64 * 2 ** 20

/**
 * Creates the admin API. `prefix` begins with a slash or is ''; `stopping` ends streams and waits.
 * STORE_OPTION_INVALID.
 */
export function adminApp (
  store: Store, options: AdminOptions, prefix = '', stopping: AbortSignal = new AbortController().signal
): App {
  checkAdmin(options)
  const { page = true, maxLease = 3600, maxWait = 600 } = options
  const handle = problemHandler(store)
  const app = Fastify({
    bodyLimit: MAX_BODY_BYTES,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors: (error, request, reply) => {
      handle(error, request, reply).then(text => { reply.send(text as never) }, () => {})
    }
  }).withTypeProvider<TypeBoxTypeProvider>()
    .setValidatorCompiler(validatorCompiler)
    .setSerializerCompiler(() => JSON.stringify)
  const allowed = new AllowedMethods()
  const description = new Description()
  app.removeContentTypeParser('text/plain')
  app.addSchema(ProblemDocument)
  app.setErrorHandler(handle)
  app.addHook('onRoute', route => {
    allowed.add(route)
    description.add(route, prefix)
  })
  endRequests(app, stopping)
  // In this order, so that unauthenticated requests cannot find out which paths exist.
  app.addHook('onRequest', authenticator(store, options))
  app.addHook('onRequest', (request, reply, done) => {
    if (request.is404) allowed.refuse(request, reply)
    checkMedia(request, reply)
    done()
  })
  app.register(async app => {
    const admin: Admin = {
      app: app.withTypeProvider<TypeBoxTypeProvider>(),
      store,
      waiting: new PreferredWait(store, maxWait, stopping),
      maxLease,
      stopping,
      describe: path => description.at(path)
    }
    healthRoutes(admin)
    accessRoute(admin)
    collectionRoutes(admin)
    keyRoutes(admin)
    lockRoutes(admin)
    metricsRoute(admin)
    manyRoutes(admin)
    callRoutes(admin)
    eventRoutes(admin)
    transferRoutes(admin)
    if (page) {
      pageRoutes(admin)
      historyRoute(admin)
    }
  }, { prefix })
  return app
}
