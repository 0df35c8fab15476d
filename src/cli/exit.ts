// The outcome of a command: an exit code for scripts, and a message.
import { StoreError } from '../core/errors.js'
import { SocketInUse } from '../engines/socket/socket-file.js'

/** Exit codes are stable, like error codes. */
export const EXIT = {
  OK: 0,
  /** The store cannot be reached, or has rejected the call. */
  FAILED: 1,
  /** An option, an argument or a file is invalid. */
  USAGE: 2,
  /** Another process listens on the socket, or on the port of --admin. */
  IN_USE: 3,
  /** The operating system denies permission. */
  NO_RIGHT: 4,
  /** `get` and `del`: the key has no value. `export`: there is no such collection. */
  NO_VALUE: 5
} as const

/** Ends the command with this code. */
export class Exit extends Error {
  constructor (readonly code: number, message: string, options?: ErrorOptions) {
    super(message, options)
  }
}

export function invalid (message: string): Exit {
  return new Exit(EXIT.USAGE, message)
}

export function exitOf (error: unknown): Exit {
  if (error instanceof Exit) return error
  const { message } = error as Error
  if (error instanceof SocketInUse) return new Exit(EXIT.IN_USE, message)
  if (error instanceof StoreError) {
    if (error.code === 'STORE_OPTION_INVALID') return invalid(error.detail ?? message)
    return new Exit(EXIT.FAILED, `${error.code}: ${message}`)
  }
  const { code, syscall } = error as NodeJS.ErrnoException
  switch (code) {
    case 'EADDRINUSE': return new Exit(EXIT.IN_USE, message)
    case 'EACCES':
    case 'EPERM': return new Exit(EXIT.NO_RIGHT, message)
    case 'ENOENT':
    case 'EISDIR':
    case 'ENOTDIR': return invalid(message)
  }
  return new Exit(EXIT.FAILED, syscall === undefined ? (error as Error).stack ?? message : message)
}
