// The options of the admin API. It loads without Fastify, and so do its types: the package's index exports them.
import { MIN_SECONDS, onlyKnown } from '../src/core/validation.js'
import { StoreError } from '../src/core/errors.js'
import { checkToken, checkTokens, type AdminTokenList } from './tokens.js'

export interface AdminOptions {
  /** The bearer token that may do everything. */
  token?: string | undefined
  /** A second token, which may only read. Default: none. */
  readToken?: string | undefined
  /**
   * Tokens with a name and a scope each. A function is called for each request, so that tokens can be exchanged
   * without a restart; where it fails, nobody gets in. Default: none.
   */
  tokens?: AdminTokenList | undefined
  /** False: no token is needed, because something else protects the API. */
  auth?: false | undefined
  /** The path of the API below that of the app, with or without slashes at its ends. Default '/_store/v1'. */
  prefix?: string | undefined
  /** The longest lease in seconds, from 0.001 on. A lock is leased for 30 s, or this if it is shorter. Default 3600. */
  maxLease?: number | undefined
  /** The longest time in seconds, from 0.001 on, that a request may wait for a lock. Default 600. */
  maxWait?: number | undefined
}

const OPTIONS = ['prefix', 'token', 'readToken', 'tokens', 'auth', 'maxLease', 'maxWait']
const PREFIX = '/_store/v1'

/** STORE_OPTION_INVALID. */
export function checkAdmin (options: AdminOptions = {}): void {
  if (typeof options !== 'object' || options === null) invalid('admin', 'an object', typeof options)
  onlyKnown(options, OPTIONS)
  const { token, readToken, tokens, auth, maxLease, maxWait } = options
  for (const [name, value] of Object.entries({ maxLease, maxWait })) {
    if (value !== undefined && !(typeof value === 'number' && value >= MIN_SECONDS)) invalid(`admin.${name}`, `seconds, at least ${MIN_SECONDS}`, show(value))
  }
  if (auth !== undefined && auth !== false) invalid('admin.auth', 'false or nothing', typeof auth)
  if (auth === false) {
    if (token !== undefined || readToken !== undefined || tokens !== undefined) {
      throw new StoreError('STORE_OPTION_INVALID', 'the admin API has tokens and auth: false: leave one of them out')
    }
    return
  }
  if (token === undefined && tokens === undefined) {
    throw new StoreError('STORE_OPTION_INVALID', 'the admin API needs a token, or auth: false where something else protects it')
  }
  if (token !== undefined) checkToken(token, 'admin.token')
  if (readToken !== undefined) checkToken(readToken, 'admin.readToken')
  if (readToken !== undefined && readToken === token) throw new StoreError('STORE_OPTION_INVALID', 'admin.readToken must differ from admin.token')
  if (typeof tokens === 'function' || tokens === undefined) return
  for (const { token: listed, name } of checkTokens(tokens)) {
    if (listed === token || listed === readToken) throw new StoreError('STORE_OPTION_INVALID', `the admin token ${JSON.stringify(name)} is given twice`)
  }
}

/** The prefix with a slash at its start and none at its end; '' for the root. STORE_OPTION_INVALID. */
export function pathOf (prefix: unknown = PREFIX): string {
  if (typeof prefix !== 'string') invalid('admin.prefix', 'a path', show(prefix))
  const path = prefix.replace(/^\/|\/$/g, '')
  const isPlain = path === '' || path.split('/').every(segment => /^[\w.~!$&'+,;=@-]+$/.test(segment) && !/^\.\.?$/.test(segment))
  if (!isPlain) invalid('admin.prefix', 'a path without parameters and wildcards, like /_store/v1', show(prefix))
  return path === '' ? '' : `/${path}`
}

/** `got` is shown, so it must not be what could be a token by mistake. */
function invalid (option: string, expected: string, got: string): never {
  throw new StoreError('STORE_OPTION_INVALID', `invalid ${option}: expected ${expected}, got ${got}`)
}

function show (value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}
