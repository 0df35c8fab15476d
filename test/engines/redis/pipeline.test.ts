// What is asked of a server in what order, with answers that come when the test wants them to.
import { setImmediate as turn } from 'node:timers/promises'
import type { Cluster } from 'ioredis'
import t from 'tap'
import { Pipeline } from '../../../src/engines/redis/pipeline.js'

t.test('a read that follows what was given up is asked for, and told', async t => {
  const asked: string[][] = []
  const answers: Array<{ resolve (result: unknown): void, reject (error: Error): void }> = []
  const command = (...args: string[]): Promise<unknown> => new Promise((resolve, reject) => {
    asked.push(args)
    answers.push({ resolve, reject })
  })
  const client = { isCluster: true, nodes: () => [], evalsha: command, hmget: command } as unknown as Cluster
  const outbox = new Pipeline(client, () => {})
  const script = { text: '', sha: 'sha' }
  const told: string[] = []
  const run = (name: string): void => { outbox.run(script, 'base', [name]).then(() => told.push(name), () => told.push(`${name} failed`)) }
  const read = (name: string): void => { outbox.read('base', name, found => told.push(found === undefined ? `${name} failed` : name)) }

  run('slow')
  run('unknown')
  await turn()
  answers[1]!.reject(new Error('NOSCRIPT'))
  await turn()
  read('early') // waits for the script to be sent again
  outbox.giveUp(Date.now() + 1, new Error('the server is silent'))
  await turn()
  t.strictSame(told.splice(0).sort(), ['early failed', 'slow failed', 'unknown failed'])

  read('late')
  answers[0]!.resolve('late itself')
  await turn()
  t.strictSame(asked.slice(2), [['base:records', 'tracked', ':late', '!late']], 'what was given up is not sent again')
  answers[2]!.resolve([null, 'record', null])
  await turn()
  t.strictSame(told, ['late'])
})
