// Arguments are checked here, once, where they come in; behind it they are trusted.
import { StoreError, type StoreErrorCode } from './errors.js'

/** Bytes of UTF-8 that a key or a collection name may have. */
export const MAX_NAME_BYTES = 1024

export function checkKey (key: unknown): asserts key is string {
  checkName(key, 'STORE_KEY_INVALID')
}

export function checkCollection (name: unknown): asserts name is string {
  checkName(name, 'STORE_NAME_INVALID')
}

/** Whatever is kept beside a key as a name: `code` says what it is. */
export function checkName (name: unknown, code: StoreErrorCode): asserts name is string {
  if (typeof name !== 'string') throw new StoreError(code, `got ${name === null ? 'null' : typeof name}`)
  if (!name.isWellFormed()) throw new StoreError(code, 'it has half of a surrogate pair')
  if (name.length * 3 > MAX_NAME_BYTES && Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw new StoreError(code, `it has ${Buffer.byteLength(name)} bytes`)
  }
}

export function checkToken (token: unknown): string {
  checkName(token, 'STORE_OPTION_INVALID')
  return token
}

/** A token that whoever takes the lock brings along: it travels in a header. */
export function checkNewToken (token: unknown): string {
  if (typeof token === 'string' && /^[\x21-\x7e]{16,128}$/.test(token)) return token
  throw new StoreError('STORE_OPTION_INVALID', 'token must have 16 to 128 visible ASCII characters')
}

/** Where a page of keys begins, as an engine named it: opaque here. */
export function checkCursor (cursor: unknown): string {
  if (typeof cursor === 'string' && /^[\x21-\x7e]{1,2048}$/.test(cursor)) return cursor
  throw new StoreError(
    'STORE_OPTION_INVALID',
    `invalid cursor: expected the cursor of an earlier page, got ${String(cursor)}`
  )
}

/** Seconds as milliseconds. `least` is the smallest duration allowed, in seconds. */
export function milliseconds (seconds: unknown, option: string, least = 0): number {
  if (typeof seconds !== 'number' || !(seconds >= least && seconds < 2 ** 40)) {
    throw new StoreError(
      'STORE_OPTION_INVALID',
      `${option} must be a number of seconds, ${least} at least, got ${String(seconds)}`
    )
  }
  return seconds * 1000
}

/** The shortest time to live or lease, in seconds: less than the clock can tell is a mistake. */
export const MIN_SECONDS = 0.001

export function wholeNumber (value: unknown, option: string, least = 0): number {
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    throw new StoreError(
      'STORE_OPTION_INVALID',
      `${option} must be a whole number, ${least} at least, got ${String(value)}`
    )
  }
  return value as number
}

export function finiteNumber (value: unknown, option: string): number {
  if (Number.isFinite(value)) return value as number
  throw new StoreError('STORE_OPTION_INVALID', `${option} must be a finite number, got ${String(value)}`)
}

/** Refuses misspelt options, which would otherwise silently do nothing. */
export function onlyKnown (options: object, known: readonly string[]): void {
  for (const option of Object.keys(options)) {
    if (!known.includes(option)) {
      throw new StoreError(
        'STORE_OPTION_INVALID',
        `there is no option ${JSON.stringify(option)}; there are ${known.join(', ')}`
      )
    }
  }
}
