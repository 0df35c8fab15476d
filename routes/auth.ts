// Who may come in: bearer tokens (RFC 6750), and a limit on guessing them.
import { hash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Store } from '../src/api/store.js'
import { addressOf, type AdminOptions } from './admin.js'
import { Problem } from './problems.js'
import { AuthThrottle } from './auth-throttle.js'

/** What a route says in its `config`. */
export interface Access {
  /** It needs no token. */
  open?: boolean
  /** 'always': it only reads, whatever its method. 'some': it tells a token that may only read by `isReader`. */
  reads?: 'always' | 'some'
}

const readers = new WeakSet<IncomingMessage>()

/** Whether a request came with a token that may only read. */
export function isReader (request: FastifyRequest): boolean {
  return readers.has(request.raw)
}

/** An onRequest hook; see Access for what a route can say. */
export function authenticator (store: Store, { token, readToken, auth }: AdminOptions): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  if (auth === false) return async () => {}
  const full = digest(token!)
  const reading = readToken === undefined ? undefined : digest(readToken)
  const tries = new AuthThrottle(store)

  return async (request, reply) => {
    const { open, reads } = request.routeOptions.config as Access
    if (open === true) return
    const { authorization } = request.headers
    const address = addressOf(request)
    refuse(tries.blocked(address))
    const given = digest(/^Bearer +([\x21-\x7e]+) *$/i.exec(authorization ?? '')?.[1] ?? '')
    if (timingSafeEqual(given, full)) return
    if (reading !== undefined && timingSafeEqual(given, reading)) {
      if (request.method === 'GET' || request.method === 'HEAD' || reads === 'always') return
      if (reads === 'some') {
        readers.add(request.raw)
        return
      }
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
