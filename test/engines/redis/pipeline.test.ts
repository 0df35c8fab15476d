// The order in which commands are sent to a server. The test decides when they are answered.
import { setImmediate as turn } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import t from 'tap'
import { Pipeline } from '../../../src/engines/redis/pipeline.js'
import type { Generation } from '../../../src/engines/redis/generation.js'
import type { ScriptCache } from '../../../src/engines/redis/script-cache.js'
import type { ScriptName } from '../../../src/engines/redis/scripts.js'
import { until } from '../../support/until.js'

interface Sent { what: string, resolve (result: unknown): void, reject (error: Error): void }

function world (maxDelay = Infinity): {
  pipeline: Pipeline,
  sent: Sent[],
  done: string[],
  renewals: Array<(error?: Error) => void>,
  run (name: string, script?: ScriptName): void,
  read (key: string): void
} {
  const sent: Sent[] = []
  const done: string[] = []
  const renewals: Array<(error?: Error) => void> = []
  const command = (what: string): Promise<unknown> => new Promise(
    (resolve, reject) => { sent.push({ what, resolve, reject }) }
  )
  const client = {
    isCluster: false, hmget: (_key: string, ...args: string[]) => command(args.join(' '))
  } as unknown as Redis
  const generation = (name: string): Generation => (
    { name, run: (_client, _script, _base, args) => command(`${args.join(' ')} ${name}`) }
  ) as Generation
  const scripts = {
    current: generation('first'),
    found () {},
    renew: () => new Promise<void>((resolve, reject) => {
      renewals.push(error => {
        scripts.current = generation('second')
        if (error === undefined) resolve()
        else reject(error)
      })
    })
  }
  const pipeline = new Pipeline(client, scripts as unknown as ScriptCache, maxDelay, { call: ['head'] })
  return {
    pipeline,
    sent,
    done,
    renewals,
    run: (name, script = 'size') => {
      pipeline.run(script, 'base', [name]).then(
        () => done.push(name), (error: Error) => done.push(`${name} ${error.message}`)
      )
    },
    read: key => {
      pipeline.read('base', key, 0, (_found, error) => done.push(error === undefined ? key : `${key} ${error.message}`))
    }
  }
}

t.test('calls whose scripts were lost are sent again in order, once nothing is in flight', async t => {
  const { pipeline, sent, done, renewals, run, read } = world()
  run('a')
  run('b')
  read('c')
  run('d')
  await turn()
  t.strictSame(sent.map(({ what }) => what), ['a first', 'b first', 'tracked :c !c', 'd first'])
  sent[0]!.resolve('')
  sent[1]!.reject(new Error('NOSCRIPT'))
  await turn()
  run('e')
  run('heartbeat', 'tend')
  sent[2]!.resolve([null, null, null]) // was answered before b ran
  await turn()
  t.equal(renewals.length, 0, 'd is in flight')
  sent[3]!.reject(new Error('NOSCRIPT'))
  await turn()
  t.equal(renewals.length, 1)
  t.equal(sent.length, 4, 'nothing is sent before the scripts are loaded')
  renewals[0]!()
  await turn()
  t.strictSame(
    sent.slice(4).map(({ what }) => what), ['b second', 'heartbeat second', 'tracked :c !c', 'd second', 'e second']
  )
  for (const { resolve } of sent.slice(4)) resolve([null, null, null])
  await pipeline.settled()
  await turn()
  t.strictSame(done.sort(), ['a', 'b', 'c', 'd', 'e', 'heartbeat'])
})

t.test('scripts that cannot be loaded fail all calls that need them, once', async t => {
  const { pipeline, sent, done, renewals, run } = world()
  run('a')
  await turn()
  sent[0]!.reject(new Error('NOSCRIPT'))
  await turn()
  run('b')
  renewals[0]!(new Error('NOPERM'))
  await pipeline.settled()
  await turn()
  t.strictSame(done, ['a NOPERM', 'b NOPERM'])
  t.equal(sent.length, 1)
  run('c')
  await turn()
  t.equal(sent.length, 2, 'the next call is sent again')
})

t.test('calls that failed with the connection are neither answered nor sent again', async t => {
  const { pipeline, sent, done, run, read } = world()
  run('slow')
  run('unknown')
  await turn()
  sent[1]!.reject(new Error('NOSCRIPT'))
  await turn()
  read('early')
  pipeline.fail(new Error('lost'))
  await turn()
  t.strictSame(done.splice(0).sort(), ['early lost', 'slow lost', 'unknown lost'])
  t.equal(pipeline.isBusy, false)
  sent[0]!.resolve('')
  await turn()
  t.strictSame(done, [])
})

t.test('calls in flight are bounded; queued ones can be withdrawn, and heartbeats overtake them', async t => {
  const { pipeline, sent, done, run, read } = world()
  for (let i = 0; i < 5000; i++) run(`call ${i}`)
  const part = pipeline.submit('size', 'base', ['withdrawn'], () => done.push('never'), () => done.push('never'))
  for (let i = 0; i < 40; i++) read(`key ${i}`)
  await turn()
  t.equal(sent.length, 64)
  run('heartbeat', 'tend')
  await turn()
  t.equal(sent[64]?.what, 'heartbeat first')
  t.equal(pipeline.withdraw(part), true)
  t.equal(pipeline.withdraw(part), false)
  let most = 0
  for (let answered = 0; answered < sent.length; await turn()) {
    most = Math.max(most, sent.length - answered)
    for (const { resolve } of sent.slice(answered, answered = sent.length)) resolve([null, null, null])
  }
  await until(() => !pipeline.isBusy)
  t.ok(most > 1000, 'the limit grows while replies arrive in time')
  t.ok(most <= 4096)
  t.equal(sent.length, 5000 + 1 + 2, 'queued reads share commands')
  t.equal(done.length, 5000 + 1 + 40)
  t.strictSame(done.filter(name => name.startsWith('call')), Array.from({ length: 5000 }, (_, i) => `call ${i}`))

  const large = pipeline.submit('size', 'base', ['x'.repeat(2 ** 23)], () => {}, () => {})
  run('after it')
  await turn()
  t.equal(large.job.state, 'sent')
  t.equal(sent.length, 5003 + 1, 'bytes in flight are bounded, too')
  sent[5003]!.resolve('')
  await turn()
  t.equal(sent[5004]?.what, 'after it first')
})

t.test('slow replies reduce the number of calls in flight', async t => {
  const { pipeline, sent, run } = world(-1)
  for (let i = 0; i < 1000; i++) run(`call ${i}`)
  let most = 0
  for (let answered = 0; answered < 1000; await turn()) {
    most = Math.max(most, sent.length - answered)
    for (const { resolve } of sent.slice(answered, answered = sent.length)) resolve('')
  }
  await until(() => !pipeline.isBusy)
  t.equal(most, 64)
})

t.test('consecutive calls on one collection share a command, within bounds', async t => {
  const { pipeline, sent, done, run, read } = world()
  for (let i = 0; i < 40; i++) run(`call ${i}`, 'call')
  run('other', 'size')
  run('behind', 'call')
  run('x'.repeat(60_000), 'call')
  run('y'.repeat(60_000), 'call')
  await turn()
  const calls = (from: number, to: number): string => Array.from(
    { length: to - from }, (_, i) => `call ${from + i}`).join(' ')
  t.strictSame(sent.map(({ what }) => what.slice(0, 300)), [
    `head ${calls(0, 32)} first`.slice(0, 300), `head ${calls(32, 40)} first`, 'other first',
    `head behind ${'x'.repeat(300)}`.slice(0, 300), `head ${'y'.repeat(300)}`.slice(0, 300)
  ])
  sent[1]!.resolve(Array(8).fill(''))
  sent[0]!.reject(new Error('failed'))
  await turn()
  t.equal(done.filter(name => name.endsWith('failed')).length, 32, 'they fail together')
  t.equal(done.length, 40)
  for (const { resolve } of sent.slice(2)) resolve(['', ''])
  await pipeline.settled()

  read('short')
  pipeline.read('base', 'long', 60_000, found => done.push(found!.join()))
  pipeline.read('base', 'longer', 60_000, found => done.push(found!.join()))
  await turn()
  t.strictSame(sent.slice(5).map(({ what }) => what), [
    'tracked :short !short :long !long =long', 'tracked :longer !longer =longer'
  ])
  sent[5]!.resolve([null, 'r1', 'l1', 'r2', 'l2', 't2'])
  sent[6]!.resolve(['1', 'r3', 'l3', 't3'])
  await pipeline.settled()
  await turn()
  t.strictSame(done.slice(-3), ['short', 'r2,l2,,t2', 'r3,l3,1,t3'])
})

t.test('a call can be withdrawn from a shared command until it is sent', async t => {
  const { pipeline, sent, done, run } = world()
  run('sent', 'call')
  await turn()
  for (let i = 0; i < 63; i++) run(`call ${i}`, 'size')
  const parts = ['a', 'b', 'c'].map(name => pipeline.submit(
    'call', 'base', [name], () => done.push(name), () => done.push(`${name} failed`)))
  t.equal(pipeline.withdraw(parts[1]!), true)
  await turn()
  for (const { resolve } of sent.splice(0)) resolve([''])
  await turn()
  t.strictSame(sent.map(({ what }) => what), ['head a c first'])
  t.equal(pipeline.withdraw(parts[0]!), false)
  sent[0]!.resolve(['', ''])
  await pipeline.settled()
  t.strictSame(done.slice(-2), ['a', 'c'])
})
