// The methods of each path, for the Allow header of 405 responses (RFC 9110, section 15.5.6).
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { Problem } from './problems.js'

export class AllowedMethods {
  readonly #paths = new Map<string, { pattern: RegExp, methods: string[] }>()

  /** An onRoute hook. */
  add ({ url, method }: RouteOptions): void {
    let path = this.#paths.get(url)
    if (path === undefined) this.#paths.set(url, path = { pattern: patternOf(url), methods: [] })
    path.methods.push(...[method].flat())
  }

  /** Handles a request without a route: throws a 405 if its path has other methods, otherwise a 404. */
  refuse (request: FastifyRequest, reply: FastifyReply): never {
    const path = request.raw.url!.split('?', 1)[0]!
    const methods = Array.from(this.#paths.values(), ({ pattern, methods }) => pattern.test(path) ? methods : []).flat()
    if (methods.length === 0) throw new Problem('ADMIN_NOT_FOUND')
    reply.header('allow', methods.join(', '))
    throw new Problem('ADMIN_METHOD_NOT_ALLOWED')
  }
}

function patternOf (url: string): RegExp {
  return new RegExp(`^${url.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace('*', '.*').replace(/:[^/]+/g, '[^/]*')}$`)
}
