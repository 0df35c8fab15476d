// Remembers what a request has read of a session until the request saves it: a session destroyed in between is not
// saved.
import type { KeyLock } from '../api/key-lock.js'
import { currentContext, runWith } from '../web/request-context.js'
import { contextOfSession, cookieOptionOf, isOfFastify, keepContext } from './fastify-session.js'
import type { KnownSession } from './known-session.js'
import type { StoredSession } from './session-life.js'

type Reads = readonly SessionRead[]

export class SessionRead {
  readonly at = Date.now()

  /** `source`: the collection that has the session. */
  constructor (
    readonly source: object, readonly sid: string, readonly session: StoredSession, readonly stored: KnownSession,
    readonly lock?: KeyLock
  ) {}

  /** Makes the object stand for the session in any context. */
  keepFor (session: unknown): void {
    if (typeof session !== 'object' || session === null) return
    Reflect.defineProperty(session, READ, { value: this, configurable: true, writable: true }) // false if it is frozen
  }

  isOf (source: object, sid: string): boolean {
    return this.sid === sid && this.source === source
  }

  /** Adds it to what the running code has read. */
  add (): void {
    const context = currentContext()
    if (context !== undefined) context.reads = this.#before(context.reads as Reads)
  }

  /** Runs the code that continues with the session. */
  run (fn: () => void): void {
    const reads = this.#before(readsOfRequest())
    const context = currentContext()
    if (context?.response === undefined) {
      runWith(reads, fn)
      return
    }
    context.reads = reads
    if (isOfFastify(context)) {
      this.#keepInCookie()
      keepContext(context)
    }
    fn()
  }

  /** For the session that copies the enumerable properties of the cookie. */
  #keepInCookie (): void {
    const { cookie } = this.session
    if (typeof cookie === 'object' && cookie !== null) Object.assign(cookie, { [READ]: this })
  }

  #before (reads: Reads): Reads {
    const others = without(reads, this.source, this.sid)
    if (others.length === MAX_READS) others.splice(-2, 1) // the last one is the request's own
    return [this, ...others]
  }
}

/** Code that never ends, such as a chain of callbacks and timers, may read any number of sessions. */
const MAX_READS = 16

/**
 * A property of the objects that stand for a session, which are known in any context: the libraries do not say for
 * which request they save. It is not enumerable, so that it is neither copied nor shown. In a WeakMap, reads would cost
 * the garbage collector a time that grows with their number.
 */
const READ = Symbol.for('strong-store.session-read.1')

/** Finds what the saving request has read; undefined for a new session, or if nothing is known. */
export function findRead (source: object, sid: string, session: object | undefined): SessionRead | undefined {
  const read = session && keptFor(session)
  if (read?.isOf(source, sid)) return read
  const isSame = (read: SessionRead): boolean => read.isOf(source, sid)
  // The running code may belong to another request of the session, which has sent the reply of this one.
  const reads = (session && contextOfSession(session))?.reads as Reads | undefined
  return reads?.find(isSame) ?? readsOfRequest().find(isSame)
}

function keptFor (session: object): SessionRead | undefined {
  return (session as { [READ]?: SessionRead })[READ] ?? cookieOptionOf(session, READ) as SessionRead | undefined
}

/** Forgets what the running code has read of a session: its id is that of a new one. */
export function forgetRead (source: object, sid: string): void {
  const context = currentContext()
  if (context !== undefined) context.reads = without(context.reads as Reads, source, sid)
}

function without (reads: Reads, source: object, sid: string): SessionRead[] {
  return reads.filter(read => !read.isOf(source, sid))
}

/** What the running code has read, the last one first. */
export function readsOfRequest (): Reads {
  return (currentContext()?.reads ?? []) as Reads
}
