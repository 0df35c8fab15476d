// express-session and @fastify/session: their sessions in one collection, for all workers.
import { EventEmitter } from 'node:events'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'
import { answer } from '../core/callback.js'
import { MIN_SECONDS } from '../core/validation.js'
import type { Collection } from '../api/collection.js'
import type { Entry, KeyPage } from '../api/options.js'
import { StoreError } from '../core/errors.js'
import { installOnce } from '../core/shared.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'
import { runFor } from '../web/current-response.js'
import { DefaultCollection } from './default-collection.js'
import { MAX_SECONDS, checkSeconds } from './duration.js'
import { ExpressSessions } from './express-session.js'
import { SessionLocks } from './session-lock.js'
import { SessionRead, cookieText, findRead, type StoredSession } from './session-read.js'

export type { StoredSession }

export interface SessionStoreOptions extends PickOptions {
  /**
   * The collection that the sessions are in, 1024 bytes at most. Default 'sessions'. Two applications in one process do not share it by
   * accident: while an older SessionStore is in use, `get` of a newer one with the same default fails with STORE_OPTION_INVALID.
   */
  collection?: string | undefined
  /** Seconds until a session ends whose cookie has no end, from 0.001 on; Infinity: it does not. Each save and each touch starts it anew. Default 86400. */
  ttl?: number | undefined
  /**
   * True: the requests of one session run one after another, in all processes, so that none loses what another has saved.
   * A request holds its session from the moment it is read until the response has ended. Default false.
   */
  locking?: boolean | undefined
  /**
   * With `locking`: seconds, from 0.001 on, after which a request that has not ended lets the next one go on; Infinity: it does not. What it
   * saves after that is refused with STORE_LOCK_LOST. Default 30.
   */
  lease?: number | undefined
  /**
   * What becomes of a request while no store can be reached. 'fail': it gets the error, with its status 503. 'no-session': it
   * goes on as if there were no session, and saves nothing; only `destroy` fails. Default 'fail'.
   */
  unreachable?: 'fail' | 'no-session' | undefined
}

// Loose where the two libraries do not agree with each other.
type Callback = (error?: any) => void
type SessionCallback = (error: any, session?: any) => void

const NAME = 'sessions'
const PAGE = 500

// Node says for which response code runs, but not over HTTP/2, nor for app.inject: Fastify's hooks do.
installOnce('fastify.1', () => {
  const follow = (message: unknown): void => {
    const { fastify } = message as { fastify: FastifyInstance }
    fastify.addHook('onRequest', (_request, reply, done) => { runFor(reply.raw, done) })
  }
  subscribe('fastify.initialization', follow)
  return () => { unsubscribe('fastify.initialization', follow) }
})

/**
 * `session({ store: new SessionStore() })` for express-session, `register(fastifySession, { store: new SessionStore() })` for
 * @fastify/session. Without a callback nobody is told of errors. The constructor throws STORE_OPTION_INVALID, STORE_NAME_INVALID.
 */
export class SessionStore extends EventEmitter {
  readonly #store: Store
  readonly #isOwn: boolean
  readonly #sessions: Collection<StoredSession>
  readonly #ttl: number
  readonly #default: DefaultCollection | undefined
  readonly #locks: SessionLocks | undefined
  readonly #isTolerant: boolean
  readonly #express = new ExpressSessions(this)

  constructor (options: SessionStoreOptions = {}) {
    super()
    const { collection = NAME, ttl = 86400, locking = false, lease = 30, unreachable = 'fail', ...where } = options
    checkSeconds(ttl, 'ttl')
    checkSeconds(lease, 'lease')
    if (typeof locking !== 'boolean') throw new StoreError('STORE_OPTION_INVALID', 'locking must be true or false')
    if (unreachable !== 'fail' && unreachable !== 'no-session') {
      throw new StoreError('STORE_OPTION_INVALID', `unreachable must be 'fail' or 'no-session', got ${String(unreachable)}`)
    }
    this.#store = pickStore(where)
    this.#isOwn = where.store === undefined && !this.#store.isShared
    this.#sessions = this.#store.collection(collection)
    if (options.collection === undefined) this.#default = new DefaultCollection(this.#store)
    this.#ttl = Math.min(ttl, MAX_SECONDS)
    this.#locks = locking ? new SessionLocks(this.#sessions, lease) : undefined
    this.#isTolerant = unreachable === 'no-session'
  }

  /** The session, or undefined if there is none (any more). With `locking`: after the requests that had it before. */
  get (sid: string, callback: SessionCallback): void {
    answer(this.#tolerant(this.#read(sid)), (error, read) => {
      if (read === undefined) callback(error)
      else read.run(() => { callback(null, read.session) })
    })
  }

  /**
   * Stores a session, until its cookie ends, or else for `ttl` seconds. One that was destroyed since the same request has read or stored it, or
   * has ended since, stays away.
   */
  set (sid: string, session: any, callback?: Callback): void {
    const ttl = this.#lifeOf(session)
    if (ttl < MIN_SECONDS) this.destroy(sid, callback)
    else answer(this.#tolerant(this.#save(sid, session, ttl)), callback)
  }

  /**
   * Gives the stored session its time, in one call that waits for nobody; the stored cookie is only written if there is more to it. Nothing
   * else of the session is changed, and one that was destroyed stays away.
   */
  touch (sid: string, session: any, callback?: Callback): void {
    const ttl = this.#lifeOf(session)
    if (ttl < MIN_SECONDS) this.destroy(sid, callback)
    else answer(this.#tolerant(this.#touch(sid, session, ttl)), callback)
  }

  /** Ends a session. Fails while the store cannot be reached, whatever `unreachable` says: nobody is told of a logout that was none. */
  destroy (sid: string, callback?: Callback): void {
    answer(this.#sessions.del(sid), callback)
  }

  /** All sessions, as an array; each with its `id`, by which it can be destroyed. */
  all (callback: (error: any, sessions?: any) => void): void {
    answer(this.#all(), callback)
  }

  /** How many sessions there are. */
  length (callback: (error: any, length?: number) => void): void {
    answer(this.#sessions.size(), callback)
  }

  /** Ends all sessions of this collection. */
  clear (callback?: Callback): void {
    answer(this.#locks === undefined ? this.#sessions.clear() : this.#clear(), callback)
  }

  /** Closes the store if it was made for this SessionStore alone. */
  async close (): Promise<void> {
    if (this.#isOwn) await this.#store.close()
  }

  // What else express-session asks of a store. @fastify/session asks for none of it.

  /** Set by express-session: gives a request a new session. */
  generate (request: any): void {
    this.#express.generate(request)
  }

  regenerate (request: any, callback: Callback): void {
    this.#express.regenerate(request, callback)
  }

  load (sid: string, callback: SessionCallback): void {
    this.#express.load(sid, callback)
  }

  createSession (request: any, session: any): any {
    return this.#express.createSession(request, session)
  }

  async #read (sid: string): Promise<SessionRead | undefined> {
    this.#default?.check()
    const { entry, lock } = this.#locks === undefined ? { entry: await this.#sessions.entry(sid) } : await this.#locks.entry(sid)
    const session = entry && presentOf(entry)
    if (session === undefined) return undefined
    const read = new SessionRead(sid, session, entry!.version, lock)
    read.keepFor(session)
    return read
  }

  async #save (sid: string, session: StoredSession, ttl: number): Promise<void> {
    const read = findRead(sid, session)
    if (read === undefined) {
      const version = await this.#sessions.set(sid, session, { ttl })
      new SessionRead(sid, session, version).keepFor(session)
      return
    }
    await this.#locks?.check(read)
    for (;;) {
      try {
        read.version = await this.#sessions.set(sid, session, { ttl, ifVersion: read.version })
        return
      } catch (error) {
        unlessMismatch(error)
      }
      const stored = await this.#sessions.entry(sid)
      if (stored === undefined) return
      read.version = stored.version
    }
  }

  async #touch (sid: string, session: StoredSession | undefined, ttl: number): Promise<void> {
    const read = findRead(sid, session)
    if (read === undefined || read.cookie === cookieText(session)) {
      await this.#sessions.touch(sid, { ttl })
      return
    }
    for (;;) {
      await this.#locks?.check(read)
      const stored = await this.#sessions.entry(sid)
      if (stored === undefined) return
      try {
        await this.#sessions.set(sid, { ...stored.value, cookie: session!.cookie! }, { ttl, ifVersion: stored.version })
        return
      } catch (error) {
        unlessMismatch(error)
      }
    }
  }

  async #all (): Promise<StoredSession[]> {
    const sessions = []
    for await (const keys of this.#pages()) {
      const values = await this.#sessions.getMany(keys.map(({ key }) => key))
      for (const [i, { key, expiresAt }] of keys.entries()) {
        const session = values[i] === undefined ? undefined : presentOf({ value: values[i], expiresAt })
        if (session !== undefined) sessions.push({ ...session, id: key })
      }
    }
    return sessions
  }

  /** Without the keys that are only locked, for which a clear would wait. */
  async #clear (): Promise<void> {
    for await (const keys of this.#pages()) await Promise.all(keys.map(({ key }) => this.#sessions.del(key)))
  }

  async * #pages (): AsyncGenerator<KeyPage['keys'], void> {
    let cursor: string | undefined
    do {
      const page: KeyPage = await this.#sessions.page({ cursor, limit: PAGE })
      yield page.keys
      cursor = page.cursor
    } while (cursor !== undefined)
  }

  /** Seconds that a session is to be kept. */
  #lifeOf (session: StoredSession | undefined): number {
    const end = endOf(session)
    return end === undefined ? this.#ttl : Math.min((end - Date.now()) / 1000, MAX_SECONDS)
  }

  #tolerant<T> (outcome: Promise<T>): Promise<T | undefined> {
    if (!this.#isTolerant) return outcome
    return outcome.catch((error: StoreError) => {
      if (error.statusCode === 503) return undefined
      throw error
    })
  }
}

/** The stored session with the end that its cookie has by now; undefined if it is over. The key says it, as `touch` sets its end alone. */
function presentOf ({ value: session, expiresAt }: Pick<Entry<StoredSession>, 'value' | 'expiresAt'>): StoredSession | undefined {
  if (typeof session !== 'object' || session === null) return undefined
  const end = endOf(session)
  if (end === undefined) return session
  const last = Math.max(end, expiresAt?.getTime() ?? 0)
  if (last <= Date.now()) return undefined
  return { ...session, cookie: { ...session.cookie, expires: new Date(last).toISOString() } }
}

/** When a session ends by its cookie, which has a Date, or its text once it was stored; undefined if it does not. */
function endOf (session: StoredSession | undefined): number | undefined {
  const expires = session?.cookie?.expires
  const end = expires instanceof Date ? expires.getTime() : typeof expires === 'string' ? Date.parse(expires) : NaN
  return Number.isNaN(end) ? undefined : end
}

function unlessMismatch (error: unknown): void {
  if ((error as StoreError).code !== 'STORE_VERSION_MISMATCH') throw error
}
