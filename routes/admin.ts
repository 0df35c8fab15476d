// Options of the admin API. Kept apart from the routes so that importing them, or their types, does not load Fastify.
import { MIN_SECONDS, onlyKnown } from '../src/core/validation.js'
import { StoreError } from '../src/core/errors.js'
import { checkToken, checkTokens, type AdminTokenList } from './tokens.js'

export interface AdminOptions {
  /** Bearer token with full access. */
  token?: string | undefined
  /** Bearer token with read access. Default: none. */
  readToken?: string | undefined
  /**
   * Tokens, each with a name and a scope. A function is called for each request, so that tokens can be rotated without
   * a restart; if it fails, the request gets 503. Default: none.
   */
  tokens?: AdminTokenList | undefined
  /** False turns authentication off, for an API that is protected by something else. */
  auth?: false | undefined
  /** Whether the admin page is served at the prefix. It needs no token; what it asks for does. Default true. */
  page?: boolean | undefined
  /** Path of the API below that of the app; leading and trailing slashes are optional. Default '/_store/v1'. */
  prefix?: string | undefined
  /** Maximum lease in seconds, at least 0.001. Locks without a `lease` get 30 s, or this if shorter. Default 3600. */
  maxLease?: number | undefined
  /** Maximum time in seconds that a request waits for a lock, at least 0.001. Default 600. */
  maxWait?: number | undefined
}

const OPTIONS = ['prefix', 'token', 'readToken', 'tokens', 'auth', 'page', 'maxLease', 'maxWait']
const PREFIX = '/_store/v1'

/** STORE_OPTION_INVALID. */
export function checkAdmin (options: AdminOptions = {}): void {
  if (typeof options !== 'object' || options === null) invalid('admin', 'an object', typeof options)
  onlyKnown(options, OPTIONS)
  const { token, readToken, tokens, auth, page, maxLease, maxWait } = options
  for (const [name, value] of Object.entries({ maxLease, maxWait })) {
    if (value !== undefined && !(typeof value === 'number' && value >= MIN_SECONDS)) {
      invalid(`admin.${name}`, `seconds, at least ${MIN_SECONDS}`, show(value))
    }
  }
  if (auth !== undefined && auth !== false) invalid('admin.auth', 'false or undefined', typeof auth)
  if (page !== undefined && typeof page !== 'boolean') invalid('admin.page', 'true or false', typeof page)
  if (auth === false) {
    if (token !== undefined || readToken !== undefined || tokens !== undefined) {
      throw new StoreError('STORE_OPTION_INVALID', 'auth: false cannot be combined with tokens: omit one of them')
    }
    return
  }
  if (token === undefined && tokens === undefined) {
    throw new StoreError(
      'STORE_OPTION_INVALID', 'the admin API needs a token, or auth: false if something else protects it'
    )
  }
  if (token !== undefined) checkToken(token, 'admin.token')
  if (readToken !== undefined) checkToken(readToken, 'admin.readToken')
  if (readToken !== undefined && readToken === token) {
    throw new StoreError('STORE_OPTION_INVALID', 'admin.readToken must differ from admin.token')
  }
  if (typeof tokens === 'function' || tokens === undefined) return
  for (const { token: listed, name } of checkTokens(tokens)) {
    if (listed === token || listed === readToken) {
      throw new StoreError(
        'STORE_OPTION_INVALID',
        `admin.tokens: ${JSON.stringify(name)} has the same token as admin.token or admin.readToken`
      )
    }
  }
}

/** The prefix with a leading slash and without a trailing one; '' for the root. STORE_OPTION_INVALID. */
export function pathOf (prefix: unknown = PREFIX): string {
  if (typeof prefix !== 'string') invalid('admin.prefix', 'a path', show(prefix))
  const path = prefix.replace(/^\/|\/$/g, '')
  const isSegment = (text: string): boolean => /^[\w.~!$&'+,;=@-]+$/.test(text) && !/^\.\.?$/.test(text)
  const isPlain = path === '' || path.split('/').every(isSegment)
  if (!isPlain) invalid('admin.prefix', 'a path without parameters or wildcards, like /_store/v1', show(prefix))
  return path === '' ? '' : `/${path}`
}

/** `got` appears in the message, so it must never be a token. */
function invalid (option: string, expected: string, got: string): never {
  throw new StoreError('STORE_OPTION_INVALID', `invalid ${option}: expected ${expected}, got ${got}`)
}

function show (value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}
