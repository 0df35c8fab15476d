// Who may come in: bearer tokens (RFC 6750), and a limit on guessing them.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { StoreError } from '../src/errors.js'
import type { AdminOptions } from './admin.js'
import { Problem } from './problems.js'

/** Wrong tokens that one address may try in a minute; after that it is not listened to until the minute is over. */
const TRIES = 20
const MINUTE = 60_000
/** Addresses that are remembered at a time. */
const ADDRESSES = 10_000

/** An onRequest hook; a route says `config: { open: true }` if it needs no token. STORE_OPTION_INVALID. */
export function authenticator ({ token, readToken, auth }: Pick<AdminOptions, 'token' | 'readToken' | 'auth'>): (request: FastifyRequest) => Promise<void> {
  if (auth === false) return async () => {}
  if (token === undefined) {
    throw new StoreError('STORE_OPTION_INVALID', 'the admin API needs a token, or auth: false where something else protects it')
  }
  for (const [name, value] of Object.entries({ token, readToken })) {
    if (value !== undefined && !(typeof value === 'string' && /^[\x21-\x7e]+$/.test(value))) throw new StoreError('STORE_OPTION_INVALID', `${name} must have visible ASCII characters only`)
  }
  if (readToken === token) throw new StoreError('STORE_OPTION_INVALID', 'readToken must be another than token')
  const full = digest(token)
  const reading = readToken === undefined ? undefined : digest(readToken)
  const tries = new Tries()

  return async request => {
    if ((request.routeOptions.config as { open?: boolean }).open === true) return
    if (tries.tooMany(request.ip)) throw new Problem('ADMIN_TOO_MANY_TRIES')
    const given = digest(/^Bearer +([\x21-\x7e]+) *$/i.exec(request.headers.authorization ?? '')?.[1] ?? '')
    if (timingSafeEqual(given, full)) return
    if (reading !== undefined && timingSafeEqual(given, reading)) {
      if (request.method === 'GET' || request.method === 'HEAD') return
      throw new Problem('ADMIN_READ_ONLY')
    }
    if (request.headers.authorization !== undefined) tries.add(request.ip)
    throw new Problem('ADMIN_TOKEN_WRONG')
  }
}

/** Of one length whatever the token is, so that comparing tells nothing. */
function digest (token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

/** Counted in this process alone; addresses that come after ADDRESSES others in one minute go uncounted. */
class Tries {
  #counts = new Map<string, number>()
  #end = 0

  tooMany (address: string): boolean {
    if (this.#counts.size === 0) return false
    if (Date.now() > this.#end) this.#counts = new Map()
    return (this.#counts.get(address) ?? 0) >= TRIES
  }

  add (address: string): void {
    if (this.#counts.size === 0) this.#end = Date.now() + MINUTE
    if (this.#counts.size < ADDRESSES || this.#counts.has(address)) this.#counts.set(address, (this.#counts.get(address) ?? 0) + 1)
  }
}
