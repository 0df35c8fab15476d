// Tracks which request the running code works for, for libraries that do not pass it.
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { installOnce, shared } from '../core/shared.js'

export interface RequestContext {
  /** Undefined outside of a request. */
  readonly response: ServerResponse | undefined
  /** Node's request. Undefined outside of a request. */
  readonly request: object | undefined
  /** What session stores have read, the last one first. */
  reads: readonly object[]
}

// A single AsyncLocalStorage: on Node 20 and 22, each one makes every promise more expensive.
const contexts = shared('requests.2', () => ({ running: new AsyncLocalStorage<RequestContext>(), isFollowed: false }))

export function currentContext (): RequestContext | undefined {
  return contexts.running.getStore()
}

export function currentResponse (): ServerResponse | undefined {
  return currentContext()?.response
}

/** Starts tracking requests that arrive over HTTP/1.1, and those handled within `runFor`. */
export function followRequests (): void {
  if (contexts.isFollowed) return
  contexts.isFollowed = true
  installOnce('requests.2', () => {
    const enter = (message: unknown): void => {
      const { request, response } = message as { request: IncomingMessage, response: ServerResponse }
      contexts.running.enterWith({ response, request, reads: [] })
    }
    subscribe('http.server.request.start', enter)
    return () => { unsubscribe('http.server.request.start', enter) }
  })
}

/**
 * Runs `handle` in the context of a request, if requests are tracked at all. A request of app.inject starts with the
 * reads of the request that sends it.
 */
export function runFor (request: object, response: ServerResponse, handle: () => void): void {
  const context = currentContext()
  if (!contexts.isFollowed || context?.response === response) handle()
  else contexts.running.run({ response, request, reads: context?.reads ?? [] }, handle)
}

/** Runs `fn` outside of a request, with these reads. */
export function runWith (reads: readonly object[], fn: () => void): void {
  contexts.running.run({ response: undefined, request: undefined, reads }, fn)
}
