// The admin page: static files that need no token, because they contain no data. The page asks for a token and
// sends it with every request to the API.
import { createHash } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Admin } from './app.js'
import type { RouteConfig } from './auth.js'
import { FILES } from './page-files.js'
import { Problem, done } from './problems.js'
import { FAILURES, NOTHING, NOT_FOUND } from './schemas.js'

const INDEX = 'index.html'
const TYPES: Record<string, string> = {
  html: 'text/html; charset=utf-8', css: 'text/css; charset=utf-8', js: 'text/javascript; charset=utf-8'
}
/** Replaces the app's policy, such as helmet's. No trusted types policy can be created: no string becomes markup. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", 'img-src data:',
  "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
  "require-trusted-types-for 'script'", "trusted-types 'none'"
].join('; ')

const tags = ['page']
const OPEN: RouteConfig = { open: true }

const etags = new Map(Object.entries(FILES).map(([name, text]) => {
  return [name, `"${createHash('sha256').update(text).digest('base64url').slice(0, 27)}"`]
}))

export function pageRoutes ({ app }: Admin): void {
  // Fastify also serves it without the trailing slash, from where relative URLs would lead elsewhere.
  app.get('/', {
    config: OPEN,
    schema: {
      operationId: 'readPage',
      summary: 'The admin page',
      description: 'Needs no token; it asks for one. Only if the option `page` is not false.',
      tags,
      security: [],
      response: {
        200: {
          description: 'The page', content: { 'text/html': { schema: Type.String({ maxLength: 1_000_000 }) } }
        },
        304: NOTHING,
        ...FAILURES
      }
    }
  }, async (request, reply) => {
    const path = request.originalUrl.split('?', 1)[0]!
    if (path.endsWith('/')) return await sendFile(request, reply, INDEX)
    reply.header('location', `${path.slice(path.lastIndexOf('/') + 1)}/`)
    return await done(reply, 308)
  })
  app.get('/page/:file', {
    config: OPEN,
    schema: {
      operationId: 'readPageFile',
      summary: 'A script or style sheet of the admin page',
      description: 'Needs no token.',
      tags,
      security: [],
      params: Type.Object({ file: Type.String({ maxLength: 64, description: 'Its name' }) }),
      response: {
        200: {
          description: 'The file',
          content: {
            'text/css': { schema: Type.String({ maxLength: 1_000_000 }) },
            'text/javascript': { schema: Type.String({ maxLength: 1_000_000 }) }
          }
        },
        304: NOTHING,
        ...FAILURES,
        ...NOT_FOUND
      }
    }
  }, async (request, reply) => {
    const { file } = request.params
    if (!Object.hasOwn(FILES, file) || file === INDEX) throw new Problem('ADMIN_NOT_FOUND')
    return await sendFile(request, reply, file)
  })
}

async function sendFile (
  request: Pick<FastifyRequest, 'headers'>, reply: FastifyReply<any, any, any, any, any, any, any, any>, name: string
): Promise<string> {
  const etag = etags.get(name)!
  reply.headers({
    etag,
    'cache-control': 'no-cache',
    'content-security-policy': CONTENT_SECURITY_POLICY,
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff'
  })
  if (request.headers['if-none-match']?.split(/\s*,\s*/).includes(etag) === true) {
    return await done(reply, 304) as unknown as string
  }
  reply.type(TYPES[name.slice(name.lastIndexOf('.') + 1)]!)
  return FILES[name]!
}
