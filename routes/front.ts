// What the server that mounts the admin API knows about a request. The Fastify plugin attaches it to Node's request;
// with Express, `ip` and pino-http's `log` are read from there.
import type { FastifyRequest } from 'fastify'

export interface Front {
  /** Address of the client as the mounting server sees it, which may trust proxies. */
  readonly address: string
  readonly log: ErrorLog
  /** Called with the name of the request's token. */
  identified? (name: string): void
}

export interface ErrorLog {
  error (details: object, message: string): void
}

export const FRONT = Symbol('strong-store.front')

export function frontOf ({ raw, ip }: Pick<FastifyRequest, 'raw' | 'ip'>): Front {
  const left = raw as { [FRONT]?: Front, ip?: string, log?: ErrorLog }
  const address = left.ip ?? ip as string | undefined ?? 'local' // none on a Unix socket
  return left[FRONT] ?? { address, log: left.log ?? STDERR }
}

const STDERR: ErrorLog = {
  error: (details, message) => { console.error(message, details) }
}
