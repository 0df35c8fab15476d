// What a store has to do for express-session beyond storing: make sessions of what was stored. The classes are those of the copy of
// express-session that uses the store, which gives it `generate` and nothing else.
import { StoreError } from '../core/errors.js'
import { findRead, type StoredSession } from './session-read.js'

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
  /** Of cookies, whose constructor is not to be had. */
  cookie: object
}

export class ExpressSessions {
  readonly #store: ExpressStore
  #classes: Classes | undefined

  constructor (store: ExpressStore) {
    this.#store = store
  }

  /** What there is until express-session has put its own in its place. */
  generate (_request: ExpressRequest): void {
    throw new StoreError('STORE_OPTION_INVALID', 'express-session does not use this store yet: session({ store })')
  }

  regenerate (request: ExpressRequest, callback: (error?: unknown) => void): void {
    this.#store.destroy(request.sessionID, error => {
      this.#store.generate(request)
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
        session = this.createSession({ sessionID: sid, sessionStore: this.#store, headers: {} } as ExpressRequest, stored)
      } catch (error) {
        callback(error)
        return
      }
      callback(null, session)
    })
  }

  createSession (request: ExpressRequest, stored: StoredSession): object {
    const { Session, cookie } = this.#classes ??= this.#learn(request)
    const session = new Session(request, { ...stored, cookie: revive(cookie, stored.cookie ?? {}) })
    findRead(request.sessionID, stored)?.keepFor(session)
    request.session = session
    return session
  }

  /** Its first session is made for a stand-in of the request. */
  #learn (request: ExpressRequest): Classes {
    const standIn = Object.create(request) as { session: { constructor: Classes['Session'], cookie: object } } & ExpressRequest
    this.#store.generate(standIn)
    return { Session: standIn.session.constructor, cookie: Object.getPrototypeOf(standIn.session.cookie) as object }
  }
}

function revive (prototype: object, { expires, originalMaxAge, ...stored }: { expires?: unknown, originalMaxAge?: unknown }): object {
  const cookie = Object.assign(Object.create(prototype) as object, { path: '/', httpOnly: true }, stored)
  return Object.assign(cookie, { expires: typeof expires === 'string' ? new Date(expires) : expires ?? null }, { originalMaxAge })
}
