// Locks sessions for the requests that use them. The lock of a session is a key of its own, so that reading, listing
// and destroying sessions never waits.
import type { ServerResponse } from 'node:http'
import type { Collection } from '../api/collection.js'
import type { KeyLock } from '../api/key-lock.js'
import type { Entry } from '../api/options.js'
import { StoreError } from '../core/errors.js'
import { currentResponse } from '../web/request-context.js'
import { isClosed, isEnded } from '../web/transport.js'
import { MAX_SECONDS } from './duration.js'
import { followCalls, isCallOfHolder } from './self-call.js'
import type { StoredSession } from './session-life.js'
import { readsOfRequest, type SessionRead } from './session-read.js'

export interface LockedEntry {
  entry: Entry<string> | undefined
  lock: KeyLock | undefined
}

/**
 * How often is looked for responses that have ended, in milliseconds, although a slow client or an earlier response of
 * the connection keeps them open. Their session has been saved by then.
 */
const LOOK_MS = 100

/** A lease that ends sooner counts as ended once the lock is lost, and is renewed before a session is saved. */
const MARGIN_MS = 1000

export class SessionLocks {
  readonly #sessions: Collection<StoredSession>
  readonly #texts: Collection<string>
  readonly #lease: { lease?: number }
  /** The first session that each response has read, with its lock. */
  readonly #own = new WeakMap<ServerResponse, { sid: string, lock?: KeyLock }>()
  /** The locks of open responses. */
  readonly #open = new Map<ServerResponse, KeyLock>()
  #timer: NodeJS.Timeout | undefined

  constructor (sessions: Collection<StoredSession>, lease: number) {
    this.#sessions = sessions
    this.#texts = sessions.text
    this.#lease = lease < MAX_SECONDS ? { lease } : {}
    followCalls()
  }

  /**
   * Reads a session. The first one of a request is locked until its response has ended. Outside of a request nothing
   * would release a lock, so none is taken. STORE_DEADLOCK if the request was sent by a request that has locked the
   * session.
   */
  async entry (sid: string): Promise<LockedEntry> {
    const response = currentResponse()
    const own = response && this.#own.get(response)
    if (response !== undefined && own === undefined && !isClosed(response)) return await this.#lock(sid, response)
    return { entry: await this.#texts.entry(sid), lock: own?.sid === sid ? own.lock : undefined }
  }

  /** STORE_LOCK_LOST if another request may hold the session by now; the store's error if it cannot be reached. */
  async check ({ sid, lock }: SessionRead): Promise<void> {
    if (lock === undefined) return
    if (!lock.held) {
      await this.#sessions.has(sid) // fails if the lock was lost because the store cannot be reached
      throw this.#lost(lock)
    }
    if (lock.expiresAt !== undefined && lock.expiresAt.getTime() - Date.now() < MARGIN_MS) await lock.renew()
  }

  #lost ({ expiresAt, isReleased }: KeyLock): StoreError {
    if (isReleased) {
      return new StoreError('STORE_LOCK_LOST', 'the client disconnected before its session was saved')
    }
    const isOver = expiresAt !== undefined && expiresAt.getTime() - Date.now() < MARGIN_MS // the store's clock decides
    const message = isOver
      ? `the request locked its session for longer than the lease of ${String(this.#lease.lease)} seconds`
      : 'the store was lost while the request had locked its session'
    return new StoreError('STORE_LOCK_LOST', message)
  }

  #look (): void {
    for (const response of this.#open.keys()) if (isEnded(response)) this.#release(response)
    if (this.#open.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #release (response: ServerResponse): void {
    const lock = this.#open.get(response)
    this.#open.delete(response)
    if (lock?.held === true) lock.release({ confirm: false }).catch(() => {})
  }

  async #lock (sid: string, response: ServerResponse): Promise<LockedEntry> {
    const own: { sid: string, lock?: KeyLock } = { sid }
    this.#own.set(response, own)
    const closed = new AbortController()
    response.once('close', () => {
      closed.abort()
      this.#release(response)
    })
    const key = `lock:${sid}`
    // Most sessions are free. The read is sent after the lock, and calls of a process keep their order: it is read
    // under the lock.
    const [free, first] = await Promise.allSettled([
      this.#sessions.tryAcquire(key, this.#lease), this.#texts.entry(sid)
    ])
    if (free.status === 'rejected') throw free.reason
    const isFree = free.value !== undefined
    if (!isFree && this.#isHeldByCaller(sid, response)) {
      throw new StoreError('STORE_DEADLOCK', 'the request was sent by another request, which has locked the same session')
    }
    own.lock = free.value ?? await this.#sessions.acquire(key, { ...this.#lease, signal: closed.signal }) as KeyLock
    this.#open.set(response, own.lock)
    this.#timer ??= setInterval(() => { this.#look() }, LOOK_MS).unref()
    if (closed.signal.aborted) {
      this.#release(response)
      throw new StoreError('STORE_ABORTED', 'the client has disconnected')
    }
    if (isFree && first.status === 'rejected') throw first.reason
    const entry = isFree && first.status === 'fulfilled' ? first.value : await this.#texts.entry(sid)
    return { entry, lock: own.lock }
  }

  #isHeldByCaller (sid: string, response: ServerResponse): boolean {
    if (isCallOfHolder(response, sid)) return true
    return readsOfRequest().some(read => read.isOf(this.#sessions, sid) && read.lock?.held === true) // by app.inject
  }
}
