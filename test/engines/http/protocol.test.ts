// The protocol between the http engine and the admin API.
import t from 'tap'
import { OPS, Reply, Request } from '../../../src/core/engine.js'
import {
  OPERATIONS, readCall, readReply, writeCall, writeReply, type SentCall
} from '../../../src/engines/http/protocol.js'

const VALUES = { text: '{"a":1}', version: 5, expiresIn: 10.5, number: 0, token: 'token', fence: 7 }

t.test('the protocol describes every operation', async t => {
  t.strictSame(Object.keys(OPERATIONS).sort(), [...OPS].sort())
})

t.test('calls arrive unchanged', async t => {
  const request = Object.assign(new Request('set', 'c/ö', '__proto__'), {
    text: '"\u2028\\"',
    ttl: 5,
    ifVersion: 0,
    ifAbsent: true,
    ifPresent: true,
    token: 'token',
    release: true,
    wait: { timeout: 20, signal: undefined, scope: undefined }
  })
  t.strictSame(readCall(JSON.parse(writeCall(request, false)) as SentCall), request)
  t.strictSame(JSON.parse(writeCall(new Request('get', '', ''), true)), {
    op: 'get', collection: '', key: '', unconfirmed: true
  })
})

t.test('replies arrive unchanged, and invalid ones are rejected', async t => {
  for (const op of OPS) {
    const { always, maybe, isJson } = OPERATIONS[op]
    const fields = [...always, ...maybe]
    const reply = Object.assign(new Reply(), Object.fromEntries(fields.map(field => [field, VALUES[field]])))
    t.strictSame(readReply(op, JSON.parse(JSON.stringify(writeReply(op, reply)))), { reply, detail: undefined }, op)
    const sent = writeReply(op, reply)
    const wrong: unknown[] = [null, 5, 'text', { code: 'NO_CODE' }, { code: 5 }]
    for (const field of always) wrong.push({ ...sent, [field]: undefined })
    for (const field of fields) wrong.push({ ...sent, [field]: typeof VALUES[field] === 'string' ? 5 : '5' })
    if (isJson === true) wrong.push({ ...sent, text: '{' })
    t.strictSame(wrong.filter(sent => readReply(op, sent) !== undefined), [], op)
  }
  t.match(readReply('get', { code: 'STORE_LOCKED', detail: 'why' }), { reply: { code: 'STORE_LOCKED' }, detail: 'why' })
})
