// A call of this process, until it is settled.
import { Request, endsLock } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import type { Part } from './job.js'

export class RedisCall {
  /**
   * connecting: there is no connection yet. sent: handed to the connection. waiting: in the queue of a locked key, on
   * the server. settled: answered or abandoned.
   */
  state: 'connecting' | 'sent' | 'waiting' | 'settled' = 'connecting'
  /**
   * Identifies the call on the server, which pushes the reply with this number if the call had to wait. 0 if it has not
   * been sent to a script.
   */
  number = 0
  /** The queued command, as long as it can be withdrawn. */
  part: Part | undefined
  /** A reply pushed before the command's own reply, that the call waits: they arrive on different connections. */
  early: string | undefined
  /** Until it is sent: see Pace. */
  pause: NodeJS.Timeout | undefined
  /** When it was sent to its script, in milliseconds since the epoch. */
  at = 0
  /** Approximate size in bytes while it is pending. */
  readonly size: number

  /**
   * `id`: the call's slot in PendingCalls; 0 if no reply is wanted. `token`: the token for the lock of an acquire.
   */
  constructor (readonly request: Request, readonly id: number, readonly token: string | undefined) {
    this.size = request.key.length + (request.text?.length ?? 0)
  }

  /** Its number on the server; negative if no reply is wanted. */
  get signedNumber (): number {
    return this.id === 0 ? -this.number : this.number
  }

  /** The token of the lock that it takes or ends. */
  get lockToken (): string | undefined {
    return this.token ?? (endsLock(this.request) ? this.request.token : undefined)
  }

  /** Its name on the server: the channel to push to, and the number. */
  nameFor (channel: string): string {
    return `${channel} ${this.signedNumber}`
  }
}

/**
 * STORE_OPTION_INVALID for a change that should be on disk before the reply. `release`: ends the lock that such a
 * change should have ended.
 */
export function refuseDurable (request: Request, release: (request: Request) => void): Request {
  const isDurable = request.durable || (request.op === 'configure' && request.text?.includes('"durable":true') === true)
  if (!isDurable) return request
  const { collection, key, token } = request
  if (request.release) release(Object.assign(new Request('release', collection, key), { token }))
  throw new StoreError('STORE_OPTION_INVALID', 'durable requires a store with data; in Redis, appendfsync controls durability')
}
