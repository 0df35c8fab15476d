// Mounts the admin API in a Fastify app.
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import { pathOf, type AdminOptions } from '../../routes/admin.js'
import { FRONT, type Front } from '../../routes/front.js'
import type { Store } from '../api/store.js'
import { StoreError } from '../core/errors.js'

const BODY_TAKEN = 'a preParsing hook of the app has replaced the request body: exclude the routes of the admin API from it'

/**
 * Passes requests under the prefix to the admin API, itself a Fastify app, before their bodies are read. The app's
 * onRequest and preParsing hooks run first, rate limiters included; headers they have set are kept.
 */
export async function mountAdmin (
  app: FastifyInstance, store: Store, options: AdminOptions, logging: object
): Promise<void> {
  const { adminApp, problemHandler } = await import('../../routes/index.js') // loaded only by apps that serve it
  const path = pathOf(options.prefix)
  const stopping = new AbortController()
  const admin = adminApp(store, options, app.prefix.replace(/\/$/, '') + path, stopping.signal)
  await admin.ready()
  const explain = problemHandler(store)
  const route: RouteShorthandOptions = {
    exposeHeadRoute: false,
    ...logging,
    schema: { hide: true } as object, // keeps it out of the OpenAPI document of the app's own routes
    errorHandler: (error, request, reply) => {
      const isUnexpected = !(error instanceof StoreError) && (error.statusCode ?? 500) >= 500
      if (isUnexpected) throw error // the app's error handler reports it
      explain(error, request, reply).then(text => { reply.send(text) }, () => {})
    },
    preParsing: (request, reply, payload) => {
      if (payload !== request.raw) throw new StoreError('STORE_OPTION_INVALID', BODY_TAKEN)
      reply.hijack()
      for (const [name, value] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value!)
      admin.routing(Object.assign(request.raw, { [FRONT]: frontOf(request, reply) }), reply.raw)
    }
  }
  app.all(`${path}/*`, route, () => {})
  if (path !== '') app.all(path, route, () => {})
  app.addHook('preClose', async () => { stopping.abort() })
  app.addHook('onClose', async () => { await admin.close() })
}

/** What the admin API needs to know of a request. Once its token is identified, its log lines name the token. */
function frontOf (request: FastifyRequest, reply: FastifyReply): Front {
  return {
    address: request.ip as string | undefined ?? 'local', // none on a Unix socket
    get log () { return request.log },
    identified: name => { request.log = reply.log = request.log.child({ adminToken: name }) }
  }
}
