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
  /** When its key expires; undefined if that is not known. */
  #end: number | undefined

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
    return contentOf(text, session.cookie) === contentOf(this.#text, this.#cookie)
  }

  /**
   * By how many milliseconds the key has to be extended to expire in `ttl` seconds; 0 if it is so little that it makes
   * no difference, Infinity if it is not known.
   */
  extensionTo (ttl: number): number {
    if (this.#end === undefined) return Infinity
    const extension = Date.now() + ttl * 1000 - this.#end
    return Math.abs(extension) < Math.min(MIN_EXTENSION_MS, ttl * 1000 * MIN_EXTENSION_SHARE) ? 0 : extension
  }

  /** The request changes when the key expires. */
  forgetEnd (): void {
    this.#end = undefined
  }
}

/** The text of a session without its cookie. */
function contentOf (text: string, cookie: unknown): string {
  return text.replace(`"cookie":${JSON.stringify(cookie)}`, '')
}
