// express-session and @fastify/session: one collection of sessions for all workers.
import { EventEmitter } from 'node:events'
import { answer, settle } from '../core/callback.js'
import { MIN_SECONDS } from '../core/validation.js'
import { json } from '../core/value.js'
import type { Collection } from '../api/collection.js'
import type { KeyLock } from '../api/key-lock.js'
import type { Entry, KeyPage } from '../api/options.js'
import { StoreError, rethrowUnless } from '../core/errors.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'
import { followRequests } from '../web/request-context.js'
import { DefaultCollection } from './default-collection.js'
import { MAX_SECONDS, checkSeconds } from './duration.js'
import { ExpressSessions } from './express-session.js'
import { SessionLocks } from './session-lock.js'
import { KnownSession, contentOf, withoutCookie } from './known-session.js'
import { lifeOf, presentOf, type StoredSession } from './session-life.js'
import { SessionExtender } from './session-extender.js'
import { SessionRead, findRead } from './session-read.js'

export type { StoredSession }

export interface SessionStoreOptions extends PickOptions {
  /**
   * The collection of the sessions, a name of at most 1024 bytes. Default 'sessions'. Two applications in one process
   * do not share it by accident: once a newer SessionStore with this default was used and an older one reads a session
   * after that, `get`, `set` and `touch` of the newer one fail with STORE_OPTION_INVALID.
   */
  collection?: string | undefined
  /**
   * Seconds until a session expires if its cookie does not, at least 0.001; Infinity: never. Each save and each touch
   * restarts it. Default 86400.
   */
  ttl?: number | undefined
  /**
   * True: requests of the same session run one after another, in all processes, so that none overwrites what another
   * has saved. A request locks its session from the first read until the response has ended. Default false.
   */
  locking?: boolean | undefined
  /**
   * With `locking`: seconds, at least 0.001, after which a request that has not ended loses the lock to the next one;
   * Infinity: never. Its own save then fails with STORE_LOCK_LOST. Default 30.
   */
  lease?: number | undefined
  /**
   * How requests behave while no store can be reached. 'fail': they get the error, whose status is 503. 'no-session':
   * they continue as if there were no session, and save nothing; only `destroy` fails. Default 'fail'.
   */
  unreachable?: 'fail' | 'no-session' | undefined
}

// Loose, because the types of the two libraries contradict each other.
type Callback = (error?: any) => void
type SessionCallback = (error: any, session?: any) => void

const NAME = 'sessions'
const PAGE = 500

/**
 * `session({ store: new SessionStore() })` for express-session, `register(fastifySession, { store: new SessionStore()
 * })` for @fastify/session. Errors of calls without a callback are ignored. The constructor throws
 * STORE_OPTION_INVALID, STORE_NAME_INVALID.
 */
export class SessionStore extends EventEmitter {
  readonly #store: Store
  readonly #isOwn: boolean
  readonly #sessions: Collection<StoredSession>
  readonly #texts: Collection<string>
  readonly #ttl: number
  readonly #default: DefaultCollection | undefined
  readonly #locks: SessionLocks | undefined
  readonly #isTolerant: boolean
  readonly #extender: SessionExtender
  readonly #express: ExpressSessions

  constructor (options: SessionStoreOptions = {}) {
    super()
    const { collection = NAME, ttl = 86400, locking = false, lease = 30, unreachable = 'fail', ...where } = options
    checkSeconds(ttl, 'ttl')
    checkSeconds(lease, 'lease')
    if (typeof locking !== 'boolean') {
      throw new StoreError('STORE_OPTION_INVALID', `invalid locking: expected true or false, got ${String(locking)}`)
    }
    if (unreachable !== 'fail' && unreachable !== 'no-session') {
      const got = String(unreachable)
      throw new StoreError('STORE_OPTION_INVALID', `invalid unreachable: expected 'fail' or 'no-session', got ${got}`)
    }
    followRequests()
    this.#store = pickStore(where)
    this.#isOwn = where.store === undefined && !this.#store.isShared
    this.#sessions = this.#store.collection(collection)
    this.#texts = this.#sessions.text
    this.#express = new ExpressSessions(this, this.#sessions)
    if (options.collection === undefined) this.#default = new DefaultCollection(this.#store)
    this.#ttl = Math.min(ttl, MAX_SECONDS)
    this.#locks = locking ? new SessionLocks(this.#sessions, lease) : undefined
    this.#extender = new SessionExtender(this.#sessions, this.#locks)
    this.#isTolerant = unreachable === 'no-session'
  }

  /** Reads a session; undefined if there is none. With `locking`, waits for earlier requests of the session. */
  get (sid: string, callback: SessionCallback): void {
    answer(this.#call('read', () => this.#read(sid)), (error, read) => {
      if (read === undefined) callback(error)
      else read.run(() => { callback(null, read.session) })
    })
  }

  /**
   * Stores a session until its cookie ends, or for `ttl` seconds. A session that has ended or was destroyed since the
   * same request read or stored it is not stored again. One that the request has read and not changed is only extended,
   * as by `touch`.
   */
  set (sid: string, session: any, callback?: Callback): void {
    this.#write(sid, session, callback, (ttl, read) => this.#save(sid, session, ttl, read))
  }

  /**
   * Extends the stored session, in one call that never waits, or in none if the session was extended to this end less
   * than a second (or 1% of its life) ago. The stored cookie is only rewritten if it ends sooner, or if another
   * attribute has changed. The rest of the session stays as it is, and a destroyed session stays destroyed.
   */
  touch (sid: string, session: any, callback?: Callback): void {
    this.#write(sid, session, callback, (ttl, read) => this.#touch(sid, session, ttl, read))
  }

  /**
   * Destroys a session. While the store cannot be reached, it fails even with 'no-session', so that a failed logout is
   * not reported as successful.
   */
  destroy (sid: string, callback?: Callback): void {
    answer(this.#sessions.del(sid), callback)
  }

  /** Lists all sessions, each with its `id`, for `destroy`. */
  all (callback: (error: any, sessions: any[]) => void): void {
    answer(this.#all(), callback as (error: any, sessions?: StoredSession[]) => void)
  }

  /** Counts the sessions. */
  length (callback: (error: any, length?: number) => void): void {
    answer(this.#sessions.size(), callback)
  }

  /** Destroys all sessions of this collection. */
  clear (callback?: Callback): void {
    answer(this.#locks === undefined ? this.#sessions.clear() : this.#clear(), callback)
  }

  /** Closes the store if it was created by this SessionStore alone. */
  async close (): Promise<void> {
    if (this.#isOwn) await this.#store.close()
  }

  // The rest of the interface of express-session, which @fastify/session does not use.

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

  /** Not async, nor are read, save and touch: with AsyncLocalStorage in use, every promise costs more. */
  #call<T> (use: 'read' | 'write', call: () => Promise<T>): Promise<T | undefined> {
    const refused = this.#default?.errorOf(use)
    const outcome = refused === undefined ? call() : Promise.reject(refused)
    if (!this.#isTolerant) return outcome
    return outcome.catch((error: StoreError) => {
      if (error.statusCode === 503) return undefined
      throw error
    })
  }

  #read (sid: string): Promise<SessionRead | undefined> {
    if (this.#locks === undefined) return this.#texts.entry(sid).then(entry => this.#readOf(sid, entry))
    return this.#locks.entry(sid).then(({ entry, lock }) => this.#readOf(sid, entry, lock))
  }

  #readOf (sid: string, entry: Entry<string> | undefined, lock?: KeyLock): SessionRead | undefined {
    if (entry === undefined) return undefined
    const stored = json.decode(entry.value) as StoredSession
    const session = presentOf(stored, entry.expiresAt)
    if (session === undefined) return undefined
    const content = withoutCookie(entry.value, stored)
    const known = new KnownSession(stored.cookie, content, entry.expiresAt?.getTime(), entry.version)
    const read = new SessionRead(this.#sessions, sid, session, known, lock)
    read.keepFor(session)
    return read
  }

  #write (
    sid: string, session: StoredSession | undefined, callback: Callback | undefined,
    write: (ttl: number, read: SessionRead | undefined) => Promise<unknown>
  ): void {
    const read = findRead(this.#sessions, sid, session)
    const ttl = lifeOf(session, this.#ttl, read?.at)
    if (ttl < MIN_SECONDS) this.destroy(sid, callback)
    else settle(this.#call('write', () => write(ttl, read)), callback)
  }

  #save (sid: string, session: StoredSession, ttl: number, read: SessionRead | undefined): Promise<unknown> {
    if (read === undefined) return this.#create(sid, session, ttl)
    const content = contentOf(session)
    if (read.stored.hasContent(content)) return this.#extender.extend(read, session, ttl)
    const onsaved = read.stored.writes(session, content)
    const save = (): Promise<number> => this.#sessions.set(sid, session, { ttl, ifPresent: true })
    const saved = this.#locks === undefined ? save() : this.#locks.check(read).then(save)
    return saved.then(onsaved, error => { rethrowUnless('STORE_NOT_FOUND', error) }) // it has expired
  }

  async #create (sid: string, session: StoredSession, ttl: number): Promise<void> {
    const known = new KnownSession(session.cookie, contentOf(session))
    known.version = await this.#sessions.set(sid, session, { ttl })
    const read = new SessionRead(this.#sessions, sid, session, known)
    read.keepFor(session)
    read.add()
  }

  #touch (
    sid: string, session: StoredSession | undefined, ttl: number, read: SessionRead | undefined
  ): Promise<unknown> {
    if (read === undefined || session === undefined) return this.#sessions.touch(sid, { ttl })
    return this.#extender.extend(read, session, ttl)
  }

  async #all (): Promise<StoredSession[]> {
    const sessions = []
    for await (const keys of this.#pages()) {
      const values = await this.#sessions.getMany(keys.map(({ key }) => key))
      for (const [i, { key, expiresAt }] of keys.entries()) {
        const session = values[i] === undefined ? undefined : presentOf(values[i], expiresAt)
        if (session !== undefined) sessions.push({ ...session, id: key })
      }
    }
    return sessions
  }

  /** Deletes sessions one by one: a clear would wait for their locks. */
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
}
