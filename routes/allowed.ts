// Which methods a path has, for those that are answered with 405 (RFC 9110, section 15.5.6).
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

  /** Of a request for which there is no route: throws what it is answered with. */
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
