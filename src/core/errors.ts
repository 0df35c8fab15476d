// Every way a call can fail, in one table. Codes are for ever; the words may change.
// Only the code crosses a process boundary, the asking side adds the words.

interface ErrorKind {
  /** The HTTP status the admin API answers with, and a framework that reads `statusCode` too. */
  readonly status: number
  readonly meaning: string
}

export const ERRORS = {
  STORE_KEY_INVALID: { status: 400, meaning: 'A key must be a well-formed string of at most 1024 bytes of UTF-8' },
  STORE_NAME_INVALID: {
    status: 400,
    meaning: 'A collection name must be a well-formed string of at most 1024 bytes of UTF-8'
  },
  STORE_VALUE_INVALID: { status: 400, meaning: 'The value cannot be turned into JSON text' },
  STORE_VALUE_TOO_LARGE: { status: 413, meaning: 'The value is larger than maxValueBytes allows' },
  STORE_OPTION_INVALID: { status: 400, meaning: 'An option has a value that is not allowed' },
  STORE_NOT_A_NUMBER: { status: 409, meaning: 'Only a number can be incremented, and the result must be finite' },
  STORE_VERSION_MISMATCH: { status: 412, meaning: 'The key has another version than ifVersion names' },
  STORE_EXISTS: { status: 412, meaning: 'The key has a value already, and ifAbsent was asked for' },
  STORE_NOT_FOUND: { status: 412, meaning: 'The key has no value, and ifPresent was asked for' },
  STORE_LOCKED: { status: 423, meaning: 'The key is locked, and the call was not to wait' },
  STORE_DEADLOCK: { status: 500, meaning: 'The call would wait for a lock that its own request or update holds' },
  STORE_TIMEOUT: {
    status: 423,
    meaning:
      'No answer within the timeout: the key stayed locked, or the store is busy; a write may still have been made'
  },
  STORE_ABORTED: { status: 499, meaning: 'The call was given up by its signal, or because its client has gone' },
  STORE_QUEUE_FULL: { status: 429, meaning: 'Too many calls wait for this key already' },
  STORE_LOCK_LOST: {
    status: 409,
    meaning:
      'The lock is no longer held: its lease ran out, its connection was lost, or it was broken; changes were dropped'
  },
  STORE_LOCK_RELEASED: { status: 409, meaning: 'The lock was released through this handle before' },
  STORE_FULL: {
    status: 507,
    meaning: 'The collection has reached maxKeys or maxBytes and nothing in it may be evicted'
  },
  STORE_NOT_DURABLE: { status: 507, meaning: 'The change was made, but it could not be written to disk' },
  STORE_OVERLOADED: { status: 503, meaning: 'More is on its way to the store than it takes; try again later' },
  STORE_DISCONNECTED: {
    status: 503,
    meaning: 'The connection to the store was lost; whether the call took effect is unknown'
  },
  STORE_UNREACHABLE: { status: 503, meaning: 'No store answers' },
  STORE_CLOSED: { status: 503, meaning: 'The store was closed in this process' },
  STORE_PROTOCOL: { status: 502, meaning: 'The other side sent something that is not the protocol of this version' }
} as const satisfies Record<string, ErrorKind>

export type StoreErrorCode = keyof typeof ERRORS

const BRAND = Symbol.for('strong-store.StoreError.1')

/** What every failed call rejects with. Decide by `code`; `message` is for people. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode
  /** What is particular about this one: `message` without the meaning of its code. */
  readonly detail: string | undefined

  constructor (code: StoreErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? ERRORS[code].meaning : `${ERRORS[code].meaning}: ${detail}`, options)
    this.code = code
    this.detail = detail
  }

  /** Copies of this package in one process know each other's errors. */
  static override [Symbol.hasInstance] (value: unknown): boolean {
    return (value as Partial<StoreError> | null | undefined)?.[BRAND] === true
  }

  get [BRAND] (): true {
    return true
  }

  /** The HTTP status that fits, where Fastify, Express and Nest look for it. */
  get statusCode (): number {
    return ERRORS[this.code].status
  }

  /** The same, for what was written for http-errors. */
  get status (): number {
    return this.statusCode
  }

  /** Whether the message is for the client: as http-errors has it, below 500. */
  get expose (): boolean {
    return this.status < 500
  }
}

/** What a cause has to say, for the detail of another error. */
export function detailOf (cause: Error): string {
  return (cause instanceof StoreError ? cause.detail : undefined) ?? cause.message
}

/** Whether a string that came from elsewhere is one of our codes. */
export function isErrorCode (code: string): code is StoreErrorCode {
  return Object.hasOwn(ERRORS, code)
}
