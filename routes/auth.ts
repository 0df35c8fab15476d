// Authentication and authorization, in one onRequest hook that runs before the body is read. Routes only declare what
// they need, in their `config`.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { StoreError } from '../src/core/errors.js'
import type { Store } from '../src/api/store.js'
import type { AdminOptions } from './admin.js'
import { AuthThrottle } from './auth-throttle.js'
import { frontOf } from './front.js'
import { Problem, traceOf } from './problems.js'
import { ANYBODY, Tokens, type Identity } from './tokens.js'

/** The `config` of a route. */
export interface RouteConfig {
  /** Needs no token. */
  open?: true
  /** Changes nothing, although its method is neither GET nor HEAD. */
  reads?: true
  /** Not about a single collection: limits its response to those of the token. Otherwise a scoped token gets 403. */
  isScoped?: true
}

const IDENTITY = Symbol('strong-store.identity')
const RECHECK = Symbol('strong-store.recheck')

/** The identity of an authenticated request. */
export function identityOf (request: object): Identity {
  return (request as { [IDENTITY]?: Identity })[IDENTITY] ?? ANYBODY
}

/**
 * For requests that take long: whether the token would still be accepted for this one. True if the function that lists
 * the tokens fails.
 */
export async function isStillAllowed (request: object): Promise<boolean> {
  return await ((request as { [RECHECK]?: () => Promise<boolean> })[RECHECK]?.() ?? true)
}

/** An onRequest hook. */
export function authenticator (
  store: Store, options: AdminOptions
): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  if (options.auth === false) return async () => {}
  const tokens = new Tokens(options)
  const throttle = new AuthThrottle(store)

  return async (request, reply) => {
    const config = request.routeOptions.config as RouteConfig
    if (config.open === true) return
    const { address } = frontOf(request)
    refuse(throttle.blocked(address))
    const { authorization } = request.headers
    const token = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization ?? '')?.[1]
    const identity = await identify(request, token)
    if (identity === undefined) {
      if (authorization !== undefined) refuse(await throttle.add(address))
      throw new Problem('ADMIN_TOKEN_WRONG')
    }
    Object.assign(request, { [IDENTITY]: identity, [RECHECK]: recheck })
    checkScope(request, config, identity)

    async function recheck (): Promise<boolean> {
      try {
        const identity = await tokens.identify(token!)
        if (identity !== undefined) checkScope(request, config, identity)
        return identity !== undefined
      } catch (error) {
        return !(error instanceof Problem)
      }
    }

    function refuse (seconds: number): void {
      if (seconds === 0) return
      reply.header('retry-after', String(seconds))
      throw new Problem('ADMIN_TOO_MANY_TRIES')
    }
  }

  async function identify (request: FastifyRequest, token: string | undefined): Promise<Identity | undefined> {
    if (token === undefined) return undefined
    try {
      const identity = await tokens.identify(token)
      if (identity?.name !== undefined) frontOf(request).identified?.(identity.name)
      return identity
    } catch (error) {
      // Errors of the list's validation contain no tokens; those that the function throws might.
      const reason = error instanceof StoreError ? error.detail : undefined
      frontOf(request).log.error({ err: traceOf(error as Error), reason }, 'the function admin.tokens failed')
      throw new Problem('ADMIN_TOKENS_UNAVAILABLE')
    }
  }
}

function checkScope (request: FastifyRequest, config: RouteConfig, { canWrite, collections }: Identity): void {
  if (!canWrite && config.reads !== true && request.method !== 'GET' && request.method !== 'HEAD') {
    throw new Problem('ADMIN_READ_ONLY')
  }
  if (collections === undefined || config.isScoped === true || request.is404) return
  const { collection } = request.params as { collection?: string }
  if (collection === undefined || !collections.has(collection)) throw new Problem('ADMIN_OUT_OF_SCOPE')
}

/** The display name of a lock owner. Clients may choose one, but the name of their token is always added. */
export function ownerOf (request: Pick<FastifyRequest, 'raw' | 'ip'>, owner: string | undefined): string {
  const { name } = identityOf(request)
  if (owner !== undefined) return name === undefined ? owner : `${owner} (${name})`
  return ['http', name, frontOf(request).address].filter(part => part !== undefined).join(' ')
}
