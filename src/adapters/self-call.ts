// Detects a request that calls its own server with its own session, and would wait for itself. Requests sent with the
// cookie of a locked session carry a header by which any process of the server recognizes them.
import { createHash } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import { installOnce, shared } from '../core/shared.js'
import { readsOfRequest } from './session-read.js'

const HEADER = 'strong-store-session'
const calls = shared('self-calls.1', () => ({ isFollowed: false }))

/** A request of undici, whose requests include those of `fetch`. */
interface UndiciRequest {
  headers: string | string[]
  addHeader (name: string, value: string): void
}

/** Starts adding the header. Node.js publishes requests of node:http from 22.12 on. */
export function followCalls (): void {
  if (calls.isFollowed) return
  calls.isFollowed = true
  installOnce('self-calls.1', () => {
    const markUndici = (message: unknown): void => {
      const { request } = message as { request: UndiciRequest }
      mark(() => String(request.headers), value => { request.addHeader(HEADER, value) })
    }
    const markHttp = (message: unknown): void => {
      const { request } = message as { request: ClientRequest }
      mark(() => String(request.getHeader('cookie')), value => { request.setHeader(HEADER, value) })
    }
    subscribe('undici:request:create', markUndici)
    subscribe('http.client.request.created', markHttp)
    return () => {
      unsubscribe('undici:request:create', markUndici)
      unsubscribe('http.client.request.created', markHttp)
    }
  })
}

/** Whether a request was sent by a request that has locked the session. */
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
