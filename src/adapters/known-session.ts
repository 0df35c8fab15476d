// What a request knows of its stored session. If it saves the same content, the session is only extended: it must not
// overwrite what other requests have changed in the meantime.
import { endOf, isSameMaxAge, type StoredSession } from './session-life.js'

/** Extending a session by less is left out, so that a burst of requests does it once. */
const MIN_EXTENSION_MS = 1000
/** Applies to short lives. */
const MIN_EXTENSION_SHARE = 0.01

export class KnownSession {
  #content: string | undefined
  #cookie: Cookie
  #end: number | undefined
  #writes = 0
  version: number | undefined

  /** `content`: see `contentOf`. `end`: when the key expires. Undefined if they are not known. */
  constructor (cookie: Cookie | undefined, content?: string, end?: number, version?: number) {
    this.version = version
    this.#cookie = { ...attributesOf(cookie) } // the library may change its own
    this.#content = content
    this.#end = end
  }

  hasContent (content: string | undefined): boolean {
    return content !== undefined && content === this.#content
  }

  /** Whether the cookie is the stored one, apart from a later expiry, which is that of the key. */
  hasCookieOf (session: StoredSession): boolean {
    const before = this.#cookie
    const after = attributesOf(session.cookie)
    const [end, newEnd] = [endOf(before), endOf(after)]
    const endsLikeIt = end === undefined || newEnd === undefined ? end === newEnd : newEnd >= end
    return endsLikeIt && hasAllOf(before, after) && hasAllOf(after, before)
  }

  /** Whether the key is known to expire in `ttl` seconds, or so little earlier or later that it makes no difference. */
  endsIn (ttl: number): boolean {
    if (this.#end === undefined) return false
    const extension = Date.now() + ttl * 1000 - this.#end
    return Math.abs(extension) < Math.min(MIN_EXTENSION_MS, ttl * 1000 * MIN_EXTENSION_SHARE)
  }

  /** The request extends the session. */
  extends (): void {
    this.#end = undefined
  }

  /** The request stores the cookie of this session. */
  writesCookie ({ cookie }: StoredSession): void {
    this.#cookie = { ...attributesOf(cookie) }
    this.#end = undefined
  }

  /** The request stores this session, and calls the returned function with its version when that has succeeded. */
  writes (session: StoredSession, content: string | undefined): (version: number) => void {
    this.writesCookie(session)
    this.#content = undefined
    const number = ++this.#writes
    return version => {
      this.version = version
      if (number === this.#writes) this.#content = content
    }
  }
}

/** The text of a session without its cookie; undefined if it has none. */
export function contentOf (session: StoredSession): string | undefined {
  try {
    return withoutCookie(JSON.stringify(session), session)
  } catch {
    return undefined // saving it fails for the same reason
  }
}

export function withoutCookie (text: string, { cookie }: StoredSession): string {
  return text.replace(`"cookie":${JSON.stringify(cookie)}`, '')
}

interface Cookie {
  expires?: unknown
  toJSON? (): Cookie
  [attribute: string]: unknown
}

/** The attributes of a cookie that are stored. */
function attributesOf (cookie: Cookie = {}): Cookie {
  return cookie.toJSON?.() ?? cookie
}

/** Apart from when it expires. Attributes are primitive values; undefined ones are not stored. */
function hasAllOf (cookie: Cookie, other: Cookie): boolean {
  return Object.keys(other).every(name => {
    if (name === 'expires' || name === 'originalExpires') return true
    return name === 'originalMaxAge' ? isSameMaxAge(other[name], cookie[name]) : other[name] === cookie[name]
  })
}
