// The published reply to a call that had to wait. A long value is not part of it, since Redis disconnects a subscriber
// whose output buffer grows too large: such a reply begins with "F", and its value is fetched.
import { Reply } from '../../core/engine.js'
import { replyOf } from './codec.js'
import type { Connection } from './connection.js'
import { scriptCall } from './script-call.js'

/** Passes the reply to `settle`: immediately, unless its text has to be fetched. */
export function readPushed (
  connection: Connection, base: string, answer: string, settle: (reply: Reply, why?: string) => void,
  failed: (error: Error) => void
): void {
  if (answer.charCodeAt(0) !== 70) {
    settle(replyOf(answer))
    return
  }
  const version = answer.slice(1, answer.indexOf(' '))
  connection.run<string | null>(base, scriptCall('fetch', { version })).then(text => {
    if (text !== null) settle(replyOf(`R${answer.slice(1)}${text}`))
    else settle(new Reply('STORE_DISCONNECTED'), 'the server has dropped the reply to a call that waited')
  }, failed)
}
