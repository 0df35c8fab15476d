// A call of this process, from the moment it is made until it is settled.
import { Request } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import type { Part } from './job.js'

export class RedisCall {
  /**
   * connecting: there is no connection yet. sent: handed to the connection. waiting: in the queue of a locked key, on
   * the server. settled: answered, or given up.
   */
  state: 'connecting' | 'sent' | 'waiting' | 'settled' = 'connecting'
  /** Names the call to the server, which pushes its answer under this number if it had to wait. */
  number = 0
  /** What was asked of the server, as long as it may be withdrawn. */
  part: Part | undefined
  /** Pushed before the reply that says that the call waits: the two travel on different connections. */
  early: string | undefined
  /** Until it is sent: see Pace. */
  pause: NodeJS.Timeout | undefined
  /** Milliseconds since the epoch. */
  at = 0
  /** Bytes that it holds while it is under way, roughly. */
  readonly size: number

  /**
   * `id`: the call's slot in PendingCalls, 0 where no answer is wanted. `token`: of the lock that an acquire may bring.
   */
  constructor (readonly request: Request, readonly id: number, readonly token: string | undefined) {
    this.size = request.key.length + (request.text?.length ?? 0)
  }

  /** The number that the server knows it by, negative where no answer is wanted. */
  get signedNumber (): number {
    return this.id === 0 ? -this.number : this.number
  }

  /** What the server knows it by: a channel to push to, and the number. */
  nameFor (channel: string): string {
    return `${channel} ${this.signedNumber}`
  }
}

/**
 * STORE_OPTION_INVALID where a change is to be on disk before the answer. `release`: ends the lock that such a change
 * was to end.
 */
export function refuseDurable (request: Request, release: (request: Request) => void): Request {
  const isDurable = request.durable || (request.op === 'configure' && request.text?.includes('"durable":true') === true)
  if (!isDurable) return request
  const { collection, key, token } = request
  if (request.release) release(Object.assign(new Request('release', collection, key), { token }))
  throw new StoreError('STORE_OPTION_INVALID', 'durable requires a store with data; in Redis, appendfsync controls durability')
}
