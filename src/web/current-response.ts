// The response for which code runs: for what is called by libraries that do not say for which request.
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'
import type { ServerResponse } from 'node:http'

const running = new AsyncLocalStorage<ServerResponse>()
let isFollowing = false

export function currentResponse (): ServerResponse | undefined {
  return running.getStore()
}

/** From now on: of requests that come in over HTTP/1.1, and of those that are handled within `runFor`. */
export function followRequests (): void {
  if (isFollowing) return
  isFollowing = true
  subscribe('http.server.request.start', message => { running.enterWith((message as { response: ServerResponse }).response) })
}

/** Handles a request of whatever kind, where requests are followed at all. */
export function runFor (response: ServerResponse, handle: () => void): void {
  if (!isFollowing || running.getStore() === response) handle()
  else running.run(response, handle)
}

/** Http2ServerResponse has no `closed`. */
export function isClosed (response: ServerResponse): boolean {
  return (response as { stream?: { closed: boolean } }).stream?.closed ?? response.closed
}
