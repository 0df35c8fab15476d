// Sessions that are locked for the request that uses them.
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'
import type { ServerResponse } from 'node:http'
import type { Collection } from '../api/collection.js'
import type { KeyLock } from '../api/key-lock.js'
import { storeForResponse } from '../web/request-scope.js'
import type { Store } from '../api/store.js'
import { json } from '../core/value.js'

/** As the libraries store it: the cookie as JSON has it, and whatever the application keeps. */
export interface StoredSession {
  cookie?: { expires?: unknown }
  [name: string]: unknown
}

/** A lock, and what is stored under it, as JSON text. */
interface Held {
  readonly lock: KeyLock<string>
  text: string | undefined
}

/** The response for which code runs. A session store is not told by whom it is called, but Node says when a request begins. */
const running = new AsyncLocalStorage<ServerResponse>()
let isFollowing = false

function followRequests (): void {
  if (isFollowing) return
  isFollowing = true
  subscribe('http.server.request.start', message => { running.enterWith((message as { response: ServerResponse }).response) })
}

export class SessionLocks {
  readonly #store: Store
  readonly #sessions: Collection<StoredSession>
  readonly #lease: number
  /** What each response holds or has held. */
  readonly #held = new WeakMap<ServerResponse, Map<string, Held>>()
  /** The same by session, for code that runs for a request without its context. */
  readonly #bySession = new Map<string, Held>()

  constructor (store: Store, sessions: Collection<StoredSession>, lease: number) {
    this.#store = store
    this.#sessions = sessions
    this.#lease = lease
    followRequests()
  }

  /** Reads a session, locked until the response ends; outside of a request it is not locked, as nothing would release it. */
  async get (sid: string): Promise<StoredSession | undefined> {
    const response = running.getStore()
    const isRequest = response !== undefined && !response.closed
    // Another request may hold the session here, and this one has to wait: its lock is not for us.
    const held = isRequest ? this.#held.get(response)?.get(sid) ?? await this.#lock(sid, response) : this.#bySession.get(sid)
    return held?.lock.held === true ? parse(held.text) : await this.#sessions.get(sid)
  }

  async set (sid: string, session: StoredSession, ttl: number): Promise<unknown> {
    const held = this.#find(sid)
    if (held === undefined) return await this.#sessions.set(sid, session, { ttl })
    const text = json.encode(session, Infinity)
    await this.#sessions.set(sid, session, { ttl, token: held.lock.token })
    held.text = text
  }

  async del (sid: string): Promise<unknown> {
    const held = this.#find(sid)
    if (held?.lock.held !== true) return await this.#sessions.del(sid)
    await this.#sessions.del(sid, { token: held.lock.token })
    held.text = undefined
  }

  /** What `fn` makes of a session is written, if it makes something of it. */
  async update (sid: string, fn: (session: StoredSession | undefined) => StoredSession | undefined, ttl: number): Promise<unknown> {
    const held = this.#find(sid)
    if (held?.lock.held !== true) return await this.#sessions.update(sid, fn, { ttl })
    const changed = fn(parse(held.text))
    if (changed !== undefined) await this.set(sid, changed, ttl)
  }

  async #lock (sid: string, response: ServerResponse): Promise<Held> {
    const sessions = storeForResponse(this.#store, response).collection(this.#sessions.name).text
    const lock = await sessions.acquire(sid, { lease: this.#lease })
    const held = { lock, text: lock.get() }
    const all = this.#held.get(response) ?? new Map<string, Held>()
    this.#held.set(response, all.set(sid, held))
    this.#bySession.set(sid, held)
    response.once('close', () => { if (this.#bySession.get(sid) === held) this.#bySession.delete(sid) })
    return held
  }

  /** The lock that a call on a session comes through: its request's own, also where that is lost by now and the call will be refused. */
  #find (sid: string): Held | undefined {
    const response = running.getStore()
    return (response && this.#held.get(response)?.get(sid)) ?? this.#bySession.get(sid)
  }
}

function parse (text: string | undefined): StoredSession | undefined {
  return text === undefined ? undefined : JSON.parse(text) as StoredSession
}
