// Remembers what a request has read of a session until it saves: a session that was destroyed in between is not saved.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { KeyLock } from '../api/key-lock.js'
import { shared } from '../core/shared.js'

/** As the libraries store it: the cookie as JSON has it, and whatever the application keeps. */
export interface StoredSession {
  cookie?: { expires?: unknown }
  [name: string]: unknown
}

export class SessionRead {
  /** The cookie, but for when it ends. */
  readonly cookie: string

  /** `version` is that of what was read, or of what was saved since. */
  constructor (readonly sid: string, readonly session: StoredSession, public version: number, readonly lock?: KeyLock) {
    this.cookie = cookieText(session)
  }

  /** The object stands for the session, whatever the context. */
  keepFor (session: unknown): void {
    if (typeof session === 'object' && session !== null) bySession.set(session, this)
  }

  /** Runs what goes on with the session. */
  run (fn: () => void): void {
    const others = readsOfRequest().filter(({ sid }) => sid !== this.sid)
    if (others.length === MAX_READS) others.splice(-2, 1) // what is read first is the request's own
    context.run([this, ...others], fn)
  }
}

/** Code that never ends, such as a timer that goes on from callback to callback, may look at any number of sessions. */
const MAX_READS = 16

/**
 * `context`: the sessions that the running code has read, the last one first, as the libraries do not say for which request they save.
 * `bySession`: by the objects that stand for a session, which are known in any context.
 */
const { context, bySession } = shared('session-reads.1', () => ({
  context: new AsyncLocalStorage<readonly SessionRead[]>(),
  bySession: new WeakMap<object, SessionRead>()
}))

/** What the request that saves has read; undefined for a session that is new, and where nothing is known of it. */
export function findRead (sid: string, session: object | undefined): SessionRead | undefined {
  const read = session && bySession.get(session)
  return read?.sid === sid ? read : readsOfRequest().find(read => read.sid === sid)
}

export function readsOfRequest (): readonly SessionRead[] {
  return context.getStore() ?? []
}

/** A cookie as it is stored, but for when it ends: only whether it does. */
export function cookieText (session: StoredSession | undefined): string {
  const cookie = JSON.parse(JSON.stringify(session?.cookie ?? null)) as Record<string, unknown> | null
  return JSON.stringify(cookie && { ...cookie, expires: cookie.expires != null, originalExpires: undefined })
}
