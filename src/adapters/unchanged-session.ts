// A session as a request has read it. If the request saves the same content, the session is only extended: it must not
// overwrite what other requests have changed in the meantime.
import type { Entry } from '../api/options.js'
import type { StoredSession } from './session-life.js'

/** Extending a session by less is left out, so that a burst of requests does it once. */
const MIN_EXTENSION_MS = 1000
/** Applies to short lives. */
const MIN_EXTENSION_SHARE = 0.01

export class UnchangedSession {
  readonly #text: string
  readonly #cookie: unknown
  /** When its key expires. */
  readonly #end: number | undefined

  /** `session`: the parsed value of the entry. */
  constructor ({ value, expiresAt }: Entry<string>, { cookie }: StoredSession) {
    this.#text = value
    this.#cookie = cookie
    this.#end = expiresAt?.getTime()
  }

  /** Whether a session has the same content, apart from the cookie. */
  hasContentOf (session: StoredSession): boolean {
    let text
    try {
      text = JSON.stringify(session)
    } catch {
      return false // the save fails for the same reason
    }
    const content = contentOf(text, session.cookie)
    return content !== undefined && content === contentOf(this.#text, this.#cookie)
  }

  /** Whether the key expires in `ttl` seconds, or so little earlier that it makes no difference. */
  endsIn (ttl: number): boolean {
    if (this.#end === undefined) return false
    const extension = Date.now() + ttl * 1000 - this.#end
    return Math.abs(extension) < Math.min(MIN_EXTENSION_MS, ttl * 1000 * MIN_EXTENSION_SHARE)
  }
}

/** The part of a session's text that follows the cookie, its first property. Undefined if another one is the first. */
function contentOf (text: string, cookie: unknown): string | undefined {
  const head = `{"cookie":${JSON.stringify(cookie)}`
  return text.startsWith(head) ? text.slice(head.length) : undefined
}
