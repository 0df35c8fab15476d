// What @fastify/session does not tell its store: for which request it reads a session. Its sessions have the request in
// a property with a symbol of its own, so what was read for a request is also known where a reply is sent from another
// context, such as an event or the callback of a connection pool.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { installOnce, shared } from '../core/shared.js'
import { currentResponse, runFor } from '../web/current-response.js'

/** `rawOf`: the requests of app.inject, whose responses do not have them. `values`: one for each request. */
const { rawOf, values } = shared('fastify-sessions.1', () => ({
  rawOf: new WeakMap<ServerResponse, object>(), values: new WeakMap<object, unknown>()
}))

// Requests over HTTP/2 and by app.inject are not published on Node's diagnostics channels: Fastify's hooks report
// them.
installOnce('fastify.2', () => {
  const follow = (message: unknown): void => {
    const { fastify } = message as { fastify: FastifyInstance }
    fastify.addHook('onRequest', (request, reply, done) => {
      rawOf.set(reply.raw, request.raw)
      runFor(reply.raw, done)
    })
  }
  subscribe('fastify.initialization', follow)
  return () => { unsubscribe('fastify.initialization', follow) }
})

/** Replaces the value of the current request. */
export function updateOfRequest<V> (update: (value: V | undefined) => V): void {
  const response = currentResponse()
  const raw = response && (rawOf.get(response) ?? response.req as object | undefined)
  if (raw !== undefined) values.set(raw, update(values.get(raw) as V | undefined))
}

/** The value of the request that a session of @fastify/session belongs to. */
export function valueOfSession<V> (session: object): V | undefined {
  for (const symbol of Object.getOwnPropertySymbols(session)) {
    const owner = (session as Record<symbol, unknown>)[symbol] as { raw?: object } | null | undefined
    const value = owner?.raw && values.get(owner.raw)
    if (value !== undefined) return value as V
  }
  return undefined
}
