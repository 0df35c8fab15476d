// The admin API: a Fastify of its own that never listens. Whatever server there is hands its requests on to it; so it needs no
// more of that server than Node's own request and response, and names of the full length fit into its paths.
import { TypeBoxValidatorCompiler, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify from 'fastify'
import type { Store } from '../src/api/store.js'
import { checkAdmin, type Admin, type AdminOptions, type App } from './admin.js'
import { authenticator } from './auth.js'
import { callRoutes } from './calls.js'
import { collectionRoutes } from './collections.js'
import { healthRoutes } from './health.js'
import { keyRoutes } from './keys.js'
import { lockRoutes } from './locks.js'
import { manyRoutes } from './many.js'
import { metricsRoute } from './metrics.js'
import { Problem, problemHandler } from './problems.js'
import { Problem as ProblemDocument } from './schemas.js'
import { PreferredWait } from './prefer.js'

export { problemHandler }

/** Characters of a percent-encoded name that is too long for sure. */
const MAX_PARAM = 4096
/** Above what any store takes; what a store does take is checked as the body arrives. */
const MAX_BODY = 64 * 2 ** 20

/** The admin API of a store, not ready yet. `plugins`: what has to be there before the routes. STORE_OPTION_INVALID. */
export function adminApp (store: Store, options: AdminOptions = {}, plugins?: (app: App) => void): App {
  checkAdmin(options)
  const { prefix = '', maxLease = 3600, maxWait = 600 } = options
  const handle = problemHandler(store)
  const app = Fastify({
    bodyLimit: MAX_BODY,
    routerOptions: { maxParamLength: MAX_PARAM },
    frameworkErrors: (error, request, reply) => { handle(error, request, reply).then(text => { reply.send(text as never) }, () => {}) }
  }).withTypeProvider<TypeBoxTypeProvider>().setValidatorCompiler(TypeBoxValidatorCompiler)
  app.removeContentTypeParser('text/plain')
  app.addSchema(ProblemDocument)
  app.setErrorHandler(handle)
  app.setNotFoundHandler(() => { throw new Problem('ADMIN_NOT_FOUND') })
  app.addHook('onRequest', authenticator(store, options))
  plugins?.(app)
  app.register(async app => {
    const admin: Admin = { app: app.withTypeProvider<TypeBoxTypeProvider>(), store, waiting: new PreferredWait(store, maxWait), maxLease }
    healthRoutes(admin)
    collectionRoutes(admin)
    keyRoutes(admin)
    lockRoutes(admin)
    metricsRoute(admin)
    manyRoutes(admin)
    callRoutes(admin)
  }, { prefix })
  return app
}
