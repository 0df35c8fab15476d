// How a worker finds the primary's socket: over the cluster's own IPC channel, asked by the worker, until it is answered.
import cluster from 'node:cluster'
import { StoreError } from '../../core/errors.js'
import { PROTOCOL_VERSION } from './protocol.js'

export interface Address {
  version: number
  path: string
  token: string
  maxValueBytes: number
}

/** The answer of a primary that has no store to offer. */
interface Refusal {
  version: number
  refused: string
}

const NAME = 'strong-store'
const RETRY = 50 // ms between two questions

/** Asks the primary. Questions are repeated, as the primary may not have imported the package yet. STORE_UNREACHABLE. */
export function askAddress (timeout: number): Promise<Address> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      clearInterval(repeat)
      clearTimeout(limit)
      process.off('message', received)
      process.off('disconnect', disconnected)
      settle()
    }
    const fail = (why: string): void => { finish(() => { reject(new StoreError('STORE_UNREACHABLE', why)) }) }
    const received = (message: unknown): void => {
      const answer = ours(message) as Address | Refusal | undefined
      if (answer === undefined) return
      if ('refused' in answer) fail(answer.refused)
      else if (answer.version === PROTOCOL_VERSION) finish(() => { resolve(answer) })
      else fail(`the primary has loaded a version of strong-store that speaks protocol ${answer.version}, this process ${PROTOCOL_VERSION}; use one version for both`)
    }
    const disconnected = (): void => { fail('this worker has lost its primary') }
    const ask = (): void => {
      if (process.connected) process.send!({ [NAME]: { version: PROTOCOL_VERSION } }, undefined, undefined, () => {})
      else disconnected()
    }
    const repeat = setInterval(ask, RETRY)
    const limit = setTimeout(() => {
      fail(`the primary did not answer within ${timeout / 1000} s; import 'strong-store' in the primary, the process that calls cluster.fork()`)
    }, timeout)
    process.on('message', received)
    process.on('disconnect', disconnected)
    ask()
  })
}

/** Answers every worker that asks, with what `address` gives. */
export function answerWorkers (address: () => Promise<Address>): void {
  cluster.on('message', (worker, message) => {
    if (ours(message) === undefined) return
    const answer = (content: Address | Refusal): void => {
      if (worker.isConnected()) worker.send({ [NAME]: content }, () => {})
    }
    address().then(answer, (error: Error) => { answer({ version: PROTOCOL_VERSION, refused: error.message }) })
  })
}

function ours (message: unknown): object | undefined {
  const content = typeof message === 'object' && message !== null ? (message as Record<string, unknown>)[NAME] : undefined
  return typeof content === 'object' && content !== null ? content : undefined
}
