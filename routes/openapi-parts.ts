// What the OpenAPI document says beside the routes.

/** That of package.json, which is not read at runtime. */
const VERSION = '0.2.0'

const whole = { type: 'integer', format: 'int64', minimum: 0, maximum: Number.MAX_SAFE_INTEGER }
const text = { type: 'string', maxLength: 256 }

/** What the app in front may add to any answer. */
const HEADERS_OF_THE_APP = {
  'X-RateLimit-Limit': { description: 'Requests that are allowed in a window of time. Only where the app limits them; the API itself limits failed authentications alone', schema: whole },
  'X-RateLimit-Remaining': { description: 'Those that are left in this window. Only where the app limits them', schema: whole },
  'Access-Control-Allow-Origin': { description: 'Only where the app allows pages of other origins; the API itself does not', schema: text }
}

const headers = {
  ...HEADERS_OF_THE_APP,
  'Retry-After': { description: 'Seconds after which to try again', schema: whole },
  'WWW-Authenticate': { description: 'How to authenticate', schema: text },
  'Accept-Encoding': { description: 'The content codings that are understood, where that was what was wrong', schema: text }
}

export const COMMON_HEADERS = Object.keys(HEADERS_OF_THE_APP)

/** By status. */
export const HEADERS_OF_FAILURES: Record<string, Array<keyof typeof headers>> = {
  401: ['WWW-Authenticate'],
  415: ['Accept-Encoding'],
  423: ['Retry-After'],
  429: ['Retry-After']
}

export const PARTS = {
  openapi: '3.1.0',
  info: {
    title: 'strong-store admin API',
    version: VERSION,
    summary: 'Keys, values and locks that all processes of a server share',
    description: 'Times are in seconds. Errors are problem documents (RFC 9457) with a stable `code`.',
    license: { name: 'MIT', identifier: 'MIT' }
  },
  security: [{ token: [] }],
  tags: [
    { name: 'keys', description: 'Single keys and their values' },
    { name: 'collections', description: 'Collections of keys' },
    { name: 'calls', description: 'What a store of another process speaks' },
    { name: 'locks', description: 'Exclusive use of a key, first come, first served' },
    { name: 'health', description: 'How the store is doing' }
  ],
  components: {
    securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'A token that the API was mounted with' } },
    headers
  }
}
