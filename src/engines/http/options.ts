// Where an admin API is, and how it is reached.
import type { Dispatcher } from 'undici'
import { onlyKnown } from '../../core/validation.js'
import { StoreError } from '../../core/errors.js'

export interface HttpStoreOptions {
  /** Headers of every request, for what is in front of the admin API: `{ authorization: 'Basic …' }`. `authorization` excludes a token. Default: none. */
  headers?: Record<string, string> | undefined
  /** Options of Node's `tls.connect` and `net.connect`: `ca`, `cert`, `key`, `servername`, … and `socketPath` for a Unix socket. Default: none. */
  connect?: Record<string, unknown> | undefined
  /** An undici dispatcher that carries the requests: a ProxyAgent, say. It must not repeat requests; it is not closed with the store. Excludes `connect`. */
  dispatcher?: Dispatcher | undefined
}

export interface Address extends HttpStoreOptions {
  /** Of the admin API, its prefix included. */
  url: string
  token?: string | undefined
  /** Milliseconds. */
  connectTimeout: number
}

export interface Target {
  origin: string
  /** What paths begin with. */
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
  if (dispatcher !== undefined && typeof dispatcher.request !== 'function') throw new StoreError('STORE_OPTION_INVALID', 'invalid http.dispatcher: expected a dispatcher of undici')
  if (dispatcher !== undefined && address.connect !== undefined) {
    throw new StoreError('STORE_OPTION_INVALID', 'http.connect cannot be combined with http.dispatcher: give the dispatcher these options')
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

/** What a URL can say and is not used must not be lost silently. */
function parse (text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new StoreError('STORE_OPTION_INVALID', `invalid url: expected http://host:port/prefix, got ${JSON.stringify(text)}`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new StoreError('STORE_OPTION_INVALID', 'invalid url: it must not have a user and password; give the token of the admin API as the option token, ' +
      'or what a proxy asks for as http: { headers: { authorization } }')
  }
  for (const part of [url.search, url.hash]) {
    if (part !== '') throw new StoreError('STORE_OPTION_INVALID', `invalid url: ${part} is not used; give options to createStore instead`)
  }
  return url
}

function headersOf (given: Record<string, string>, token: string | undefined): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(given)) {
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || typeof value !== 'string' || !/^[\t\x20-\x7e]*$/.test(value)) {
      throw new StoreError('STORE_OPTION_INVALID', `invalid http.headers: ${JSON.stringify(name)} cannot be sent`)
    }
    headers[name.toLowerCase()] = value
  }
  if (token === undefined) return headers
  if (headers.authorization !== undefined) throw new StoreError('STORE_OPTION_INVALID', 'http.headers.authorization cannot be combined with a token')
  return { ...headers, authorization: `Bearer ${token}` }
}
