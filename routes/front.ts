// What the server in front of the admin API knows of a request. The Fastify plugin leaves it at Node's own request; Express and
// pino-http leave `ip` and `log` there.
import type { FastifyRequest } from 'fastify'

export interface Front {
  /** The client, as the server in front sees it, which may trust proxies. */
  readonly address: string
  readonly log: ErrorLog
  /** Called with the name of the token that the request came with. */
  identified? (name: string): void
}

export interface ErrorLog {
  error (details: object, message: string): void
}

export const FRONT = Symbol('strong-store.front')

export function frontOf ({ raw, ip }: Pick<FastifyRequest, 'raw' | 'ip'>): Front {
  const left = raw as { [FRONT]?: Front, ip?: string, log?: ErrorLog }
  return left[FRONT] ?? { address: left.ip ?? ip as string | undefined ?? 'local', log: left.log ?? STDERR } // no ip on a Unix socket
}

const STDERR: ErrorLog = {
  error: (details, message) => { console.error(message, details) }
}
