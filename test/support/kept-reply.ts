import type { Reply } from '../../src/core/engine.js'
import { asString, type Bytes } from '../../src/core/value.js'

/** A reply of a keyspace that stays valid. */
export function kept (reply: Reply<Bytes>): Reply {
  if (reply.text !== undefined) reply.text = asString(reply.text)
  return reply as Reply
}
