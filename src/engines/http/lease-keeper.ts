// The locks that this process holds over HTTP. They are not tied to a connection, so each has a lease. Once a second,
// one request renews the leases of locks that were acquired without one, so that they last as long as the process, and
// checks whether others have been broken. The renewed leases end by the clock of this process even if the server is
// silent; api/key-lock.ts does the same for those that were asked for.
import { Request, type Reply } from '../../core/engine.js'
import { Timer } from '../../core/timer.js'
import { LEASE_MS } from './protocol.js'

const CHECK_INTERVAL_MS = 1000

class Lock {
  /** Runs until the end of a renewed lease. */
  readonly timer = new Timer()
  /** Whether the keeper renews the lease. */
  isRenewed: boolean
  constructor (readonly request: Request, readonly token: string, readonly fence: number) {
    this.isRenewed = request.lease === undefined
    this.timer.setReferenced(false)
  }
}

interface Grant {
  token: string
  fence: number
  /** Milliseconds of lease. */
  expiresIn: number | undefined
}

/** Sends requests immediately, bypassing other calls. Never rejects: failed replies have a code. */
export type Ask = (requests: Request[]) => Promise<Reply[]>

export class LeaseKeeper {
  readonly #locks = new Map<string, Lock>()
  readonly #ask: Ask
  readonly #lost: (token: string) => void
  #interval: NodeJS.Timeout | undefined
  #isChecking = false

  /** `lost` is called with the tokens of locks that have ended without being released. */
  constructor (ask: Ask, lost: (token: string) => void) {
    this.#ask = ask
    this.#lost = lost
  }

  /** Adds a granted lock. `elapsed`: milliseconds since the request; undefined if the call has waited for long. */
  add (request: Request, { token, fence, expiresIn }: Grant, elapsed: number | undefined): void {
    const lock = new Lock(request, token, fence)
    this.#locks.set(lock.token, lock)
    this.#setEnd(lock, (expiresIn ?? LEASE_MS) - (elapsed ?? 0))
    this.#interval ??= setInterval(
      () => { this.#check([...this.#locks.values()]).catch(() => {}) }, CHECK_INTERVAL_MS
    ).unref()
    if (elapsed === undefined) this.#renew([lock]).catch(() => {})
  }

  /** Whether the keeper renews the lease of a lock. */
  isRenewed (token: string): boolean {
    return this.#locks.get(token)?.isRenewed === true
  }

  /** Called when the holder has renewed a lease. `elapsed` as above; `lease`: the requested one. */
  renewed (token: string, expiresIn: number | undefined, elapsed: number, lease: number | undefined): void {
    const lock = this.#locks.get(token)
    if (lock === undefined || expiresIn === undefined) return
    lock.isRenewed &&= lease === undefined
    lock.timer.stop()
    this.#setEnd(lock, expiresIn - elapsed)
  }

  /** Checks the lock of a key immediately. */
  check (collection: string, key: string): void {
    this.#check(
      [...this.#locks.values()].filter(({ request }) => request.collection === collection && request.key === key)
    ).catch(() => {})
  }

  delete (token: string): void {
    this.#locks.get(token)?.timer.stop()
    this.#locks.delete(token)
    if (this.#locks.size > 0) return
    clearInterval(this.#interval)
    this.#interval = undefined
  }

  /** Releases all locks except detached ones. */
  async close (): Promise<void> {
    const locks = [...this.#locks.values()]
    for (const { token } of locks) this.delete(token)
    await this.#ask(locks.filter(({ request }) => !request.detached).map(lock => about('release', lock)))
  }

  /** Only one check runs at a time, or they would pile up while the server is silent. */
  async #check (locks: Lock[]): Promise<void> {
    if (this.#isChecking || locks.length === 0) return
    this.#isChecking = true
    await Promise.all([
      this.#renew(locks.filter(({ isRenewed }) => isRenewed)),
      this.#verify(locks.filter(({ isRenewed }) => !isRenewed))
    ])
    this.#isChecking = false
  }

  async #renew (locks: Lock[]): Promise<void> {
    const sent = performance.now()
    const replies = await this.#ask(
      locks.map(lock => Object.assign(about('renew', lock), { lease: lock.request.lease }))
    )
    const elapsed = performance.now() - sent
    for (const [i, lock] of locks.entries()) {
      const { code, expiresIn } = replies[i]!
      if (code === 'STORE_LOCK_LOST') this.#end(lock)
      else if (code === undefined && expiresIn !== undefined && this.#locks.has(lock.token)) {
        this.#setEnd(lock, expiresIn - elapsed)
      }
    }
  }

  async #verify (locks: Lock[]): Promise<void> {
    const replies = await this.#ask(locks.map(lock => about('lock', lock)))
    for (const [i, lock] of locks.entries()) {
      const { code, text } = replies[i]!
      if (code === undefined && (text === undefined || (JSON.parse(text) as { fence: number }).fence !== lock.fence)) {
        this.#end(lock)
      }
    }
  }

  #setEnd (lock: Lock, left: number): void {
    if (lock.isRenewed) lock.timer.start(Math.max(0, left), () => { this.#end(lock) })
  }

  #end (lock: Lock): void {
    if (this.#locks.get(lock.token) !== lock) return
    this.delete(lock.token)
    this.#lost(lock.token)
  }
}

function about (op: 'release' | 'renew' | 'lock', { request: { collection, key }, token }: Lock): Request {
  const request = new Request(op, collection, key)
  if (op !== 'lock') request.token = token
  return request
}
