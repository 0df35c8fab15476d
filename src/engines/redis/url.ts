// redis://user:password@host:6379/0, with `rediss:` for TLS, or redis:///path/of/a/socket.
import { StoreError } from '../../core/errors.js'

export interface Address {
  host: string
  port: number
  path?: string
  db: number
  username?: string
  password?: string
  tls?: object
}

/** STORE_OPTION_INVALID. */
export function parse (text: string): Address {
  if (!URL.canParse(text)) {
    throw new StoreError(
      'STORE_OPTION_INVALID', `invalid url: expected redis://host:port/db, got ${JSON.stringify(text)}`
    )
  }
  const { protocol, hostname, port, username, password, pathname, search } = new URL(text)
  const [, db] = /^\/?(\d*)$/.exec(pathname) ?? []
  if (db === undefined && hostname !== '') {
    throw new StoreError(
      'STORE_OPTION_INVALID', `invalid url: expected a database number as the path, got ${hide(text)}`
    )
  }
  if (search !== '') {
    throw new StoreError(
      'STORE_OPTION_INVALID', `invalid url: ${hide(text)} has query parameters, which are not supported; use the option redis.client`
    )
  }
  return {
    host: hostname === '' ? '127.0.0.1' : hostname.replace(/^\[|\]$/g, ''), // brackets of IPv6
    port: Number(port === '' ? 6379 : port),
    ...(db === undefined ? { path: decodeURIComponent(pathname) } : {}),
    db: Number(db ?? 0),
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' ? { tls: {} } : {})
  }
}

/** The URL without credentials, for logs. */
export function hide (text: string): string {
  const { protocol, host, pathname } = new URL(text)
  return `${protocol}//${host}${pathname}`
}
