// express-session and @fastify/session: their sessions in one collection, for all workers.
import { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import { answer } from '../core/callback.js'
import { MIN_SECONDS, milliseconds } from '../core/validation.js'
import type { Collection } from '../api/collection.js'
import { StoreError } from '../core/errors.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'
import { SessionLocks, type StoredSession } from './session-lock.js'

export type { StoredSession }

export interface SessionStoreOptions extends PickOptions {
  /**
   * The collection that the sessions are in, 1024 bytes at most. Default 'sessions', which only one SessionStore of a store in this process gets
   * without naming it: two applications do not share their sessions by accident.
   */
  collection?: string | undefined
  /** Seconds until a session ends whose cookie has no end, from 0.001 on. Each save and each touch starts it anew. Default 86400. */
  ttl?: number | undefined
  /**
   * True: the requests of one session run one after another, in all processes, so that none loses what another has saved.
   * A request holds its session from the moment it is read until the response has ended. Default false.
   */
  locking?: boolean | undefined
  /**
   * With `locking`: seconds, from 0.001 on, after which a request that has not ended lets the next one go on. What it saves after
   * that is refused with STORE_LOCK_LOST. Default 30.
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
const LONGEST = 2 ** 39
/** The collections that sessions are kept in, of each store. */
const taken = new WeakMap<Store, Set<string>>()

/**
 * `session({ store: new SessionStore() })` for express-session, `register(fastifySession, { store: new SessionStore() })` for
 * @fastify/session. Without a callback nobody is told of errors. The constructor throws STORE_OPTION_INVALID, STORE_NAME_INVALID.
 */
export class SessionStore extends EventEmitter {
  /** Set by express-session: gives a request a new session. */
  declare generate: (request: unknown) => void
  readonly #store: Store
  readonly #isOwn: boolean
  readonly #sessions: Collection<StoredSession>
  readonly #ttl: number
  readonly #locks: SessionLocks | undefined
  readonly #isTolerant: boolean

  constructor (options: SessionStoreOptions = {}) {
    super()
    const { collection = NAME, ttl = 86400, locking = false, lease = 30, unreachable = 'fail', ...where } = options
    milliseconds(ttl, 'ttl', MIN_SECONDS)
    milliseconds(lease, 'lease', MIN_SECONDS)
    if (typeof locking !== 'boolean') throw new StoreError('STORE_OPTION_INVALID', 'locking must be true or false')
    if (unreachable !== 'fail' && unreachable !== 'no-session') {
      throw new StoreError('STORE_OPTION_INVALID', `unreachable must be 'fail' or 'no-session', got ${String(unreachable)}`)
    }
    this.#store = pickStore(where)
    this.#isOwn = where.store === undefined && !this.#store.isShared
    this.#sessions = this.#store.collection(collection)
    take(this.#store, collection, options.collection !== undefined)
    this.#ttl = ttl
    this.#locks = locking ? new SessionLocks(this.#store, this.#sessions, lease) : undefined
    this.#isTolerant = unreachable === 'no-session'
  }

  /** The session, or undefined if there is none (any more). With `locking`: after the requests that had it before. */
  get (sid: string, callback: SessionCallback): void {
    const found = this.#locks === undefined ? this.#sessions.get(sid) : this.#locks.get(sid)
    answer(this.#tolerant(found.then(session => session === undefined || isOver(session) ? undefined : session)), callback)
  }

  /** Stores a session, until its cookie ends, or else for `ttl` seconds. */
  set (sid: string, session: any, callback?: Callback): void {
    const ttl = this.#lifeOf(session)
    if (ttl < MIN_SECONDS) {
      this.destroy(sid, callback)
      return
    }
    answer(this.#tolerant(this.#locks === undefined ? this.#sessions.set(sid, session, { ttl }) : this.#locks.set(sid, session, ttl)), callback)
  }

  /** Gives the stored session a new cookie and its time. Nothing else of it is changed, and one that was destroyed stays away. */
  touch (sid: string, session: any, callback?: Callback): void {
    const ttl = this.#lifeOf(session)
    if (ttl < MIN_SECONDS) {
      this.destroy(sid, callback)
      return
    }
    const renew = (stored: StoredSession | undefined): StoredSession | undefined => stored && { ...stored, cookie: session.cookie }
    answer(this.#tolerant(this.#locks === undefined ? this.#sessions.update(sid, renew, { ttl }) : this.#locks.update(sid, renew, ttl)), callback)
  }

  /** Ends a session. Fails while the store cannot be reached, whatever `unreachable` says: nobody is told of a logout that was none. */
  destroy (sid: string, callback?: Callback): void {
    answer(this.#locks === undefined ? this.#sessions.del(sid) : this.#locks.del(sid), callback)
  }

  /** All sessions, as an array; with `locking`, each after the request that has it. */
  all (callback: (error: any, sessions?: any) => void): void {
    answer(this.#all(), callback)
  }

  /** How many sessions there are. */
  length (callback: (error: any, length?: number) => void): void {
    answer(this.#sessions.size(), callback)
  }

  /** Ends all sessions of this collection. */
  clear (callback?: Callback): void {
    answer(this.#sessions.clear(), callback)
  }

  /** Lets go of the collection's name, and closes the store if it was made for this SessionStore alone. */
  async close (): Promise<void> {
    taken.get(this.#store)?.delete(this.#sessions.name)
    if (this.#isOwn) await this.#store.close()
  }

  // What else express-session asks of a store is its own code. @fastify/session asks for none of it.

  regenerate (request: any, callback: Callback): any {
    return expressSessionStore().regenerate.call(this, request, callback)
  }

  load (sid: string, callback: SessionCallback): any {
    return expressSessionStore().load.call(this, sid, callback)
  }

  createSession (request: any, session: any): any {
    return expressSessionStore().createSession.call(this, request, session)
  }

  async #all (): Promise<StoredSession[]> {
    const sessions = []
    for await (const [, session] of this.#sessions.entries()) {
      if (!isOver(session)) sessions.push(session)
    }
    return sessions
  }

  /** Seconds that a session is to be kept. */
  #lifeOf (session: StoredSession): number {
    const end = endOf(session)
    return end === undefined ? this.#ttl : Math.min((end - Date.now()) / 1000, LONGEST)
  }

  #tolerant<T> (outcome: Promise<T>): Promise<T | undefined> {
    if (!this.#isTolerant) return outcome
    return outcome.catch((error: StoreError) => {
      if (error.statusCode === 503) return undefined
      throw error
    })
  }
}

function take (store: Store, name: string, isNamed: boolean): void {
  const names = taken.get(store) ?? new Set()
  if (names.has(name) && !isNamed) {
    throw new StoreError('STORE_OPTION_INVALID', `the sessions of another SessionStore are in collection ${JSON.stringify(name)}; give this one a collection of its own, or name that one to share it`)
  }
  taken.set(store, names.add(name))
}

/** When a session ends by its cookie, which has a Date, or its text once it was stored; undefined if it does not. */
function endOf ({ cookie }: StoredSession): number | undefined {
  const expires = cookie?.expires
  const end = expires instanceof Date ? expires.getTime() : typeof expires === 'string' ? Date.parse(expires) : NaN
  return Number.isNaN(end) ? undefined : end
}

/** The wall clock says so first where it was set forward. */
function isOver (session: StoredSession): boolean {
  const end = endOf(session)
  return end !== undefined && end <= Date.now()
}

interface ExpressSessionStore {
  regenerate (request: unknown, callback: Callback): unknown
  load (sid: string, callback: SessionCallback): unknown
  createSession (request: unknown, session: unknown): unknown
}

/** Loaded when express-session calls for it, and by nothing else. */
function expressSessionStore (): ExpressSessionStore {
  return (createRequire(import.meta.url)('express-session') as { Store: { prototype: ExpressSessionStore } }).Store.prototype
}
