// The parts of the OpenAPI document that do not come from routes.

/** The version of package.json, which is not read at runtime. */
const VERSION = '0.2.0'

const whole = { type: 'integer', format: 'int64', minimum: 0, maximum: Number.MAX_SAFE_INTEGER }
const text = { type: 'string', maxLength: 256 }

/** Headers that the app may add to any response. */
const HEADERS_OF_THE_APP = {
  'X-RateLimit-Limit': {
    description: 'Allowed requests per window. Only if the app limits them; the API itself limits failed ' +
      'authentications only',
    schema: whole
  },
  'X-RateLimit-Remaining': { description: 'Requests left in this window. Only if the app limits them', schema: whole },
  'Access-Control-Allow-Origin': {
    description: 'Only if the app allows other origins; the API itself does not', schema: text
  }
}

const headers = {
  ...HEADERS_OF_THE_APP,
  'Retry-After': { description: 'Seconds after which to retry', schema: whole },
  'WWW-Authenticate': { description: 'How to authenticate', schema: text },
  'Accept-Encoding': { description: 'The supported content codings, if the request used another', schema: text }
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
    summary: 'Keys, values and locks shared by all processes of a server',
    description: 'Times are in seconds. Errors are problem documents (RFC 9457) with a stable `code`.',
    license: { name: 'MIT', identifier: 'MIT' }
  },
  security: [{ token: [] }],
  tags: [
    { name: 'keys', description: 'Single keys and their values' },
    { name: 'collections', description: 'Collections of keys' },
    { name: 'calls', description: 'The protocol of stores in other processes' },
    { name: 'locks', description: 'Exclusive use of a key, first come, first served' },
    { name: 'transfer', description: 'Export and import of all keys' },
    { name: 'health', description: 'Health and metrics of the store' },
    { name: 'page', description: 'The admin page' }
  ],
  components: {
    securitySchemes: {
      token: { type: 'http', scheme: 'bearer', description: 'One of the tokens that the API was configured with' }
    },
    headers
  }
}
