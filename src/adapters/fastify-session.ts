// What @fastify/session does not tell its store: for which request it reads a session. Its sessions have the request in
// a property with a symbol of its own, so the context of a request is also known where a reply is sent from another
// one, such as an event or the callback of a connection pool.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'
import { installOnce } from '../core/shared.js'
import { runFor, type RequestContext } from '../web/request-context.js'

/** A property of Node's requests. In a WeakMap, contexts would cost more garbage collection than all other tracking. */
const CONTEXT = Symbol.for('strong-store.session-context.1')

interface NodeRequest {
  [CONTEXT]?: RequestContext
}

/** The property of the last session that has its request. */
let property: symbol | undefined

// Requests over HTTP/2 and by app.inject are not published on Node's diagnostics channels: Fastify's hooks report
// them.
installOnce('fastify.3', () => {
  const follow = (message: unknown): void => {
    const { fastify } = message as { fastify: FastifyInstance }
    fastify.addHook('onRequest', (request, reply, done) => { runFor(request.raw, reply.raw, done) })
  }
  subscribe('fastify.initialization', follow)
  return () => { unsubscribe('fastify.initialization', follow) }
})

/**
 * Makes a context known to the sessions of its request. Those of express-session are found without it, and the property
 * would make the requests of Express a tenth slower; `sessionStore` is what express-session adds to its requests.
 */
export function keepContext (context: RequestContext): void {
  const { request } = context
  if (request === undefined || 'sessionStore' in request) return
  Object.defineProperty(request, CONTEXT, { value: context, configurable: true, writable: true })
}

/** The context of the request that a session of @fastify/session belongs to. */
export function contextOfSession (session: object): RequestContext | undefined {
  const known = property && contextAt(session, property)
  if (known !== undefined) return known
  for (const symbol of Object.getOwnPropertySymbols(session)) {
    const context = contextAt(session, symbol)
    if (context === undefined) continue
    property = symbol
    return context
  }
  return undefined
}

function contextAt (session: object, symbol: symbol): RequestContext | undefined {
  const owner = (session as Record<symbol, unknown>)[symbol] as { raw?: NodeRequest } | null | undefined
  return owner?.raw?.[CONTEXT]
}
