// Validates arguments at the edge. Code behind the edge trusts them.
import { StoreError, type StoreErrorCode } from './errors.js'

/** Maximum size of a key or a collection name, in bytes of UTF-8. */
export const MAX_NAME_BYTES = 1024

export function checkKey (key: unknown): asserts key is string {
  checkName(key, 'STORE_KEY_INVALID')
}

export function checkCollection (name: unknown): asserts name is string {
  checkName(name, 'STORE_NAME_INVALID')
}

/** Checks any name that is stored like a key. `code` is the error for this kind of name. */
export function checkName (name: unknown, code: StoreErrorCode): asserts name is string {
  if (typeof name !== 'string') throw new StoreError(code, `got ${name === null ? 'null' : typeof name}`)
  if (!name.isWellFormed()) throw new StoreError(code, 'it contains a lone surrogate')
  if (name.length * 3 > MAX_NAME_BYTES && Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw new StoreError(code, `it has ${Buffer.byteLength(name)} bytes`)
  }
}

export function checkToken (token: unknown): string {
  checkName(token, 'STORE_OPTION_INVALID')
  return token
}

/** Checks a token chosen by the caller. It has to fit into an HTTP header. */
export function checkNewToken (token: unknown): string {
  if (typeof token === 'string' && /^[\x21-\x7e]{16,128}$/.test(token)) return token
  throw new StoreError('STORE_OPTION_INVALID', 'token must have 16 to 128 visible ASCII characters')
}

/** Checks the cursor of a page of keys, which is opaque here. */
export function checkCursor (cursor: unknown): string {
  if (typeof cursor === 'string' && /^[\x21-\x7e]{1,2048}$/.test(cursor)) return cursor
  throw new StoreError(
    'STORE_OPTION_INVALID',
    `invalid cursor: expected the cursor of a previous page, got ${String(cursor)}`
  )
}

/** Converts seconds to milliseconds. `least` is the minimum in seconds. */
export function milliseconds (seconds: unknown, option: string, least = 0): number {
  if (typeof seconds !== 'number' || !(seconds >= least && seconds < 2 ** 40)) {
    throw new StoreError(
      'STORE_OPTION_INVALID',
      `${option} must be a number of seconds, at least ${least} and below 2^40, got ${shown(seconds)}`
    )
  }
  return seconds * 1000
}

/** The minimum ttl or lease in seconds: the resolution of the clock. */
export const MIN_SECONDS = 0.001

export function wholeNumber (value: unknown, option: string, least = 0): number {
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    throw new StoreError(
      'STORE_OPTION_INVALID',
      `${option} must be a whole number, at least ${least}, got ${shown(value)}`
    )
  }
  return value as number
}

export function finiteNumber (value: unknown, option: string): number {
  if (Number.isFinite(value)) return value as number
  throw new StoreError('STORE_OPTION_INVALID', `${option} must be a finite number, got ${shown(value)}`)
}

/** An option that is true or false; undefined counts as false. STORE_OPTION_INVALID. */
export function flag (value: unknown, option: string): boolean {
  if (value === undefined || typeof value === 'boolean') return value === true
  throw new StoreError('STORE_OPTION_INVALID', `${option} must be true or false, got ${shown(value)}`)
}

/** A function argument. STORE_OPTION_INVALID. */
export function checkFunction (fn: unknown, usage: string): void {
  if (typeof fn !== 'function') {
    throw new StoreError('STORE_OPTION_INVALID', `expected a function: ${usage}, got ${shown(fn)}`)
  }
}

/** A value in an error message: strings in quotes, objects by their type. */
export function shown (value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  return typeof value === 'object' && value !== null
    ? 'an object'
    : typeof value === 'function'
      ? 'a function'
      : String(value)
}

/** Rejects misspelled options, which would otherwise be ignored silently. */
export function onlyKnown (options: object, known: readonly string[]): void {
  for (const option of Object.keys(options)) {
    if (!known.includes(option)) {
      throw new StoreError(
        'STORE_OPTION_INVALID',
        `unknown option ${JSON.stringify(option)}; expected one of ${known.join(', ')}`
      )
    }
  }
}
