// Options of the http engine: the URL of an admin API, and how to connect to it.
import type { Dispatcher } from 'undici'
import { onlyKnown } from '../../core/validation.js'
import { StoreError } from '../../core/errors.js'

export interface HttpStoreOptions {
  /**
   * Headers of every request, for a gateway in front of the admin API: `{ authorization: 'Basic …' }`, which cannot
   * be combined with a token. Default: none.
   */
  headers?: Record<string, string> | undefined
  /**
   * Options of Node's `tls.connect` and `net.connect`: `ca`, `cert`, `key`, `servername` and so on, and `socketPath`
   * for a Unix socket. Default: none.
   */
  connect?: Record<string, unknown> | undefined
  /**
   * An undici dispatcher to send requests with, such as a ProxyAgent. It must not retry requests, and is not closed
   * with the store. Cannot be combined with `connect`. Default: a pool of its own.
   */
  dispatcher?: Dispatcher | undefined
}

export interface Address extends HttpStoreOptions {
  /** URL of the admin API, including its prefix. */
  url: string
  token?: string | undefined
  /** Milliseconds. */
  connectTimeout: number
}

export interface Target {
  origin: string
  /** Prefix of all paths. */
  prefix: string
  headers: Record<string, string>
  connect: Record<string, unknown>
  dispatcher: Dispatcher | undefined
  /** Milliseconds. */
  connectTimeout: number
}

const HTTP_OPTIONS = ['headers', 'connect', 'dispatcher'] as const

/** STORE_OPTION_INVALID. */
export function addressOf (address: Omit<Address, keyof HttpStoreOptions>, http: HttpStoreOptions = {}): Address {
  onlyKnown(http, HTTP_OPTIONS)
  return { ...address, ...http }
}

/** STORE_OPTION_INVALID. */
export function targetOf (address: Address): Target {
  const { token, connectTimeout, headers = {}, connect = {}, dispatcher } = address
  const url = parse(address.url)
  if (token !== undefined && !(typeof token === 'string' && /^[\x21-\x7e]+$/.test(token))) {
    throw new StoreError('STORE_OPTION_INVALID', 'invalid token: expected visible ASCII characters')
  }
  if (dispatcher !== undefined && typeof dispatcher.request !== 'function') {
    throw new StoreError('STORE_OPTION_INVALID', 'invalid http.dispatcher: expected an undici dispatcher')
  }
  if (dispatcher !== undefined && address.connect !== undefined) {
    throw new StoreError(
      'STORE_OPTION_INVALID',
      'http.connect cannot be combined with http.dispatcher: pass these options to the dispatcher'
    )
  }
  return {
    origin: url.origin,
    prefix: url.pathname.replace(/\/$/, ''),
    headers: headersOf(headers, token),
    connect,
    dispatcher,
    connectTimeout
  }
}

/** Refuses parts of a URL that are not used, rather than ignore them. */
function parse (text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new StoreError(
      'STORE_OPTION_INVALID', `invalid url: expected http://host:port/prefix, got ${JSON.stringify(text)}`
    )
  }
  if (url.username !== '' || url.password !== '') {
    throw new StoreError('STORE_OPTION_INVALID', 'invalid url: user and password are not supported; ' +
      'pass the token of the admin API as the option token, ' +
      'or credentials for a proxy as http: { headers: { authorization } }')
  }
  for (const part of [url.search, url.hash]) {
    if (part !== '') {
      throw new StoreError(
        'STORE_OPTION_INVALID', `invalid url: ${part} is not supported; pass options to createStore instead`
      )
    }
  }
  return url
}

function headersOf (given: Record<string, string>, token: string | undefined): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(given)) {
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || typeof value !== 'string' || !/^[\t\x20-\x7e]*$/.test(value)) {
      const what = JSON.stringify(name)
      throw new StoreError('STORE_OPTION_INVALID', `invalid http.headers: ${what} is not a valid header`)
    }
    headers[name.toLowerCase()] = value
  }
  if (token === undefined) return headers
  if (headers.authorization !== undefined) {
    throw new StoreError('STORE_OPTION_INVALID', 'http.headers.authorization cannot be combined with a token')
  }
  return { ...headers, authorization: `Bearer ${token}` }
}
