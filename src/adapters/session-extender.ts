// Extends a stored session at the end of a request that has not changed its content.
import type { Collection } from '../api/collection.js'
import { rethrowUnless } from '../core/errors.js'
import { livesLike, type StoredSession } from './session-life.js'
import type { SessionLocks } from './session-lock.js'
import type { SessionRead } from './session-read.js'

const DONE = Promise.resolve()

export class SessionExtender {
  readonly #sessions: Collection<StoredSession>
  readonly #locks: SessionLocks | undefined

  constructor (sessions: Collection<StoredSession>, locks: SessionLocks | undefined) {
    this.#sessions = sessions
    this.#locks = locks
  }

  /** Leaves the content as it is. */
  extend (read: SessionRead, session: StoredSession, ttl: number): Promise<unknown> {
    const { sid, stored } = read
    if (!stored.hasCookieOf(session)) return this.#rewriteCookie(read, session, ttl)
    if (stored.endsIn(ttl)) return DONE
    stored.extends()
    return this.#sessions.touch(sid, { ttl, ifVersion: stored.version }).catch(error => {
      rethrowUnless('STORE_VERSION_MISMATCH', error)
      return this.#extendOther(sid, session, ttl)
    })
  }

  /** Extends a session that another request has stored, unless that one has changed how long it lives. */
  async #extendOther (sid: string, session: StoredSession, ttl: number): Promise<void> {
    for (;;) {
      const stored = await this.#sessions.entry(sid)
      if (stored === undefined || !livesLike(stored.value, session)) return
      try {
        await this.#sessions.touch(sid, { ttl, ifVersion: stored.version })
        return
      } catch (error) {
        rethrowUnless('STORE_VERSION_MISMATCH', error)
      }
    }
  }

  async #rewriteCookie (read: SessionRead, session: StoredSession, ttl: number): Promise<void> {
    const { sid } = read
    read.stored.writesCookie(session)
    for (;;) {
      await this.#locks?.check(read)
      const stored = await this.#sessions.entry(sid)
      if (stored === undefined) return
      try {
        const touched = { ...stored.value, cookie: session.cookie! }
        read.stored.version = await this.#sessions.set(sid, touched, { ttl, ifVersion: stored.version })
        return
      } catch (error) {
        rethrowUnless('STORE_VERSION_MISMATCH', error)
      }
    }
  }
}
