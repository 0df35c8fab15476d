// The requests of a client that wait for a connection, in order.
import type { Request } from '../../core/engine.js'

/** Approximate memory overhead of a call. */
const CALL_BYTES = 300

export class UnsentRequests {
  /** Approximate memory that they take. */
  bytes = 0
  /** Calls by id, posts by negative numbers. */
  #requests = new Map<number, Request>()
  #posts = 0

  get size (): number {
    return this.#requests.size
  }

  /** `id`: that of the call, or 0 for a post. */
  add (request: Request, id: number): void {
    this.#requests.set(id === 0 ? -++this.#posts : id, request)
    this.bytes += sizeOf(request)
  }

  /** False if there is no such call. */
  delete (id: number): boolean {
    const request = this.#requests.get(id)
    if (request === undefined) return false
    this.bytes -= sizeOf(request)
    return this.#requests.delete(id)
  }

  /** Removes all and returns them, with their ids. */
  take (): Array<[id: number, request: Request]> {
    const all = [...this.#requests]
    this.#requests = new Map()
    this.bytes = 0
    return all.map(([id, request]) => [Math.max(id, 0), request])
  }
}

function sizeOf ({ text, key, collection }: Request): number {
  return CALL_BYTES + (text?.length ?? 0) + key.length + collection.length
}
