// What @fastify/session does not tell its store: for which request it reads a session, and which of several reads it
// saves. Its sessions have the request in a property with a symbol of its own, so the context of a request is also
// known where a reply is sent from another one, such as an event or the callback of a connection pool. In another
// property, they have a copy of the cookie that the store returned, with all of its properties.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'
import { installOnce } from '../core/shared.js'
import { runFor, type RequestContext } from '../web/request-context.js'

/** A property of Node's requests. In a WeakMap, contexts would cost more garbage collection than all other tracking. */
const CONTEXT = Symbol.for('strong-store.session-context.1')

interface NodeRequest {
  [CONTEXT]?: RequestContext
}

// Those of the last session.
let requestProperty: symbol | undefined
let cookieProperty: symbol | undefined

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
 * The sessions of express-session are found without a property of the request, which would make the requests of Express
 * a tenth slower; `sessionStore` is what express-session adds to its requests.
 */
export function isOfFastify ({ request }: RequestContext): boolean {
  return request !== undefined && !('sessionStore' in request)
}

/** Makes a context known to the sessions of its request. */
export function keepContext (context: RequestContext): void {
  Object.defineProperty(context.request, CONTEXT, { value: context, configurable: true, writable: true })
}

/** The context of the request that a session of @fastify/session belongs to. */
export function contextOfSession (session: object): RequestContext | undefined {
  const found = find(session, requestProperty, contextAt)
  requestProperty = found?.property ?? requestProperty
  return found?.value
}

/** A property of the cookie that the store has returned for a session of @fastify/session. */
export function cookieOptionOf (session: object, name: symbol): unknown {
  const found = find(session, cookieProperty, (session, property) => (session[property] as Options)?.[name])
  cookieProperty = found?.property ?? cookieProperty
  return found?.value
}

type Session = Record<symbol, unknown>
type Options = Record<symbol, unknown> | null | undefined

function contextAt (session: Session, property: symbol): RequestContext | undefined {
  return (session[property] as { raw?: NodeRequest } | null | undefined)?.raw?.[CONTEXT]
}

/** The first property of a session for which `get` returns a value. */
function find<V> (
  session: object, last: symbol | undefined, get: (session: Session, property: symbol) => V
): { property: symbol, value: NonNullable<V> } | undefined {
  const properties = Object.getOwnPropertySymbols(session)
  for (const property of last === undefined ? properties : [last, ...properties]) {
    const value = get(session as Session, property)
    if (value != null) return { property, value }
  }
  return undefined
}
