// undici: one HTTP cache for all workers.
import { EventEmitter } from 'node:events'
import { Writable } from 'node:stream'
import type { Collection } from '../api/collection.js'
import type { StoreError } from '../core/errors.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'
import { secondsOf } from './duration.js'
import { nameOf } from './names.js'

export interface UndiciCacheOptions extends PickOptions {
  /** The collection of the responses, a name of at most 1024 bytes. Default 'http-cache'. */
  collection?: string | undefined
}

type Headers = Record<string, string | string[]>

/** A request, as undici describes it. */
export interface CacheKey {
  origin: string
  method: string
  path: string
  headers?: Headers
}

/** A response without its body, as undici describes it. Times are milliseconds since 1970. */
export interface CacheValue {
  statusCode: number
  statusMessage: string
  headers: Headers
  vary?: Record<string, string | string[] | null>
  etag?: string
  cacheControlDirectives?: object
  cachedAt: number
  staleAt: number
  deleteAt: number
}

/** A stored response, with its body in base64. */
interface Variant extends CacheValue {
  method: string
  body: string
}

/** Responses of one URL, which differ by method and by the headers in `Vary`. */
const MAX_VARIANTS = 16

/**
 * `new Agent().compose(interceptors.cache({ store: new UndiciCacheStore() }))`. The responses of a URL are one value:
 * a response that does not fit into `maxValueBytes` in base64 is not cached. If the store fails, requests go to their
 * servers, and an 'error' event is emitted if there are listeners. The constructor throws STORE_OPTION_INVALID,
 * STORE_NAME_INVALID.
 */
export class UndiciCacheStore extends EventEmitter {
  readonly #store: Store
  readonly #isOwn: boolean
  readonly #responses: Collection<Variant[]>

  constructor ({ collection = 'http-cache', ...where }: UndiciCacheOptions = {}) {
    super()
    this.#store = pickStore(where)
    this.#isOwn = where.store === undefined && !this.#store.isShared
    this.#responses = this.#store.collection(collection)
  }

  /** Returns the cached response to a request. */
  async get (key: CacheKey): Promise<any> {
    try {
      const variant = (await this.#responses.get(urlOf(key)))?.find(variant => isFor(key, variant))
      if (variant === undefined) return undefined
      const { method, body, cacheControlDirectives = {}, ...value } = variant
      return { ...value, cacheControlDirectives, body: Buffer.from(body, 'base64') }
    } catch (error) {
      this.#report(error as StoreError)
    }
  }

  /** Collects the body of a response, and caches the response when it has ended. */
  createWriteStream (key: CacheKey, value: CacheValue): Writable {
    const { maxValueBytes } = this.#store
    const chunks: Buffer[] = []
    let size = 0
    return new Writable({
      write (chunk: Buffer | string, encoding, callback) {
        const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk
        size += bytes.length
        chunks.push(bytes)
        if (size * 4 / 3 > maxValueBytes) this.destroy() // undici continues without caching
        callback()
      },
      final: callback => {
        const body = Buffer.concat(chunks).toString('base64')
        this.#keep(key, { ...value, method: key.method, body })
          .catch((error: StoreError) => { this.#report(error) })
          .finally(callback)
      }
    })
  }

  /** Deletes the responses of a URL, those of all methods. */
  async delete (key: CacheKey): Promise<void> {
    await this.#responses.del(urlOf(key)).catch((error: StoreError) => { this.#report(error) })
  }

  /** Closes the store if it was created by this one alone. */
  async close (): Promise<void> {
    if (this.#isOwn) await this.#store.close()
  }

  async #keep (key: CacheKey, response: Variant): Promise<void> {
    const name = urlOf(key)
    let others = Infinity
    for (;;) {
      const stored = await this.#responses.entry(name)
      const now = Date.now()
      const rest = (stored?.value ?? [])
        .filter(variant => variant.deleteAt > now && !isFor(key, variant))
        .slice(0, Math.min(others, MAX_VARIANTS - 1))
      const variants = [response, ...rest]
      const ttl = secondsOf(Math.max(...variants.map(({ deleteAt }) => deleteAt)) - now)
      try {
        await this.#responses.set(name, variants, { ttl, ifVersion: stored?.version ?? 0 })
        return
      } catch (error) {
        const { code } = error as StoreError
        if (code === 'STORE_VALUE_TOO_LARGE' && rest.length > 0) others = Math.floor(rest.length / 2)
        else if (code !== 'STORE_VERSION_MISMATCH') throw error
      }
    }
  }

  #report (error: StoreError): void {
    if (this.listenerCount('error') > 0) this.emit('error', error)
  }
}

function urlOf ({ origin, path }: CacheKey): string {
  return nameOf('', origin + path)
}

/** Whether the headers that the response varies with are the same (RFC 9111, section 4.1). */
function isFor ({ method, headers = {} }: CacheKey, variant: Variant): boolean {
  if (variant.method !== method || variant.deleteAt <= Date.now()) return false
  return Object.entries(variant.vary ?? {}).every(([name, value]) => {
    const header = headers[name]
    return String(header ?? '') === String(value ?? '') && (header == null) === (value == null)
  })
}
