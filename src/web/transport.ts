// Differences between Node's kinds of responses: how they end, and how they are ended early.
//
//                  closed                        completely sent
//   HTTP/1.1       response.closed               response.writableFinished
//   app.inject     response.closed               ended; writableFinished is set after 'close', the socket stays open
//   HTTP/2         stream.closed; the response   ended, and its stream neither aborted nor reset; writableFinished is
//                  has no `closed`               also true for a stream that was reset
//   hijacked       like its transport
//
// All of them emit 'close', even if nothing was ever written, with one exception: if the client disconnects while an
// HTTP/1.1 response is queued behind others of its connection (pipelining), only the connection emits it.
import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'

/** HTTP/2 error codes (RFC 9113, section 7). */
const INTERNAL_ERROR = 2
const ENHANCE_YOUR_CALM = 11
const DISCARD_LIMITS = { bytes: 16 * 2 ** 20, milliseconds: 5000 }

export function isClosed (response: ServerResponse): boolean {
  return isHttp2(response) ? response.stream.closed : response.closed || queuedOn(response)?.destroyed === true
}

/** Calls `fn` when an open response is closed. It may be called twice. */
export function onClose (response: ServerResponse, fn: () => void): void {
  response.once('close', fn) // a tenth of the cost of stream.finished()
  const socket = queuedOn(response)
  if (socket === undefined) return
  const listeners = listenersOf(socket)
  listeners.add(fn)
  response.once('close', () => { listeners.delete(fn) })
}

/**
 * Whether a response was ended, which does not mean that it was sent. Its own `writableEnded` may pretend it: see
 * commit-first.ts.
 */
export function isEnded (response: ServerResponse): boolean {
  return Reflect.get(Object.getPrototypeOf(response) as object, 'writableEnded', response) as boolean
}

/** Whether a closed response was completely sent. If not, its client has disconnected or it was destroyed. */
export function isWhole (response: ServerResponse): boolean {
  if (!isHttp2(response)) {
    return response.writableFinished || (response.writableEnded && response.socket?.destroyed === false)
  }
  const { stream, writableEnded } = response
  return writableEnded && !stream.aborted && stream.rstCode === 0
}

/** Ends a response in such a way that the client notices that it is incomplete. */
export function cutOff (response: ServerResponse): void {
  if (isHttp2(response)) response.stream.close(INTERNAL_ERROR)
  else response.destroy()
}

/**
 * Discards the rest of a request that is answered before it was read: an HTTP/2 stream that is not read to its end
 * keeps the session from closing. A sender that exceeds the limits is reset. False over HTTP/1.1, where only the
 * connection can be closed.
 */
export function discardBody (response: ServerResponse, limits = DISCARD_LIMITS): boolean {
  if (!isHttp2(response)) return false
  const { stream, req } = response
  const reset = (): void => { stream.close(ENHANCE_YOUR_CALM) }
  const timer = setTimeout(reset, limits.milliseconds).unref()
  stream.once('close', () => { clearTimeout(timer) })
  let left = limits.bytes
  req.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) reset()
  })
  req.resume()
  return true
}

/** The connection of a response that waits for earlier responses to be sent. */
function queuedOn (response: ServerResponse): Socket | undefined {
  return isHttp2(response) || response.socket !== null || response.closed ? undefined : response.req.socket
}

const listening = new WeakMap<Socket, Set<() => void>>()

function listenersOf (socket: Socket): Set<() => void> {
  let listeners = listening.get(socket)
  if (listeners !== undefined) return listeners
  listening.set(socket, listeners = new Set())
  socket.once('close', () => { for (const fn of listeners) fn() })
  return listeners
}

function isHttp2 (response: unknown): response is Http2ServerResponse {
  return (response as Partial<Http2ServerResponse>).stream !== undefined
}
