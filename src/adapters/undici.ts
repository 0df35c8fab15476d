// undici: one HTTP cache for all workers.
import { EventEmitter } from 'node:events'
import { Writable } from 'node:stream'
import type { Collection } from '../api/collection.js'
import type { StoreError } from '../core/errors.js'
import { pickStore, type PickOptions, type Store } from '../api/store.js'
import { secondsOf } from './duration.js'
import { nameOf } from './names.js'

export interface UndiciCacheOptions extends PickOptions {
  /** The collection that the responses are in, a name of 1024 bytes at most. Default 'http-cache'. */
  collection?: string | undefined
}

type Headers = Record<string, string | string[]>

/** What undici asks for. */
export interface CacheKey {
  origin: string
  method: string
  path: string
  headers?: Headers
}

/** What undici stores of a response, beside its body. Times are milliseconds since 1970. */
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

/** The body in base64. */
interface Variant extends CacheValue {
  method: string
  body: string
}

/** Of one URL: as many responses as its requests differ by method and by the headers that it varies with. */
const MAX_VARIANTS = 16

/**
 * `new Agent().compose(interceptors.cache({ store: new UndiciCacheStore() }))`. The responses of a URL are one value: one that does not fit
 * into `maxValueBytes`, in base64, is not kept. Whatever goes wrong with the store, requests are answered by their servers, and there is an
 * 'error' event for those who listen. The constructor throws STORE_OPTION_INVALID, STORE_NAME_INVALID.
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

  /** The response that is kept for a request. */
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

  /** Takes the body of a response, and keeps it when that has ended. */
  createWriteStream (key: CacheKey, value: CacheValue): Writable {
    const { maxValueBytes } = this.#store
    const chunks: Buffer[] = []
    let size = 0
    return new Writable({
      write (chunk: Buffer | string, encoding, callback) {
        const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk
        size += bytes.length
        chunks.push(bytes)
        if (size * 4 / 3 > maxValueBytes) this.destroy() // undici goes on without it
        callback()
      },
      final: callback => {
        const body = Buffer.concat(chunks).toString('base64')
        this.#keep(key, { ...value, method: key.method, body }).catch((error: StoreError) => { this.#report(error) }).finally(callback)
      }
    })
  }

  /** Drops the responses of a URL, those of all methods. */
  async delete (key: CacheKey): Promise<void> {
    await this.#responses.del(urlOf(key)).catch((error: StoreError) => { this.#report(error) })
  }

  /** Closes the store if it was made for this one alone. */
  async close (): Promise<void> {
    if (this.#isOwn) await this.#store.close()
  }

  async #keep (key: CacheKey, response: Variant): Promise<void> {
    const name = urlOf(key)
    let others = Infinity
    for (;;) {
      const stored = await this.#responses.entry(name)
      const now = Date.now()
      const rest = (stored?.value ?? []).filter(variant => variant.deleteAt > now && !isFor(key, variant)).slice(0, Math.min(others, MAX_VARIANTS - 1))
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

/** RFC 9111, section 4.1: the headers that the response varies with are the same. */
function isFor ({ method, headers = {} }: CacheKey, variant: Variant): boolean {
  if (variant.method !== method || variant.deleteAt <= Date.now()) return false
  return Object.entries(variant.vary ?? {}).every(([name, value]) => String(headers[name] ?? '') === String(value ?? '') && (headers[name] == null) === (value == null))
}
