// Holds a response back until the changes under its request's locks are committed, so that a failed commit becomes the
// response. What the handler writes until then is buffered; `write` returns false, so that streams pause.
import { STATUS_CODES, type ServerResponse } from 'node:http'
import type { StoreError } from '../core/errors.js'
import { cutOff } from './transport.js'

/** The changes to commit before the response is sent. */
export interface Uncommitted {
  /** The client has disconnected. */
  readonly aborted: boolean
  readonly hasChanges: boolean
  commit (): Promise<void>
  drop (): void
  /** The handler has ended the response, or is about to. */
  handled (): void
  /** The response is written to its end. */
  ended (): void
  /** Sends an error instead of the response, if nothing was sent and the handler has finished. */
  readonly refuse: ((error: StoreError) => void) | undefined
}

type Method = 'writeHead' | 'flushHeaders' | 'write' | 'end'

type Methods = Record<Method, (...args: any[]) => unknown>

const METHODS: readonly Method[] = ['writeHead', 'flushHeaders', 'write', 'end']
/** Headers that describe the body of the response, and not the response as such. */
const OF_BODY =
  /^(content-(?!security-policy)|transfer-encoding$|etag$|last-modified$|accept-ranges$|cache-control$|expires$)/

/** Wraps the methods of a response that has sent nothing yet. */
export function commitFirst (response: ServerResponse, scope: Uncommitted): void {
  new HeldResponse(response, scope).hold()
}

class HeldResponse {
  readonly #response: ServerResponse
  readonly #scope: Uncommitted
  readonly #originals = new Map<Method, (...args: unknown[]) => unknown>()
  /** The calls buffered during the commit; undefined while there is none. */
  #calls: Array<[Method, unknown[]]> | undefined
  /** The error was sent. Later writes of the handler are ignored. */
  #isOver = false

  constructor (response: ServerResponse, scope: Uncommitted) {
    this.#response = response
    this.#scope = scope
  }

  hold (): void {
    const response = this.#response as unknown as Methods
    for (const method of METHODS) {
      this.#originals.set(method, response[method])
      response[method] = (...args) => this.#call(method, args)
    }
  }

  #call (method: Method, args: unknown[]): unknown {
    if (this.#isOver) return this.#ignore(method, args)
    if (this.#calls !== undefined) return this.#keep(method, args)
    const { headersSent, statusCode } = this.#response
    // Changes made after the head was sent are committed before the end.
    if ((!headersSent || method === 'end') && this.#scope.hasChanges) {
      const status = method === 'writeHead' ? args[0] as number : statusCode
      if (this.#scope.aborted || status >= 500) this.#scope.drop()
      else return this.#commit(method, args, headersSent)
    }
    if (method === 'end') this.#scope.handled()
    return this.#apply(method, args)
  }

  #commit (method: Method, args: unknown[], headersSent: boolean): unknown {
    this.#calls = []
    const kept = this.#keep(method, args)
    this.#scope.commit().then(() => { this.#resume() }, (error: StoreError) => {
      if (headersSent) throw error
      this.#answer(error)
    }).catch((error: Error) => {
      process.emitWarning(error)
      cutOff(this.#response)
    })
    return kept
  }

  /** Buffers a call. To the handler the response looks as if it had been sent. */
  #keep (method: Method, args: unknown[]): unknown {
    this.#calls!.push([method, args])
    Object.defineProperty(this.#response, 'headersSent', { configurable: true, value: true })
    if (method === 'end') Object.defineProperty(this.#response, 'writableEnded', { configurable: true, value: true })
    return method !== 'write' && this.#response
  }

  #release (): Array<[Method, unknown[]]> {
    const calls = this.#calls!
    this.#calls = undefined
    const response = this.#response as Partial<ServerResponse>
    delete (response as { headersSent?: boolean }).headersSent
    delete (response as { writableEnded?: boolean }).writableEnded
    return calls
  }

  #resume (): void {
    let isDrained = false
    for (const [method, args] of this.#release()) {
      if (method === 'end') this.#scope.handled()
      const written = this.#apply(method, args)
      if (method === 'write') isDrained = written === true
    }
    if (isDrained) this.#response.emit('drain')
  }

  #answer (error: StoreError): void {
    const isComplete = this.#release().some(([method]) => method === 'end')
    for (const name of this.#response.getHeaderNames()) if (OF_BODY.test(name)) this.#response.removeHeader(name)
    if (isComplete && this.#scope.refuse !== undefined) {
      this.#scope.refuse(error)
      return
    }
    const { statusCode, code, message } = error
    this.#apply('writeHead', [statusCode, { 'content-type': 'application/json; charset=utf-8' }])
    this.#apply('end', [JSON.stringify({ statusCode, code, error: STATUS_CODES[statusCode], message })])
    this.#isOver = true
  }

  #ignore (method: Method, args: unknown[]): unknown {
    const callback = args.findLast(arg => typeof arg === 'function') as (() => void) | undefined
    if (callback !== undefined) process.nextTick(callback)
    return method === 'write' || this.#response
  }

  #apply (method: Method, args: unknown[]): unknown {
    const result = this.#originals.get(method)!.apply(this.#response, args)
    if (method === 'end') this.#scope.ended()
    return result
  }
}
