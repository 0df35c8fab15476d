// Limits failed authentications by network. They are counted in the store, for all workers together, and in this
// process: a valid token costs no call, and failures count immediately, even while the store is unreachable.
import { isIPv6 } from 'node:net'
import type { Collection } from '../src/api/collection.js'
import type { Store } from '../src/api/store.js'

/** Collection of the counters, by network. */
const COLLECTION = 'admin-tries'
/** Maximum failures per network and window. Above it, requests of the network are rejected until the window ends. */
const MAX_FAILURES = 20
const WINDOW_SECONDS = 60
/** Maximum number of networks counted at a time, here and in the store. The oldest are evicted. */
const MAX_NETWORKS = 10_000
/** Maximum length of an address: behind a proxy, a client may send anything. */
const MAX_ADDRESS = 64
/** Timeout of calls to the store. */
const COUNT_TIMEOUT_SECONDS = 2

interface Failures {
  count: number
  /** Wall-clock time in milliseconds. */
  end: number
}

export class AuthThrottle {
  readonly #counters: Collection<number>
  readonly #now: () => number
  readonly #seen = new Map<string, Failures>()
  #isBounded = false

  constructor (store: Store, now = Date.now) {
    this.#counters = store.collection(COLLECTION)
    this.#now = now
  }

  /** Seconds for which requests from the address are rejected; 0 if they are not. */
  blocked (address: string): number {
    if (this.#seen.size === 0) return 0
    const seen = this.#seen.get(networkOf(address))
    return seen === undefined || seen.count < MAX_FAILURES ? 0 : Math.max(0, Math.ceil((seen.end - this.#now()) / 1000))
  }

  /** Counts a failure. Resolves with the seconds for which the address is now rejected; 0 if it is not. */
  async add (address: string): Promise<number> {
    const name = networkOf(address)
    const seen = this.#see(name)
    seen.count++
    try {
      if (!this.#isBounded) {
        this.#isBounded = true
        await this.#counters.configure({ maxKeys: MAX_NETWORKS }, { timeout: COUNT_TIMEOUT_SECONDS })
      }
      const { value, expiresAt } = await this.#counters.count(name, 1, {
        ttl: WINDOW_SECONDS, timeout: COUNT_TIMEOUT_SECONDS
      })
      if (value > seen.count) seen.count = value
      if (expiresAt !== undefined) seen.end = Math.min(seen.end, expiresAt.getTime())
    } catch {
      this.#isBounded = false // the local count still applies
    }
    return seen.count > MAX_FAILURES ? this.blocked(address) : 0
  }

  #see (name: string): Failures {
    const now = this.#now()
    let seen = this.#seen.get(name)
    if (seen !== undefined && seen.end > now) return seen
    this.#seen.delete(name)
    for (const [name, { end }] of this.#seen) {
      if (end > now && this.#seen.size < MAX_NETWORKS) break
      this.#seen.delete(name)
    }
    this.#seen.set(name, seen = { count: 0, end: now + WINDOW_SECONDS * 1000 })
    return seen
  }
}

/**
 * An IPv6 client can choose any address of its /64. IPv4 addresses may be mapped into IPv6 (RFC 4291, section
 * 2.5.5.2).
 */
export function networkOf (address: string): string {
  if (!isIPv6(address)) return address.slice(0, MAX_ADDRESS)
  const groups = groupsOf(address.replace(/%.*$/, ''))
  if (groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff) {
    return [groups[6]! >> 8, groups[6]! & 255, groups[7]! >> 8, groups[7]! & 255].join('.')
  }
  return `${groups.slice(0, 4).map(group => group.toString(16)).join(':')}::/64`
}

/** The eight 16-bit groups of an IPv6 address; the last two may be written as IPv4. */
function groupsOf (address: string): number[] {
  const [head, tail] = address.split('::').map(part => part.split(':').filter(group => group !== '').flatMap(group => {
    const bytes = group.split('.').map(Number)
    return bytes.length === 4 ? [bytes[0]! << 8 | bytes[1]!, bytes[2]! << 8 | bytes[3]!] : [parseInt(group, 16)]
  })) as [number[], number[] | undefined]
  if (tail === undefined) return head
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail]
}
