// The table of error codes. Codes are stable, messages may change. Only the code crosses a process boundary; the
// receiving side adds the message.

interface ErrorKind {
  /** The HTTP status of the admin API. Frameworks find it as `statusCode`. */
  readonly status: number
  readonly meaning: string
}

export const ERRORS = {
  STORE_KEY_INVALID: { status: 400, meaning: 'A key must be a well-formed string of at most 1024 bytes of UTF-8' },
  STORE_NAME_INVALID: {
    status: 400,
    meaning: 'A collection name must be a well-formed string of at most 1024 bytes of UTF-8'
  },
  STORE_VALUE_INVALID: { status: 400, meaning: 'The value cannot be serialized as JSON' },
  STORE_VALUE_TOO_LARGE: { status: 413, meaning: 'The value is larger than maxValueBytes allows' },
  STORE_OPTION_INVALID: { status: 400, meaning: 'An option has an invalid value' },
  STORE_NOT_A_NUMBER: { status: 409, meaning: 'Only a number can be incremented, and the result must be finite' },
  STORE_VERSION_MISMATCH: { status: 412, meaning: 'The key does not have the version given in ifVersion' },
  STORE_EXISTS: { status: 412, meaning: 'The key already has a value, and ifAbsent is set' },
  STORE_NOT_FOUND: { status: 412, meaning: 'The key has no value, and ifPresent is set' },
  STORE_LOCKED: { status: 423, meaning: 'The key is locked, and the call does not wait' },
  STORE_DEADLOCK: { status: 500, meaning: 'The call would wait for a lock that its own request or update holds' },
  STORE_TIMEOUT: {
    status: 423,
    meaning:
      'No reply within the timeout: the key stayed locked, or the store is busy; a write may still have taken effect'
  },
  STORE_ABORTED: {
    status: 499,
    meaning: 'The call was aborted by its signal, or its client disconnected; a write may still have taken effect'
  },
  STORE_QUEUE_FULL: { status: 429, meaning: 'Too many calls are already waiting for this key' },
  STORE_LOCK_LOST: {
    status: 409,
    meaning:
      'The lock was lost: its lease expired, its connection was lost, or it was broken; its changes were dropped'
  },
  STORE_LOCK_RELEASED: { status: 409, meaning: 'The lock was already released through this handle' },
  STORE_FULL: {
    status: 507,
    meaning: 'The collection has reached maxKeys or maxBytes and nothing can be evicted, or there is no memory left'
  },
  STORE_NOT_DURABLE: { status: 507, meaning: 'The change was made, but it could not be written to disk' },
  STORE_OVERLOADED: { status: 503, meaning: 'Too many calls or bytes are in flight to the store; try again later' },
  STORE_DISCONNECTED: {
    status: 503,
    meaning: 'The connection to the store was lost; whether the call took effect is unknown'
  },
  STORE_UNREACHABLE: { status: 503, meaning: 'The store cannot be reached' },
  STORE_CLOSED: { status: 503, meaning: 'The store is closed in this process' },
  STORE_PROTOCOL: { status: 502, meaning: 'The peer sent a message that is invalid in this protocol version' }
} as const satisfies Record<string, ErrorKind>

export type StoreErrorCode = keyof typeof ERRORS

const BRAND = Symbol.for('strong-store.StoreError.1')

/** The error of every failed call. Handle it by `code`; `message` is for humans. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode
  /** The specific part of `message`, without the meaning of the code. */
  readonly detail: string | undefined

  constructor (code: StoreErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? ERRORS[code].meaning : `${ERRORS[code].meaning}: ${detail}`, options)
    this.code = code
    this.detail = detail
  }

  /** Recognizes errors from other copies of this package in the process. */
  static override [Symbol.hasInstance] (value: unknown): boolean {
    return (value as Partial<StoreError> | null | undefined)?.[BRAND] === true
  }

  get [BRAND] (): true {
    return true
  }

  /** The HTTP status, where Fastify, Express and Nest look for it. */
  get statusCode (): number {
    return ERRORS[this.code].status
  }

  /** The HTTP status, as http-errors names it. */
  get status (): number {
    return this.statusCode
  }

  /** Whether the message may be sent to the client. As in http-errors: below 500. */
  get expose (): boolean {
    return this.status < 500
  }
}

/** The message of a cause, for use as the detail of another error. */
export function detailOf (cause: Error): string {
  return (cause instanceof StoreError ? cause.detail : undefined) ?? cause.message
}

/** Whether a string from outside is a known error code. */
export function isErrorCode (code: string): code is StoreErrorCode {
  return Object.hasOwn(ERRORS, code)
}

/** Throws an error that does not have the code. */
export function rethrowUnless (code: StoreErrorCode, error: unknown): void {
  if ((error as StoreError).code !== code) throw error
}
