// How long a session lives: as long as its cookie. A touch extends the key of a session, but not the cookie that is
// stored with it.
import { MAX_SECONDS } from './duration.js'

const ROUNDING_MS = 10

/** A session as the libraries store it: the cookie as JSON, and the application's own properties. */
export interface StoredSession {
  cookie?: { expires?: unknown, originalMaxAge?: unknown }
  [name: string]: unknown
}

/**
 * How many seconds to keep a session: `ttl`, if its cookie does not expire. `readAt`: when its request has read it. A
 * cookie that has been restarted since then lives for its `maxAge` from now on, however long the request takes.
 */
export function lifeOf (session: StoredSession | undefined, ttl: number, readAt = Infinity): number {
  const end = endOf(session?.cookie)
  if (end === undefined) return ttl
  const maxAge = session?.cookie?.originalMaxAge
  const least = typeof maxAge === 'number' && end >= readAt + maxAge ? maxAge : -Infinity
  return Math.min(Math.max(least, end - Date.now()) / 1000, MAX_SECONDS)
}

/** Whether the cookies of two sessions live for the same time, from a request on. */
export function livesLike (session: StoredSession, other: StoredSession): boolean {
  const [end, otherEnd] = [endOf(session.cookie), endOf(other.cookie)]
  if (end === undefined || otherEnd === undefined) return end === otherEnd
  return typeof session.cookie?.originalMaxAge === 'number' &&
    isSameMaxAge(session.cookie.originalMaxAge, other.cookie?.originalMaxAge)
}

/** express-session shortens `originalMaxAge` if the clock advances while it restarts a cookie. */
export function isSameMaxAge (one: unknown, other: unknown): boolean {
  return one === other || (typeof one === 'number' && typeof other === 'number' && Math.abs(one - other) < ROUNDING_MS)
}

/**
 * A stored session with the current expiry of its cookie; undefined if it has expired. `expiresAt`: when its key
 * expires.
 */
export function presentOf (session: StoredSession, expiresAt: Date | undefined): StoredSession | undefined {
  if (typeof session !== 'object' || session === null) return undefined
  const end = endOf(session.cookie)
  if (end === undefined) return session
  const last = Math.max(end, expiresAt?.getTime() ?? 0)
  if (last <= Date.now()) return undefined
  return { ...session, cookie: { ...session.cookie, expires: new Date(last).toISOString() } }
}

/** When a cookie expires: a Date, or its text once it was stored. Undefined if it does not. */
export function endOf (cookie: { expires?: unknown } | undefined): number | undefined {
  const expires = cookie?.expires
  const end = expires instanceof Date ? expires.getTime() : typeof expires === 'string' ? Date.parse(expires) : NaN
  return Number.isNaN(end) ? undefined : end
}
