// The locks that this process holds over HTTP. Nobody tells it when one is lost, so it looks; and it renews the lease of those
// that were asked for without one, so that they last as long as the process, and not much longer.
import { Request, type Reply } from '../../core/engine.js'
import { LEASE } from './codec.js'

/** Milliseconds between two looks at a lock. */
const LOOK = 1000

interface Hold {
  request: Request
  token: string
  fence: number
  /** Whether its lease is ours to renew. */
  isOurs: boolean
  /** When its lease ends, by this process's clock: counted from when it was asked for, so never too late. */
  end: number
  timer: NodeJS.Timeout | undefined
}

export class LeaseKeeper {
  readonly #holds = new Map<string, Hold>()
  /** When the request left whose answer is the lock or the lease. */
  readonly #sent = new WeakMap<Reply, number>()
  readonly #ask: (request: Request) => Promise<Reply>
  readonly #lost: (token: string) => void

  constructor (ask: (request: Request) => Promise<Reply>, lost: (token: string) => void) {
    this.#ask = ask
    this.#lost = lost
  }

  /** Takes from a reply, to a request sent at `sent`, what it says about leases; gives the reply that is for the caller. */
  learn (request: Request, reply: Reply, sent: number): Reply {
    if (request.op === 'acquire' && reply.token !== undefined) {
      this.#sent.set(reply, sent + (reply.expiresIn ?? LEASE * 1000))
      if (request.lease === undefined) reply.expiresIn = undefined
    } else if (request.op === 'renew' && reply.code === undefined) {
      const hold = this.#holds.get(request.token!)
      if (hold === undefined) return reply
      hold.isOurs &&= request.lease === undefined
      hold.end = sent + (reply.expiresIn ?? 0)
      this.#plan(hold)
      if (hold.isOurs) reply.expiresIn = undefined
    } else if (request.op === 'break') {
      for (const hold of this.#holds.values()) {
        if (hold.request.key === request.key && hold.request.collection === request.collection) this.#look(hold).catch(() => {})
      }
    }
    return reply
  }

  add (request: Request, reply: Reply): void {
    const hold: Hold = {
      request, token: reply.token!, fence: reply.fence!, isOurs: request.lease === undefined, end: this.#sent.get(reply)!, timer: undefined
    }
    this.#holds.set(hold.token, hold)
    const now = performance.now()
    const lease = leaseOf(hold)
    if (hold.end - now > lease / 2) {
      this.#plan(hold)
    } else {
      // It was waited for, so when it began is not known well enough: it begins anew.
      hold.end = now + lease
      this.#look(hold, true).catch(() => {})
    }
  }

  delete (token: string): void {
    clearTimeout(this.#holds.get(token)?.timer)
    this.#holds.delete(token)
  }

  /** Releases all that end with the process. */
  async close (): Promise<void> {
    const holds = [...this.#holds.values()]
    for (const { token } of holds) this.delete(token)
    await Promise.all(holds.filter(({ request }) => !request.detached).map(hold => this.#ask(about('release', hold)).catch(() => {})))
  }

  #plan (hold: Hold): void {
    clearTimeout(hold.timer)
    hold.timer = setTimeout(() => { this.#look(hold).catch(() => {}) }, Math.max(0, Math.min(LOOK, hold.end - performance.now()))).unref()
  }

  async #look (hold: Hold, isRenewal = hold.isOurs): Promise<void> {
    if (performance.now() >= hold.end) {
      this.#end(hold)
      return
    }
    const sent = performance.now()
    try {
      const reply = await this.#ask(about(isRenewal ? 'renew' : 'lock', hold))
      if (isRenewal ? reply.code === 'STORE_LOCK_LOST' : fenceOf(reply) !== hold.fence) {
        this.#end(hold)
        return
      }
      if (isRenewal && reply.code === undefined) hold.end = sent + leaseOf(hold)
    } catch {} // nobody answers: it is still held until its lease ends
    if (this.#holds.get(hold.token) === hold) this.#plan(hold)
  }

  #end (hold: Hold): void {
    if (this.#holds.get(hold.token) !== hold) return
    this.delete(hold.token)
    this.#lost(hold.token)
  }
}

function leaseOf ({ request: { lease } }: Hold): number {
  return lease ?? LEASE * 1000
}

function about (op: 'release' | 'renew' | 'lock', hold: Hold): Request {
  const { request: { collection, key }, token } = hold
  const request = new Request(op, collection, key)
  if (op !== 'lock') request.token = token
  if (op === 'renew') request.lease = leaseOf(hold)
  return request
}

function fenceOf ({ text, code }: Reply): number | undefined {
  if (code !== undefined) throw new Error(code)
  return text === undefined ? undefined : (JSON.parse(text) as { fence: number }).fence
}
