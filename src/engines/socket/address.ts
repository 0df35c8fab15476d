// The address of a store, and the messages by which processes and threads ask for it. Their format is the same in all
// protocol versions, so that each side can detect a version mismatch:
//
//   question   { 'strong-store': { question: true, version, uid } }
//   answer     { 'strong-store': { version, path, token } }, or { version, refused } if there is no store;
//              { version } alone if the question has another version
import { StoreError, detailOf } from '../../core/errors.js'
import { Timer } from '../../core/timer.js'
import { PROTOCOL_VERSION } from './protocol.js'

export interface Address {
  version: number
  path: string
  token: string
}

/** How a process finds a store in another process. */
export interface Discovery {
  /** Resolves to the current address. STORE_UNREACHABLE after `timeout` milliseconds, or when `signal` aborts. */
  find (timeout: number, signal: AbortSignal): Promise<Address>
  /** May ask ahead, in case the store can no longer be asked later. Does not keep the process alive. */
  prepare? (timeout: number, signal: AbortSignal): void
  /**
   * True: the address is fixed and not an answer of the store, so a connection counts as open only after the server's
   * greeting. Requires `judge`.
   */
  readonly isFixed?: boolean
  /** Explains a failure to connect, and whether it is final or worth a retry. */
  judge? (error: NodeJS.ErrnoException): { isFinal: boolean, detail: string }
}

/** Carries questions and answers. */
export interface Channel {
  readonly isOpen: boolean
  send (message: object): void
  /** Starts receiving and returns a function that stops it. `closed` is called when the other side disconnects. */
  listen (received: (message: unknown) => void, closed: () => void): () => void
}

interface Message extends Partial<Address> {
  question?: boolean
  uid?: number | undefined
  refused?: string
}

export interface Question {
  timeout: number
  signal: AbortSignal
  /** What the user can do if there is no reply. */
  remedy: string
  /** Whether waiting keeps the process alive. */
  isReferenced?: boolean
}

const NAME = 'strong-store'
const FIRST_RETRY_MS = 50
const MAX_RETRY_MS = 500

/**
 * Repeats the question until it is answered: the other side may not have imported the package yet. STORE_UNREACHABLE.
 */
export function ask (channel: Channel, { timeout, signal, remedy, isReferenced = true }: Question): Promise<Address> {
  return new Promise((resolve, reject) => {
    const others = new Set<number>()
    const limit = new Timer()
    const repeat = new Timer()
    const finish = (settle: () => void): void => {
      limit.stop()
      repeat.stop()
      stop()
      signal.removeEventListener('abort', aborted)
      settle()
    }
    const fail = (why: string): void => { finish(() => { reject(new StoreError('STORE_UNREACHABLE', why)) }) }
    const aborted = (): void => { fail('this store is closed') }
    const closed = (): void => { fail('the IPC channel to the parent process, which has the address of the store, is closed') }
    const stop = channel.listen(message => {
      const { version, path, token, refused, question } = contentOf(message) ?? {}
      if (typeof version !== 'number' || question === true) return
      if (version !== PROTOCOL_VERSION) others.add(version)
      else if (refused !== undefined) fail(refused)
      else if (path !== undefined && token !== undefined) finish(() => { resolve({ version, path, token }) })
    }, closed)
    const askFor = (pause: number): void => {
      if (!channel.isOpen) {
        closed()
        return
      }
      channel.send({ [NAME]: { question: true, version: PROTOCOL_VERSION, uid: process.geteuid?.() } })
      repeat.start(pause, () => { askFor(Math.min(pause * 2, MAX_RETRY_MS)) })
    }
    limit.setReferenced(isReferenced)
    repeat.setReferenced(isReferenced)
    limit.start(timeout, () => {
      fail(others.size === 0
        ? `no reply within ${timeout / 1000} s; ${remedy}`
        : `the store uses protocol ${[...others].join(' and ')} of strong-store, this process uses ${PROTOCOL_VERSION}; ` +
          'load the same version in both, and restart the primary after an upgrade')
    })
    signal.addEventListener('abort', aborted)
    if (signal.aborted) aborted()
    else askFor(FIRST_RETRY_MS)
  })
}

/** Answers `message` if it is a question. `address` returns the address for a user id. */
export function answer (
  message: unknown, address: (uid: number | undefined) => Promise<Address>, send: (answer: object) => void
): void {
  const { question, version, uid } = contentOf(message) ?? {}
  if (question !== true) return
  const reply = (content: Message): void => { send({ [NAME]: { version: PROTOCOL_VERSION, ...content } }) }
  if (version !== PROTOCOL_VERSION) reply({})
  else {
    const user = Number.isSafeInteger(uid) && uid! >= 0 ? uid : undefined
    address(user).then(reply, (error: Error) => { reply({ refused: detailOf(error) }) })
  }
}

function contentOf (message: unknown): Message | undefined {
  const isObject = typeof message === 'object' && message !== null
  const content = isObject ? (message as Record<string, unknown>)[NAME] : undefined
  return typeof content === 'object' && content !== null ? content : undefined
}
