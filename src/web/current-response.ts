// Tracks which response the running code works for, for libraries that do not pass the request.
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ServerResponse } from 'node:http'
import { installOnce, shared } from '../core/shared.js'

const requests = shared('requests.1', () => ({ running: new AsyncLocalStorage<ServerResponse>(), isFollowed: false }))

export function currentResponse (): ServerResponse | undefined {
  return requests.running.getStore()
}

/** Starts tracking requests that arrive over HTTP/1.1, and those handled within `runFor`. */
export function followRequests (): void {
  if (requests.isFollowed) return
  requests.isFollowed = true
  installOnce('requests.1', () => {
    const enter = (message: unknown): void => {
      requests.running.enterWith((message as { response: ServerResponse }).response)
    }
    subscribe('http.server.request.start', enter)
    return () => { unsubscribe('http.server.request.start', enter) }
  })
}

/** Runs `handle` with `response` as the current response, if requests are tracked at all. */
export function runFor (response: ServerResponse, handle: () => void): void {
  if (!requests.isFollowed || requests.running.getStore() === response) handle()
  else requests.running.run(response, handle)
}
