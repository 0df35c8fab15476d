// How things begin and end: programs of their own, of which a primary is a part that may die.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { until } from './until.js'

interface Program {
  child: ChildProcess
  /** The folder for temporary files that it was given. */
  folder: string
  /** The next line that it or a worker of it prints. */
  next (): Promise<any>
  /** Code and signal, when it and its workers have let go of the output. */
  ended: Promise<[number | null, string | null]>
}

function start (t: Test, name: string, ...args: string[]): Program {
  const folder = mkdtempSync(join(tmpdir(), 'ending-'))
  const child = spawn(process.execPath, [fileURLToPath(new URL(`./fixtures/${name}.js`, import.meta.url)), ...args], {
    env: { ...process.env, TMPDIR: folder }, stdio: ['ignore', 'pipe', 'pipe']
  })
  const lines = createInterface(child.stdout!)[Symbol.asyncIterator]()
  t.teardown(() => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  child.stderr!.resume()
  return {
    child,
    folder,
    next: async () => JSON.parse((await lines.next()).value as string) as unknown,
    ended: once(child, 'close') as Promise<[number | null, string | null]>
  }
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
  const { outcomes, errors } = await next()
  for (const outcome of outcomes) {
    t.match(outcome, { code: 'STORE_UNREACHABLE', message: /did not answer within 0.2 s; import 'strong-store' in the primary/ })
  }
  t.strictSame(errors, ['STORE_UNREACHABLE'])
  t.strictSame(await ended, [0, null])
})

t.test('however a primary ends, its folder goes', async t => {
  for (const [way, signal, outcome] of [
    ['exit', undefined, [3, null]],
    ['throw', undefined, [1, null]],
    ['close', undefined, [0, null]],
    ['wait', 'SIGTERM', [null, 'SIGTERM']],
    ['wait', 'SIGINT', [null, 'SIGINT']],
    ['wait', 'SIGHUP', [null, 'SIGHUP']],
    ['listener', 'SIGTERM', [5, null]]
  ] as const) {
    const { child, folder, next, ended } = start(t, 'ending', way)
    await next()
    if (signal !== undefined) child.kill(signal)
    t.strictSame(await ended, outcome, `${way} ${signal ?? ''}`)
    t.strictSame(readdirSync(folder), [], 'nothing is left')
  }
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
  const { Folder } = await import('../src/cluster/folder.js')
  const mine = new Folder()
  process.env.TMPDIR = old
  await until(() => !readdirSync(folder).includes(left!))
  mine.remove()
  t.strictSame(readdirSync(folder).sort(), ['strong-store-alive', 'strong-store-notes'])
  alive.close()
})
