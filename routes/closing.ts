// How requests end when the app closes. Calls that wait and endless streams end immediately: see `stopping`.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { onAbort } from '../src/core/abort-signals.js'
import { cutOff, onClose } from '../src/web/transport.js'
import type { App } from './app.js'

/**
 * How long other requests may delay the close. A client may never send the rest of a body, or never read a response;
 * server.close() also stops Node's check of `requestTimeout`.
 */
const GRACE_MS = 5000

export function endRequests (app: App, stopping: AbortSignal): void {
  const open = new Set<ServerResponse>()
  app.addHook('onRequest', (request, { raw: response }, done) => {
    const endConnection = enderOf(request.raw)
    open.add(response)
    onClose(response, () => {
      open.delete(response)
      if (stopping.aborted) endConnection()
    })
    done()
  })
  onAbort(stopping, () => {
    setTimeout(() => { for (const response of open) cutOff(response) }, GRACE_MS).unref()
  })
}

/** Ends the connection of a request. If it stayed open, idle, it would delay the close. */
function enderOf (request: IncomingMessage | Http2ServerRequest): () => void {
  if (!('stream' in request)) return () => { request.socket.end() }
  const { session } = request.stream // a closed stream has none
  return () => { session?.close() }
}
