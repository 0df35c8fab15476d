// How things begin and end: programs of their own, of which a primary is a part that may die.
import { once } from 'node:events'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { start as startProgram, type Program } from '../../support/programs.js'
import { until } from '../../support/until.js'

function start (t: Test, name: string, ...args: string[]): Program & { next (): Promise<any> } {
  const program = startProgram(t, `test/fixtures/${name}.js`, { args })
  return { ...program, next: async () => JSON.parse(await program.nextLine()) as unknown }
}

t.test('a primary that is killed: every call fails at once, the worker ends by itself', async t => {
  const { child, next, ended } = start(t, 'primary-killed')
  t.match(await next(), { ready: true })
  child.kill('SIGKILL')
  t.strictSame(await next(), { codes: Array(4).fill('STORE_DISCONNECTED'), held: false, later: 'STORE_UNREACHABLE' })
  await ended // the worker had a hand on the output as well
})

t.test('a worker that is older than the import in the primary is served', async t => {
  const { next, ended } = start(t, 'late-import')
  t.strictSame(await next(), { count: 1 })
  t.strictSame(await ended, [0, null])
})

t.test('without an import in the primary, the error says what to do', async t => {
  const { next, ended } = start(t, 'no-import')
  const { outcomes, errors, again } = await next()
  for (const outcome of outcomes) {
    t.match(outcome, { code: 'STORE_UNREACHABLE', message: /^No store answers: the primary did not answer within 0.2 s; import 'strong-store' in the primary/ })
  }
  t.strictSame(errors, ['STORE_UNREACHABLE'])
  t.equal(again, 'STORE_UNREACHABLE', 'also for who calls again as soon as he hears of it')
  t.strictSame(await ended, [0, null])
})

t.test('however a primary ends, its folder goes', async t => {
  await Promise.all(([
    ['exit', undefined, [3, null]],
    ['throw', undefined, [1, null]],
    ['close', undefined, [0, null]],
    ['wait', 'SIGTERM', [null, 'SIGTERM']],
    ['wait', 'SIGINT', [null, 'SIGINT']],
    ['wait', 'SIGHUP', [null, 'SIGHUP']],
    ['listener', 'SIGTERM', [5, null]]
  ] as const).map(async ([way, signal, outcome]) => {
    const { child, folder, next, ended } = start(t, 'ending', way)
    await next()
    if (signal !== undefined) child.kill(signal)
    t.strictSame(await ended, outcome, `${way} ${signal ?? ''}`)
    t.strictSame(readdirSync(folder), [], 'nothing is left')
  }))
})

t.test('what a killed primary left is removed by the next one, what a living one has is not', async t => {
  const { child, folder, next, ended } = start(t, 'ending', 'wait')
  await next()
  const [left] = readdirSync(folder)
  child.kill('SIGKILL')
  await ended
  t.strictSame(readdirSync(folder), [left], 'a killed process cannot tidy up')
  mkdirSync(join(folder, 'strong-store-alive'))
  const alive = createServer().listen(join(folder, 'strong-store-alive', 'socket'))
  await once(alive, 'listening')
  writeFileSync(join(folder, 'strong-store-notes'), 'not ours')
  const old = process.env.TMPDIR
  process.env.TMPDIR = folder
  const { Folder } = await import('../../../src/engines/socket/socket-directory.js')
  const mine = new Folder()
  process.env.TMPDIR = old
  await until(() => !readdirSync(folder).includes(left!))
  mine.remove()
  t.strictSame(readdirSync(folder).sort(), ['strong-store-alive', 'strong-store-notes'])
  alive.close()
})
