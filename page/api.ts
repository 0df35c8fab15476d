// Requests to the admin API that serves the page. All URLs are relative, so the page works under any prefix.
import { setClock } from './format.js'

/** Milliseconds without a response after which a request fails. */
const TIMEOUT_MS = 10_000

export interface Access {
  name?: string
  access: 'read' | 'write'
  collections?: string[]
}

export interface Ask {
  headers?: Record<string, string>
  /** JSON text. */
  body?: string
  signal?: AbortSignal
}

export interface Answer {
  status: number
  headers: Headers
  text: string
}

/** A failed request; `status` is 0 if there was no response. */
export class Failure extends Error {
  constructor (readonly status: number, readonly code: string, message: string, readonly problem: Problem = {}) {
    super(message)
  }
}

interface Problem {
  title?: string
  detail?: string
  code?: string
  holder?: string
}

/** Builds the path of a resource from names. */
export function path (...segments: string[]): string {
  // Browsers resolve these, even if encoded, which would lead to another resource.
  const dots = segments.find(segment => segment === '.' || segment === '..')
  if (dots !== undefined) {
    throw new Failure(400, '', `The name "${dots}" cannot be part of a URL. Use npx strong-store or the API of Node.js for it.`)
  }
  return segments.map(encodeURIComponent).join('/')
}

export class Api {
  #token: string | undefined
  readonly #place = `strong-store ${location.pathname}`
  access: Access | undefined
  /** Called when a request gets 401 or 403 after the login: the token has lost rights or was removed. */
  onrefused: ((status: number) => void) | undefined

  constructor () {
    this.#token = sessionStorage.getItem(this.#place) ?? undefined
  }

  get hasToken (): boolean {
    return this.#token !== undefined
  }

  get canWrite (): boolean {
    return this.access?.access === 'write'
  }

  /** Finds out what the token allows or, without one, whether one is needed. Keeps the token for this tab. */
  async login (token = this.#token): Promise<void> {
    this.#token = token
    this.access = await this.json<Access>('access')
    if (token !== undefined) sessionStorage.setItem(this.#place, token)
  }

  logout (): void {
    this.#token = this.access = undefined
    sessionStorage.removeItem(this.#place)
  }

  async json<T> (resource: string, signal?: AbortSignal): Promise<T> {
    return JSON.parse((await this.ask('GET', resource, { signal })).text) as T
  }

  async ask (
    method: string, resource: string,
    { headers = {}, body, signal }: Omit<Ask, 'signal'> & { signal?: AbortSignal | undefined } = {}
  ): Promise<Answer> {
    const timeout = AbortSignal.timeout(TIMEOUT_MS)
    const answer = await this.#fetch(
      method, resource, headers, body, signal === undefined ? timeout : AbortSignal.any([signal, timeout])
    )
    try {
      return { status: answer.status, headers: answer.headers, text: await answer.text() }
    } catch (error) {
      throw unanswered(error)
    }
  }

  /** Resolves with a response whose body is a stream without a time limit. */
  async stream (
    resource: string, signal: AbortSignal, headers: Record<string, string>
  ): Promise<ReadableStream<Uint8Array>> {
    return (await this.#fetch('GET', resource, { accept: 'text/event-stream', ...headers }, undefined, signal)).body!
  }

  /** The curl command for a request, with the token in a shell variable. */
  curl (method: string, resource: string, { headers = {}, body }: Ask = {}): string {
    const url = new URL(resource, location.href.split('#')[0])
    const all = { ...this.#token === undefined ? {} : { authorization: 'Bearer $STORE_TOKEN' }, ...headers }
    return [
      'curl', ...method === 'GET' ? [] : ['-X', method],
      ...Object.entries(all).flatMap(([name, value]) => (
        ['-H', name === 'authorization' ? `"${name}: ${value}"` : quote(`${name}: ${value}`)]
      )),
      ...body === undefined ? [] : ['--json', quote(body)],
      quote(url.href)
    ].join(' ')
  }

  async #fetch (
    method: string, resource: string, headers: Record<string, string>, body: string | undefined, signal: AbortSignal
  ): Promise<Response> {
    let answer: Response
    try {
      answer = await fetch(resource, {
        method,
        headers: {
          ...headers,
          ...this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` },
          ...body === undefined ? {} : { 'content-type': 'application/json' }
        },
        signal,
        cache: 'no-store',
        ...body === undefined ? {} : { body }
      })
    } catch (error) {
      throw unanswered(error)
    }
    setClock(answer.headers.get('date'))
    if (answer.ok || answer.status === 304) return answer
    const failure = failureOf(answer, await answer.text().catch(() => ''))
    if (this.access !== undefined && (answer.status === 401 || answer.status === 403)) this.onrefused?.(answer.status)
    throw failure
  }
}

function unanswered (error: unknown): unknown {
  const { name } = error as Error
  if (name === 'AbortError') return error
  return new Failure(0, '', name === 'TimeoutError' ? 'The server does not answer.' : 'The server cannot be reached.')
}

function failureOf (answer: Response, text: string): Failure {
  let problem: Problem = {}
  try {
    problem = JSON.parse(text) as Problem
  } catch {} // the response comes from a proxy
  const { title = `Status ${answer.status}`, detail, code = '' } = problem
  return new Failure(answer.status, code, detail === undefined ? `${title}.` : `${title}: ${detail}.`, problem)
}

/** Quotes an argument for a POSIX shell. */
function quote (text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
