// Who may come in: bearer tokens (RFC 6750), and a limit on guessing them.
import { hash, timingSafeEqual } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Store } from '../src/api/store.js'
import { addressOf, type AdminOptions } from './admin.js'
import { Problem } from './problems.js'
import { AuthThrottle } from './auth-throttle.js'

/** An onRequest hook; a route says `config: { open: true }` if it needs no token. */
export function authenticator (store: Store, { token, readToken, auth }: AdminOptions): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  if (auth === false) return async () => {}
  const full = digest(token!)
  const reading = readToken === undefined ? undefined : digest(readToken)
  const tries = new AuthThrottle(store)

  return async (request, reply) => {
    if ((request.routeOptions.config as { open?: boolean }).open === true) return
    const { authorization } = request.headers
    const address = addressOf(request)
    refuse(tries.blocked(address))
    const given = digest(/^Bearer +([\x21-\x7e]+) *$/i.exec(authorization ?? '')?.[1] ?? '')
    if (timingSafeEqual(given, full)) return
    if (reading !== undefined && timingSafeEqual(given, reading)) {
      if (request.method === 'GET' || request.method === 'HEAD') return
      throw new Problem('ADMIN_READ_ONLY')
    }
    if (authorization !== undefined) refuse(await tries.add(address))
    throw new Problem('ADMIN_TOKEN_WRONG')

    function refuse (seconds: number): void {
      if (seconds === 0) return
      reply.header('retry-after', String(seconds))
      throw new Problem('ADMIN_TOO_MANY_TRIES')
    }
  }
}

/** Of one length whatever the token is, so that comparing tells nothing. */
function digest (token: string): Buffer {
  return hash('sha256', token, 'buffer')
}
