// Sends requests to an admin API, and checks that the responses come from one.
import type { Dispatcher } from 'undici'
import { StoreError, detailOf, isErrorCode } from '../../core/errors.js'
import { Timer } from '../../core/timer.js'
import { STATS, type Route } from './protocol.js'
import type { Target } from './options.js'

type Body = Dispatcher.ResponseData['body']

/** Characters that are read of an unexpected response. */
const MAX_REFUSAL = 16_384
/** Codes of errors that occur before a request is sent. */
const NEVER_SENT = [
  'ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOENT', 'EACCES', 'UND_ERR_CONNECT_TIMEOUT'
]

export class Transport {
  /** Milliseconds. */
  readonly connectTimeout: number
  readonly #target: Target
  #dispatcher: Promise<Dispatcher> | undefined

  constructor (target: Target) {
    this.#target = target
    this.connectTimeout = target.connectTimeout
  }

  /** Resolves with the statistics of the store as JSON, or rejects after connectTimeout. */
  async stats (): Promise<string> {
    const controller = new AbortController()
    const timer = new Timer()
    timer.start(this.connectTimeout, () => { controller.abort(new StoreError('STORE_UNREACHABLE', this.silence())) })
    try {
      const text = await this.#stats(controller.signal).catch((error: Error) => {
        if (error instanceof StoreError || this.failure(error).code !== 'STORE_DISCONNECTED') throw error
        return this.#stats(controller.signal) // an idle connection was closed by the server, and reads can be repeated
      })
      if (!Number.isSafeInteger((JSON.parse(text) as { maxValueBytes?: unknown } | null)?.maxValueBytes)) {
        throw new Error(`${this.#about(STATS)} was not answered with statistics`)
      }
      return text
    } catch (error) {
      // A read has no effect, so any failure means that no store has answered.
      const { code, detail } = this.failure(error as Error)
      throw new StoreError(code === 'STORE_DISCONNECTED' ? 'STORE_UNREACHABLE' : code, detail, { cause: error })
    } finally {
      timer.stop()
    }
  }

  async #stats (signal: AbortSignal): Promise<string> {
    return await (await this.ask(STATS, null, signal)).text()
  }

  /** Rejects unless the response has the status and type of the route. */
  async ask (route: Route, body: string | null, signal: AbortSignal): Promise<Body> {
    const { origin, prefix, headers } = this.#target
    const dispatcher = await (this.#dispatcher ??= this.#open())
    const answer = await dispatcher.request({
      origin,
      method: route.method,
      path: prefix + route.path,
      headers: body === null ? headers : { ...headers, 'content-type': 'application/json' },
      body,
      signal,
      // the caller's signal limits the time
      headersTimeout: 0,
      bodyTimeout: 0
    })
    if (answer.statusCode === route.status && typeOf(answer) === route.type) return answer.body
    throw await this.#refusal(route, answer)
  }

  /** Maps an error of a request to a StoreError. */
  failure (error: Error & { code?: string }): StoreError {
    if (error instanceof StoreError) return error
    const detail = `${this.#target.origin}${this.#target.prefix}: ${detailOf(error)}`
    return new StoreError(
      NEVER_SENT.includes(error.code ?? '') ? 'STORE_UNREACHABLE' : 'STORE_DISCONNECTED', detail, { cause: error }
    )
  }

  silence (): string {
    return `${this.#target.origin}${this.#target.prefix} has not answered for ${this.connectTimeout / 1000} s`
  }

  async close (): Promise<void> {
    if (this.#target.dispatcher === undefined) {
      await this.#dispatcher?.then(dispatcher => dispatcher.destroy(), () => {})
    }
  }

  async #open (): Promise<Dispatcher> {
    const { dispatcher, origin, connect, connectTimeout } = this.#target
    if (dispatcher !== undefined) return dispatcher
    try {
      const { Pool } = await import('undici') // slow to load, and most stores do not need it
      return new Pool(origin, { connect: { timeout: connectTimeout, ...connect } })
    } catch (error) {
      this.#dispatcher = undefined
      throw error
    }
  }

  async #refusal (route: Route, { statusCode: status, headers, body }: Dispatcher.ResponseData): Promise<StoreError> {
    let text = ''
    try {
      for await (
        const bytes of body as AsyncIterable<Buffer>
      ) if ((text += bytes.toString()).length > MAX_REFUSAL) break
    } catch {} // use what has arrived
    if (status >= 300 && status < 400) {
      return new StoreError(
        'STORE_UNREACHABLE',
        `${this.#about(route)} was redirected (${status}) to ${String(headers.location)}; ` +
          'use the url of the admin API itself'
      )
    }
    const { code, detail } = problem(text)
    if (code !== undefined && isErrorCode(code)) return new StoreError(code, detail)
    const hint = status === 401 ? ': createStore({ url, token }) requires a token of this admin API' : ''
    const what = [status, typeOf({ headers }), code].filter(part => part !== undefined).join(' ')
    const more = detail === undefined ? '' : `; ${detail}`
    const expected = `${route.status} ${route.type}`
    const message = `${this.#about(route)} was answered with ${what}, expected ${expected}${hint}${more}`
    // A 5xx may come from a gateway, whose server may still have executed the calls.
    return new StoreError(status >= 500 ? 'STORE_DISCONNECTED' : 'STORE_UNREACHABLE', message)
  }

  #about ({ method, path }: Route): string {
    return `${method} ${this.#target.origin}${this.#target.prefix}${path}`
  }
}

/** The media type; undefined for problem documents, whose code says more. */
function typeOf ({ headers }: Pick<Dispatcher.ResponseData, 'headers'>): string | undefined {
  const type = headers['content-type']?.toString().split(';')[0]!.trim().toLowerCase()
  return type === 'application/problem+json' ? undefined : type
}

function problem (text: string): { code?: string, detail?: string } {
  try {
    const { code, detail } = JSON.parse(text) as { code?: unknown, detail?: unknown }
    return { ...typeof code === 'string' ? { code } : {}, ...typeof detail === 'string' ? { detail } : {} }
  } catch {
    return {}
  }
}
