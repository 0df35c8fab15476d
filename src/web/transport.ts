// What Node's responses have in common, and where they differ: how one has ended, and how one says that it is being worked on.
//
//                  closed                        sent to its end
//   HTTP/1.1       response.closed               response.writableFinished
//   app.inject     the same                      ended; writableFinished comes after 'close', and its socket stays open
//   HTTP/2         stream.closed; the response   ended, its stream neither aborted nor reset; writableFinished is true of a stream
//                  has no `closed`               that was reset as well
//   hijacked       as its transport, whoever writes to it
//
// All of them emit 'close', also where nothing was ever written; but for a response of HTTP/1.1 that is queued behind others of its connection
// (pipelining) when its client goes: there it is the connection that does.
import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'

/** Of HTTP/2 (RFC 9113, section 7). */
const INTERNAL_ERROR = 2

export function isClosed (response: ServerResponse): boolean {
  return isHttp2(response) ? response.stream.closed : response.closed || queuedOn(response)?.destroyed === true
}

/** Calls `fn` when a response that is not closed yet is; it may do so twice. */
export function onClose (response: ServerResponse, fn: () => void): void {
  response.once('close', fn) // one listener is a tenth of what stream.finished() costs
  const socket = queuedOn(response)
  if (socket === undefined) return
  const listeners = listenersOf(socket)
  listeners.add(fn)
  response.once('close', () => { listeners.delete(fn) })
}

/** Whether a response that is closed was sent to its end; else its client has gone, or it was destroyed. */
export function isWhole (response: ServerResponse): boolean {
  if (!isHttp2(response)) return response.writableFinished || (response.writableEnded && response.socket?.destroyed === false)
  const { stream, writableEnded } = response
  return writableEnded && !stream.aborted && stream.rstCode === 0
}

/** Ends a response so that its client sees that this was not all of it. */
export function cutOff (response: ServerResponse): void {
  if (isHttp2(response)) response.stream.close(INTERNAL_ERROR)
  else response.destroy()
}

/** Sends 102 (RFC 2518, section 10.1), where it still can be sent. */
export function writeProcessing (response: ServerResponse): void {
  if (response.headersSent || isClosed(response)) return
  if (isHttp2(response)) response.stream.additionalHeaders({ ':status': 102 })
  else response.writeProcessing()
}

/** The connection of a response that has to wait until those before it were sent. */
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
