import type { Reply } from '../../src/core/engine.js'
import { StoredText, type ReplyText } from '../../src/core/value.js'

/** A reply of a keyspace that stays valid. */
export function kept (reply: Reply<ReplyText>): Reply {
  const { text } = reply
  if (text instanceof StoredText) {
    const copy = Buffer.alloc(text.length)
    text.copyTo(copy, 0)
    reply.text = copy.toString('latin1')
  }
  return reply as Reply
}
