// The heartbeat of a process in two collections, with a server that replies as the test says.
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Request } from '../../../src/core/engine.js'
import type { Connection } from '../../../src/engines/redis/connection.js'
import { Heartbeat } from '../../../src/engines/redis/heartbeat.js'
import { KeyNames, placeOf } from '../../../src/engines/redis/keys.js'
import type { ScriptCall } from '../../../src/engines/redis/script-call.js'

const LIFE = 3_600_000

interface Sent {
  script: string
  asked: { mark: string, waiting: string[], held: Array<[string, string]> }
  reply (result: unknown): void
}

function start (t: Test): { heartbeat: Heartbeat, sent: Sent[], unanswered: number[] } {
  const sent: Sent[] = []
  const unanswered: number[] = []
  const connection = {
    channel: 'c',
    isEnded: false,
    probe () {},
    doubt () {},
    run: (_base: string, { script, args }: ScriptCall) => new Promise(resolve => {
      if (script !== 'sweep') sent.push({ script, asked: JSON.parse(args[0]!), reply: resolve })
    })
  }
  const heartbeat: Heartbeat = new Heartbeat(connection as unknown as Connection, LIFE, new KeyNames('s', true), {
    lost () {},
    unanswered: number => {
      unanswered.push(number)
      heartbeat.disown(new Request('acquire', 'a', 'key'), `c ${number}`, 'token')
    }
  })
  t.teardown(() => { heartbeat.stop() })
  return { heartbeat, sent, unanswered }
}

t.test('a mark of one collection says nothing about the replies of another', async t => {
  const { heartbeat, sent, unanswered } = start(t)
  heartbeat.wait(new Request('get', 'a', 'key'), 1, 'c 1', LIFE)
  heartbeat.wait(new Request('get', placeOf('a b'), 'key'), 2, 'c 2', LIFE)
  heartbeat.check()
  await turn()
  t.match(sent, [{ script: 'tend', asked: { waiting: ['c 1'] } }, { script: 'tend', asked: { waiting: ['c 2'] } }])
  for (const { asked, reply } of sent) reply(['-1', '0', '1', `G ${asked.waiting[0]!}`])
  await turn()
  heartbeat.marked(sent[1]!.asked.mark)
  t.strictSame(unanswered, [2])
  heartbeat.marked(sent[0]!.asked.mark)
  t.strictSame(unanswered, [2, 1])
})

t.test('a mark may arrive before the reply of the heartbeat', async t => {
  const { heartbeat, sent, unanswered } = start(t)
  heartbeat.wait(new Request('get', 'a', 'key'), 1, 'c 1', LIFE)
  heartbeat.check()
  await turn()
  heartbeat.marked(sent[0]!.asked.mark)
  t.strictSame(unanswered, [])
  sent[0]!.reply(['-1', '0', '1', 'G c 1'])
  await turn()
  t.strictSame(unanswered, [1])
})

t.test('a lock whose grant is lost is ended on the server', async t => {
  const { heartbeat, sent, unanswered } = start(t)
  heartbeat.wait(new Request('acquire', 'a', 'key'), 1, 'c 1', LIFE)
  heartbeat.check()
  await turn()
  heartbeat.marked(sent[0]!.asked.mark)
  sent[0]!.reply(['-1', '0', '1', 'G c 1'])
  await turn()
  t.strictSame(unanswered, [1])
  while (sent.length === 1) await turn()
  t.match(sent[1], { script: 'leave', asked: { waiting: ['c 1'], held: [['key', 'token']] } })
})

t.test('what the process has lost is ended on the server before the next heartbeat', async t => {
  const { heartbeat, sent } = start(t)
  heartbeat.disown(new Request('acquire', 'a', 'key'), 'c 1', 'token')
  heartbeat.disown(new Request('get', 'a', 'key'), 'c 2', undefined)
  while (sent.length === 0) await turn()
  t.match(sent, [{ script: 'leave', asked: { waiting: ['c 1', 'c 2'], held: [['key', 'token']] } }])
  sent[0]!.reply([1, 2])
  await turn()
  t.match(sent.slice(1), [{ script: 'tend', asked: { waiting: [], held: [] } }])
})
