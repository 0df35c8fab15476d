// A request that calls its own server with its own session would wait for itself. What it sends with the cookie of a session that it holds
// carries a mark, by which the server knows, in whatever process.
import { createHash } from 'node:crypto'
import { subscribe } from 'node:diagnostics_channel'
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import { readsOfRequest } from './session-read.js'

const HEADER = 'strong-store-session'
let isFollowing = false

/** Of undici's requests, which are those of `fetch` too. */
interface UndiciRequest {
  headers: string | string[]
  addHeader (name: string, value: string): void
}

/** From now on; those of node:http from Node 22.12 on. */
export function followCalls (): void {
  if (isFollowing) return
  isFollowing = true
  subscribe('undici:request:create', message => {
    const { request } = message as { request: UndiciRequest }
    mark(() => String(request.headers), value => { request.addHeader(HEADER, value) })
  })
  subscribe('http.client.request.created', message => {
    const { request } = message as { request: ClientRequest }
    mark(() => String(request.getHeader('cookie')), value => { request.setHeader(HEADER, value) })
  })
}

/** Whether a request was made by one that holds the session. */
export function isCallOfHolder (response: ServerResponse, sid: string): boolean {
  const request = response.req as IncomingMessage | undefined
  return request?.headers?.[HEADER] === markOf(sid)
}

function mark (headers: () => string, add: (value: string) => void): void {
  for (const { sid, lock } of readsOfRequest()) {
    if (lock?.held !== true) continue
    const text = headers()
    if (text.includes(sid) || text.includes(encodeURIComponent(sid))) {
      add(markOf(sid))
      return
    }
  }
}

function markOf (sid: string): string {
  return createHash('sha256').update(sid).digest('base64url')
}
