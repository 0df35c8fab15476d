// What Node's responses have in common, and where they differ: how one has ended, and how one says that it is being worked on.
//
//                  closed                        sent to its end
//   HTTP/1.1       response.closed               response.writableFinished
//   app.inject     the same                      ended; writableFinished comes after 'close', and its socket stays open
//   HTTP/2         stream.closed; the response   ended, its stream neither aborted nor reset; writableFinished is true of a stream
//                  has no `closed`               that was reset as well
//   hijacked       as its transport, whoever writes to it
//
// All of them emit 'close' once, also where nothing was ever written.
import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'

/** Of HTTP/2 (RFC 9113, section 7). */
const INTERNAL_ERROR = 2

export function isClosed (response: ServerResponse): boolean {
  return isHttp2(response) ? response.stream.closed : response.closed
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

function isHttp2 (response: unknown): response is Http2ServerResponse {
  return (response as Partial<Http2ServerResponse>).stream !== undefined
}
