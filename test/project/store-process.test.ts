// The steps of docs/store-process.md that require no packages. .ci/guides runs the others.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { createStore } from '../../src/index.js'
import { PLAIN, cleanEnv, cli, directory, serve } from '../support/serve.js'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const INDEX = new URL('../../src/index.js', import.meta.url).href
const GUIDE = readFileSync(join(ROOT, 'docs/store-process.md'), 'utf8')
const NOBODY = 65534
/** Prints a number that increases with each run, and exits. */
const PROGRAM = `import { createStore } from '${INDEX}'
const store = createStore()
console.log(await store.collection('counters').increment('runs'))
await store.close()
`

function section (title: string): string {
  const text = GUIDE.slice(GUIDE.indexOf(`\n## ${title}\n`) + 1)
  return text.slice(0, text.indexOf('\n## '))
}

t.test('systemd: the units are valid', t => {
  const folder = join(ROOT, 'examples/systemd')
  const units = readdirSync(folder).map(name => join(folder, name))
  for (const unit of units) {
    for (const line of readFileSync(unit, 'utf8').split('\n')) {
      t.match(line, /^(?:|#.*|\[(?:Unit|Service|Socket|Install)\]|[A-Z]\w+=.*)$/, unit)
    }
  }
  const { error, status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', ...units], { encoding: 'utf8' })
  if (error !== undefined) t.comment('systemd-analyze is not installed')
  else t.strictSame([status, stdout + stderr], [0, ''])
  t.end()
})

/** The arguments of the program `strong-store` in the commands of a section. */
function commandsOf (text: string): string[][] {
  return Array.from(text.matchAll(/node,? node_modules\/\.bin\/strong-store,? ([^\]}\n]*)/g), ([, args]) =>
    args!.replaceAll(/[,']/g, '').trim().split(' ')
  )
}

t.test('containers: programs in other folders and with other users share a store through a volume', async t => {
  const commands = commandsOf(section('Containers'))
  t.strictSame(commands.map(([name]) => name), ['serve', 'check', 'serve', 'check'], 'for Compose and for Kubernetes')
  const isRoot = process.geteuid?.() === 0
  for (const [i, command] of commands.entries()) {
    if (command[0] !== 'serve') continue
    const volume = directory(t)
    chmodSync(volume, 0o755)
    const here = (args: string[]): string[] => args.map(arg => arg.replace('/run/store', volume))
    const { url } = await serve(t, here(command).slice(1))
    // Without --mode 0666, all containers run as one user.
    const uid = isRoot && command.includes('--mode') ? NOBODY : undefined
    t.match(await cli(here(commands[i + 1]!), uid === undefined ? {} : { uid }), { code: 0 })
    t.equal(url, `unix:${volume}/store.sock`)
    t.match(section('Containers'), /STRONG_STORE_URL(?::|, value:) 'unix:\/run\/store\/store\.sock'/)
    for (const [run, cwd] of [directory(t), directory(t)].entries()) {
      chmodSync(cwd, 0o755)
      const child = spawn('env', [...PLAIN, process.execPath, '--input-type=module', '-e', PROGRAM], {
        cwd,
        env: cleanEnv({ STRONG_STORE_URL: url }),
        stdio: ['ignore', 'pipe', 'inherit'],
        ...(uid === undefined ? {} : { uid, gid: uid })
      })
      const lines = createInterface(child.stdout!)[Symbol.asyncIterator]()
      t.equal((await lines.next()).value, String(run + 1))
    }
  }
})

/** Starts a program that prints lines. */
function printing (t: Test, folder: string, url: string, ...args: string[]): () => Promise<string> {
  const child = spawn('env', [...PLAIN, process.execPath, ...args], {
    cwd: folder, env: cleanEnv({ STRONG_STORE_URL: url }), stdio: ['ignore', 'pipe', 'inherit']
  })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const lines = createInterface(child.stdout!)[Symbol.asyncIterator]()
  return async () => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done === true) throw new Error('it has ended')
      if (/^\d+$/.test(value)) return value // not a message of Node.js about the restart
    }
  }
}

t.test('node --watch: the state survives a restart of the program', async t => {
  const folder = directory(t)
  const { url } = await serve(t, ['--socket', join(folder, 'socket')])
  const app = join(folder, 'app')
  mkdirSync(app)
  writeFileSync(join(app, 'server.mjs'), PROGRAM)
  const next = printing(t, app, url, '--watch', 'server.mjs')
  t.equal(await next(), '1')
  let edits = 0
  const edit = (): void => { writeFileSync(join(app, 'server.mjs'), `${PROGRAM}// edit ${++edits}\n`) }
  edit()
  const timer = setInterval(edit, 5000) // Node.js misses edits until it watches the file, which the program may precede
  t.teardown(() => { clearInterval(timer) })
  t.ok(Number(await next()) > 1)
})

t.test('worker threads: each has its own connection and locks', async t => {
  const { url } = await serve(t, ['--socket', join(directory(t), 'socket')])
  const store = createStore(url)
  t.teardown(() => store.close())
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { createStore } = require(workerData.index)
    const jobs = createStore(workerData.url).collection('jobs')
    jobs.acquire('job').then(lock => {
      parentPort.postMessage(lock.fence)
      parentPort.once('message', () => {}) // stays
    })`
  const workerData = { url, index: fileURLToPath(INDEX) }
  const threads = Array.from(
    { length: 2 },
    () => new Worker(code, { eval: true, workerData, execArgv: [], env: cleanEnv({ NODE_OPTIONS: '' }) })
  )
  const fences = threads.map(thread => once(thread, 'message'))
  const first = await Promise.race(fences.map(async (fence, i) => { await fence; return i }))
  const { owner } = (await store.collection('jobs').lockInfo('job'))!
  t.match(owner, new RegExp(`^pid ${process.pid}, thread ${threads[first]!.threadId} on `))
  await threads[first]!.terminate()
  await fences[1 - first]
  t.match(
    (await store.locks()).map(({ owner }) => owner), [`thread ${threads[1 - first]!.threadId} on `],
    'the lock of a thread ends with it'
  )
  await threads[1 - first]!.terminate()
})
