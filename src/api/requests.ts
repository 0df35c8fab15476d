// Builds Requests from the arguments of a call: checks options, rejects unknown ones, converts seconds to milliseconds.
import {
  MIN_SECONDS, checkKey, checkName, checkNewToken, checkToken, finiteNumber, flag, milliseconds, onlyKnown, wholeNumber
} from '../core/validation.js'
import { Request, type AbortScope, type Op } from '../core/engine.js'
import { StoreError } from '../core/errors.js'
import type { AcquireOptions, CountOptions, DelOptions, SetOptions, TtlOptions, WaitOptions } from './options.js'

/** The defaults of a store's calls, in milliseconds. */
export interface Defaults {
  readonly timeout: number | undefined
  readonly lease: number | undefined
}

/** Creates a request for a key. `scope` aborts its wait. `known`: the options that the call accepts. */
export function requestOf (
  op: Op, collection: string, key: string, options: WaitOptions | undefined, known: readonly string[],
  defaults: Defaults, scope: AbortScope | undefined
): Request {
  checkKey(key)
  const request = new Request(op, collection, key)
  if (options !== undefined && options !== NONE) checkOptions(options, known)
  else if (scope === undefined && defaults.timeout === undefined) return request
  const signal = options?.signal === undefined ? undefined : checkSignal(options.signal)
  const timeout = options?.timeout === undefined ? defaults.timeout : milliseconds(options.timeout, 'timeout')
  if (timeout === 0) request.nowait = true
  if (signal !== undefined || scope !== undefined || (timeout !== undefined && timeout > 0)) {
    request.wait = { timeout: timeout === 0 ? undefined : timeout, signal, scope }
  }
  return request
}

/** The options of a call without options. They need no check. */
export const NONE: Readonly<Record<string, never>> = Object.freeze({})

/** `known`: the accepted options; undefined if they are checked elsewhere. STORE_OPTION_INVALID. */
export function checkOptions (options: unknown, known?: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new StoreError('STORE_OPTION_INVALID', `invalid options: expected an object, got ${typeName(options)}`)
  }
  if (known !== undefined) onlyKnown(options, known)
}

/** Rejects strings, which are iterables of characters. STORE_OPTION_INVALID. */
export function listOf<T> (list: Iterable<T>, name: string, expected: string): Iterable<T> {
  if (Object(list) === list && typeof list[Symbol.iterator] === 'function') return list
  throw new StoreError('STORE_OPTION_INVALID', `${name} must be ${expected}`)
}

/** STORE_OPTION_INVALID unless they are [key, value] pairs. */
export function pairsOf<T> (entries: Iterable<readonly [string, T]>): Array<readonly [string, T]> {
  const expected = 'an iterable of [key, value] pairs, such as Object.entries(object)'
  const pairs = Array.from(listOf(entries, 'entries', expected))
  for (const pair of pairs as unknown[]) {
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw new StoreError('STORE_OPTION_INVALID', `entries must be ${expected}`)
    }
  }
  return pairs
}

/** STORE_OPTION_INVALID. */
export function checkSignal (signal: AbortSignal): AbortSignal {
  if (typeof signal?.addEventListener === 'function' && typeof signal.aborted === 'boolean') return signal
  throw new StoreError('STORE_OPTION_INVALID', `invalid signal: expected an AbortSignal, got ${typeName(signal)}`)
}

function typeName (value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value
}

export function withTtl (request: Request, { ttl, token }: TtlOptions): Request {
  if (ttl !== undefined) request.ttl = milliseconds(ttl, 'ttl', MIN_SECONDS)
  if (token !== undefined) request.token = checkToken(token)
  return request
}

export function withCount (request: Request, by: number, options: CountOptions): Request {
  const { ttl, limit, backoff, durable } = options
  request.number = finiteNumber(by, 'by')
  if (limit !== undefined) request.limit = finiteNumber(limit, 'limit')
  if (limit !== undefined && ttl === undefined) throw new StoreError('STORE_OPTION_INVALID', 'limit requires a ttl')
  request.backoff = flag(backoff, 'backoff')
  request.durable = flag(durable, 'durable')
  return withTtl(request, options)
}

export function withValue (request: Request, text: string, { ttl, ifAbsent }: SetOptions): Request {
  request.text = text
  if (ttl !== undefined) request.ttl = milliseconds(ttl, 'ttl', MIN_SECONDS)
  request.ifAbsent = flag(ifAbsent, 'ifAbsent')
  return request
}

export function withVersion (request: Request, { ifVersion }: { ifVersion?: number | undefined }): Request {
  if (ifVersion !== undefined) request.ifVersion = wholeNumber(ifVersion, 'ifVersion')
  return request
}

export function withWrite (request: Request, options: DelOptions): Request {
  const { ifPresent, token, release, durable } = options
  request.durable = flag(durable, 'durable')
  request.ifPresent = flag(ifPresent, 'ifPresent')
  if (token !== undefined) request.token = checkToken(token)
  request.release = flag(release, 'release') && token !== undefined
  return withVersion(request, options)
}

export function withLease (request: Request, options: AcquireOptions, defaults: Defaults): Request {
  const { lease, owner, detached, token } = options
  request.lease = lease === undefined ? defaults.lease : milliseconds(lease, 'lease', MIN_SECONDS)
  if (owner !== undefined) checkName(owner, 'STORE_OPTION_INVALID')
  request.owner = owner
  request.detached = flag(detached, 'detached')
  if (request.detached && request.lease === undefined) {
    throw new StoreError('STORE_OPTION_INVALID', 'a detached lock requires a lease')
  }
  if (token !== undefined) request.token = checkNewToken(token)
  return request
}
