// The response for which code runs: for what is called by libraries that do not say for which request.
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'
import type { ServerResponse } from 'node:http'
import { shared } from '../core/shared.js'

const requests = shared('requests.1', () => ({ running: new AsyncLocalStorage<ServerResponse>(), isFollowed: false }))

export function currentResponse (): ServerResponse | undefined {
  return requests.running.getStore()
}

/** From now on: of requests that come in over HTTP/1.1, and of those that are handled within `runFor`. */
export function followRequests (): void {
  if (requests.isFollowed) return
  requests.isFollowed = true
  subscribe('http.server.request.start', message => { requests.running.enterWith((message as { response: ServerResponse }).response) })
}

/** Handles a request of whatever kind, where requests are followed at all. */
export function runFor (response: ServerResponse, handle: () => void): void {
  if (!requests.isFollowed || requests.running.getStore() === response) handle()
  else requests.running.run(response, handle)
}
