// What express-session requires of a store beyond storing: creating Session objects from stored data. The classes come
// from the copy of express-session that uses the store, which exposes them through `generate` only.
import { StoreError } from '../core/errors.js'
import type { StoredSession } from './session-life.js'
import { findRead, forgetRead } from './session-read.js'

interface ExpressRequest {
  sessionID: string
  session?: object
}

interface ExpressStore {
  get (sid: string, callback: (error: unknown, session?: StoredSession) => void): void
  destroy (sid: string, callback: (error?: unknown) => void): void
  generate (request: ExpressRequest): void
}

interface Classes {
  Session: new (request: ExpressRequest, data: object) => object
  /** The prototype of cookies: their constructor is not exported. */
  cookie: object
}

export class ExpressSessions {
  readonly #store: ExpressStore
  readonly #source: object
  #classes: Classes | undefined

  /** `source`: the collection that has the sessions. */
  constructor (store: ExpressStore, source: object) {
    this.#store = store
    this.#source = source
  }

  /** Replaced by express-session. */
  generate (_request: ExpressRequest): void {
    const message = 'express-session does not use this store yet: pass it to session({ store })'
    throw new StoreError('STORE_OPTION_INVALID', message)
  }

  regenerate (request: ExpressRequest, callback: (error?: unknown) => void): void {
    this.#store.destroy(request.sessionID, error => {
      this.#store.generate(request)
      forgetRead(this.#source, request.sessionID) // an application may generate the same id again
      callback(error)
    })
  }

  load (sid: string, callback: (error: unknown, session?: object) => void): void {
    this.#store.get(sid, (error, stored) => {
      if (error != null || stored === undefined) {
        callback(error)
        return
      }
      let session
      try {
        const request = { sessionID: sid, sessionStore: this.#store, headers: {} } as ExpressRequest
        session = this.createSession(request, stored)
      } catch (error) {
        callback(error)
        return
      }
      callback(null, session)
    })
  }

  createSession (request: ExpressRequest, stored: StoredSession): object {
    const { Session, cookie } = this.#classes ??= this.#learn(request)
    const read = findRead(this.#source, request.sessionID, stored)
    stored.cookie = revive(cookie, stored.cookie ?? {}) // as the stores of express-session do
    const session = new Session(request, stored)
    read?.keepFor(session)
    request.session = session
    return session
  }

  /** Learns the classes from a session that is generated for a stand-in of the request. */
  #learn (request: ExpressRequest): Classes {
    interface StandIn extends ExpressRequest {
      session: { constructor: Classes['Session'], cookie: object }
    }
    const standIn = Object.create(request) as StandIn
    this.#store.generate(standIn)
    return { Session: standIn.session.constructor, cookie: Object.getPrototypeOf(standIn.session.cookie) as object }
  }
}

interface StoredCookie {
  expires?: unknown
  originalMaxAge?: unknown
}

function revive (prototype: object, stored: StoredCookie): object {
  const { expires, originalMaxAge } = stored
  const end = typeof expires === 'string' ? new Date(expires) : expires ?? null
  const cookie = Object.create(prototype) as object
  return Object.assign(cookie, { path: '/', httpOnly: true }, stored, { expires: end, originalMaxAge })
}
