// What a caller says, checked and laid into a Request: seconds become milliseconds here, and what is no option is refused.
import { MIN_SECONDS, checkKey, checkName, checkNewToken, checkToken, finiteNumber, milliseconds, wholeNumber } from '../core/validation.js'
import { Request, type AbortScope, type Op } from '../core/engine.js'
import { StoreError } from '../core/errors.js'
import type { AcquireOptions, CountOptions, DelOptions, SetOptions, TtlOptions, WaitOptions } from './options.js'

/** A request about a key, and how it waits; `scope` aborts its waits. */
export function requestOf (op: Op, collection: string, key: string, wait: WaitOptions | undefined, scope: AbortScope | undefined): Request {
  checkKey(key)
  const request = new Request(op, collection, key)
  if (wait === undefined && scope === undefined) return request
  const { signal, timeout } = wait ?? {}
  if (timeout === 0) request.nowait = true
  if (signal !== undefined || timeout !== undefined || scope !== undefined) {
    request.wait = {
      timeout: timeout === undefined || timeout === 0 ? undefined : milliseconds(timeout, 'timeout'),
      signal,
      scope
    }
  }
  return request
}

export function withTtl (request: Request, { ttl, token }: TtlOptions): Request {
  if (ttl !== undefined) request.ttl = milliseconds(ttl, 'ttl', MIN_SECONDS)
  if (token !== undefined) request.token = checkToken(token)
  return request
}

export function withCount (request: Request, by: number, options: CountOptions): Request {
  const { ttl, limit, backoff } = options
  request.number = finiteNumber(by, 'by')
  if (limit !== undefined) request.limit = finiteNumber(limit, 'limit')
  if (limit !== undefined && ttl === undefined) throw new StoreError('STORE_OPTION_INVALID', 'a limit needs a ttl')
  request.backoff = backoff === true
  return withTtl(request, options)
}

export function withValue (request: Request, text: string, { ttl, ifAbsent }: SetOptions): Request {
  request.text = text
  if (ttl !== undefined) request.ttl = milliseconds(ttl, 'ttl', MIN_SECONDS)
  request.ifAbsent = ifAbsent === true
  return request
}

export function withWrite (request: Request, { ifVersion, token, release }: DelOptions): Request {
  if (ifVersion !== undefined) request.ifVersion = wholeNumber(ifVersion, 'ifVersion')
  if (token !== undefined) request.token = checkToken(token)
  request.release = token !== undefined && release === true
  return request
}

export function withLease (request: Request, { lease, owner, detached, token }: AcquireOptions): Request {
  if (lease !== undefined) request.lease = milliseconds(lease, 'lease', MIN_SECONDS)
  if (owner !== undefined) checkName(owner, 'STORE_OPTION_INVALID')
  request.owner = owner
  if (detached === true && lease === undefined) throw new StoreError('STORE_OPTION_INVALID', 'a detached lock needs a lease')
  request.detached = detached === true
  if (token !== undefined) request.token = checkNewToken(token)
  return request
}
