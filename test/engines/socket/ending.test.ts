// How processes start and exit. They are separate programs, since the primary is killed in some tests.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { start as startProgram, type Program } from '../../support/programs.js'
import { until } from '../../support/until.js'

function start (t: Test, name: string, ...args: string[]): Program & { next (): Promise<any> } {
  return withJson(startProgram(t, `test/fixtures/${name}.js`, { args }))
}

function withJson (program: Program): Program & { next (): Promise<any> } {
  return { ...program, next: async () => JSON.parse(await program.nextLine()) as unknown }
}

t.test('when the primary is killed, every call of a worker rejects immediately, and the worker can exit', async t => {
  const { child, next, ended } = start(t, 'primary-killed')
  t.match(await next(), { ready: true })
  child.kill('SIGKILL')
  t.strictSame(await next(), { codes: Array(4).fill('STORE_DISCONNECTED'), held: false, later: 'STORE_UNREACHABLE' })
  await ended // the worker has the output open as well
})

t.test('a worker forked before the primary imports the package gets its replies', async t => {
  const { next, ended } = start(t, 'late-import')
  t.strictSame(await next(), { count: 1 })
  t.strictSame(await ended, [0, null])
})

t.test('if the primary does not import the package, the error says what to do', async t => {
  const { next, ended } = start(t, 'no-import')
  const { outcomes, errors, again } = await next()
  for (const outcome of outcomes) {
    t.match(outcome, { code: 'STORE_UNREACHABLE', message: /^The store cannot be reached: [gs]et of "key" in collection "c": no reply within 0.2 s; import 'strong-store' in the primary/ })
  }
  t.strictSame(errors, ['STORE_UNREACHABLE'])
  t.equal(again, 'STORE_UNREACHABLE', 'a call made in the error listener fails as well')
  t.strictSame(await ended, [0, null])
})

t.test('a primary that exits leaves no directory', async t => {
  await Promise.all(([
    ['exit', undefined, [3, null]],
    ['throw', undefined, [1, null]],
    ['close', undefined, [0, null]],
    ['listener', 'SIGTERM', [5, null]]
  ] as const).map(async ([way, signal, outcome]) => {
    const { child, folder, next, ended } = start(t, 'ending', way)
    t.strictSame((await next()).signals, [], 'importing the package adds no signal handlers')
    if (signal !== undefined) child.kill(signal)
    t.strictSame(await ended, outcome, way)
    t.strictSame(readdirSync(folder), [], 'no directory is left')
  }))
})

t.test('directories of killed primaries are removed by the next primary of their user', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'ending-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  const begin = (): ReturnType<typeof start> =>
    withJson(startProgram(t, 'test/fixtures/ending.js', { args: ['wait'], env: { TMPDIR: folder } }))
  const killed = ['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP'] as const
  const programs = killed.map(name => ({ name, ...begin() }))
  await Promise.all(programs.map(({ next }) => next()))
  await Promise.all(programs.map(async ({ name, child, ended }) => {
    child.kill(name)
    t.strictSame(await ended, [null, name])
  }))
  // An earlier primary that was still cleaning up may have removed the directories of others.
  t.ok(readdirSync(folder).length > 0, 'a killed process leaves its directory')
  const { child, next, ended } = begin()
  await next()
  await until(() => readdirSync(folder).length === 1)
  child.kill('SIGKILL')
  await ended
})
