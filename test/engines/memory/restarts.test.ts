// Starts and stops of a store with data: deploys, and kills at any stage of a start.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync
} from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { createStore, type Store, type StoreError } from '../../../src/index.js'
import { start } from '../../support/programs.js'
import { serve } from '../../support/serve.js'
import { until } from '../../support/until.js'

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url))

/** Enough to take several slices to load. */
const KEYS = 40_000

process.removeAllListeners('warning')

function folderFor (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'data-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return join(folder, 'store')
}

async function withStore<T> (data: string, use: (store: Store, errors: StoreError[]) => Promise<T>): Promise<T> {
  const store = createStore({ url: 'memory:', data, flush: 60, maxValueBytes: 2 ** 25 })
  const errors: StoreError[] = []
  store.on('error', error => { errors.push(error) })
  try {
    return await use(store, errors)
  } finally {
    await store.close()
  }
}

async function fill (store: Store, keys: number): Promise<void> {
  await store.collection('c').setMany(Array.from({ length: keys }, (_, i) => [`k${i}`, `value ${i}`]))
}

/** How many of these keys have their value. */
async function count (store: Store, keys: number): Promise<number> {
  const values = await store.collection('c').getMany(Array.from({ length: keys }, (_, i) => `k${i}`))
  return values.filter((value, i) => value === `value ${i}`).length
}

const filled = folderFor(t)

t.test('close writes tens of thousands of changed keys', async t => {
  await withStore(filled, store => fill(store, KEYS))
  await withStore(filled, async store => { t.equal(await count(store, KEYS), KEYS) })
})

t.test('calls wait while the data is loaded, and progress is reported', async t => {
  await withStore(filled, async store => {
    const events: Array<[number, number]> = []
    store.on('loading', (loaded, all) => { events.push([loaded, all]) })
    const [first, size] = await Promise.all([store.collection('c').get('k0'), store.collection('c').size()])
    t.same([first, size], ['value 0', KEYS])
    t.ok(events.length > 0)
    for (const [loaded, all] of events) t.ok(loaded > 0 && loaded <= all)
  })
  const { said, kill, exited } = await serve(t, ['--socket', `${filled}-socket`, '--data', filled])
  t.match(said(), /loads its data: \d+ % done/, 'serve logs it')
  kill()
  t.same(await exited, [0, null])
})

t.test('a store that is killed while it loads loses nothing', async t => {
  for (let round = 0; round < 2; round++) {
    const { nextLine, signal, ended } = start(t, 'test/fixtures/data-open.js', { args: [filled] })
    t.equal(await nextLine(), 'opening')
    for (let line = 0; line <= round; line++) t.equal(await nextLine(), 'loading')
    signal('SIGKILL')
    await ended
  }
  await withStore(filled, async (store, errors) => {
    t.equal(await count(store, KEYS), KEYS)
    t.same(errors, [])
  })
})

t.test('a store that is killed during its first start can be opened', async t => {
  const data = folderFor(t)
  for (let round = 0; round < 4; round++) {
    const { child, nextLine, signal, ended } = start(t, 'test/fixtures/data-open.js', { args: [data] })
    await nextLine()
    // The process is killed as soon as these files exist; in the last round, when the store is open.
    const sign = [[], ['lock'], ['lock', 'data.mdb'], undefined][round]
    if (sign === undefined) t.equal(await nextLine(), 'open: 0')
    else {
      while (child.exitCode === null && !sign.every(name => namesIn(data).includes(name))) {
        await new Promise(resolve => {
          setImmediate(resolve)
        })
      }
    }
    signal('SIGKILL')
    await ended
    await withStore(data, async (store, errors) => {
      await store.collection('c').set('key', round)
      t.same(errors, [], `round ${round}`)
    })
    await withStore(data, async store => { t.equal(await store.collection('c').get('key'), round) })
    t.same(namesIn(data).filter(name => name.includes('damaged')), [])
    rmSync(data, { recursive: true })
  }
})

function namesIn (folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

t.test('a damaged file that was moved aside is kept if the store is killed right after the move', async t => {
  const data = folderFor(t)
  await withStore(data, store => fill(store, 100))
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  renameSync(join(data, 'data.mdb'), join(data, 'data.mdb.damaged-before'))
  writeFileSync(
    join(data, 'lock'), JSON.stringify({ pid, started: '1', host: '', token: 'of a process that was killed' })
  )
  await withStore(data, async (store, errors) => {
    t.equal(await store.collection('c').size(), 0)
    t.same(errors, [])
    await store.collection('c').set('new', 1)
  })
  renameSync(join(data, 'data.mdb.damaged-before'), join(data, 'data.mdb'))
  await withStore(data, async store => { t.equal(await count(store, 100), 100, 'the moved file is unchanged') })
})

t.test('ten thousand collections, values of many megabytes and the longest names survive restarts', async t => {
  const data = folderFor(t)
  const long = '😀'.repeat(256)
  const COLLECTIONS = 10_000
  await withStore(data, async store => {
    for (let i = 0; i < COLLECTIONS; i += 1000) {
      await Promise.all(Array.from({ length: 1000 }, (_, j) => store.collection(`c${i + j}`).set('key', i + j)))
    }
    await store.collection(long).configure({ maxKeys: 2 })
    await store.collection(long).set(long, 'x'.repeat(30e6))
    await store.collection(long).set('small', 1)
    await store.collection('c1').configure({ expireKeys: 1000 })
  })
  await withStore(data, async store => {
    t.equal((await store.stats()).collections, COLLECTIONS + 1)
    let wrong = 0
    for (let i = 0; i < COLLECTIONS; i += 97) if (await store.collection(`c${i}`).get('key') !== i) wrong++
    t.equal(wrong, 0)
    t.equal((await store.collection(long).get(long) as string).length, 30e6)
    t.equal(await store.collection(long).get('small'), 1)
    t.match(await store.collection(long).stats(), { maxKeys: 2, keys: 2 })
    await store.collection(long).set(long, 'x'.repeat(33e6))
  })
  await withStore(data, async store => { t.equal((await store.collection(long).get(long) as string).length, 33e6) })
})

t.test('without the package lmdb, the error says what to install', async t => {
  const data = folderFor(t)
  const hook = 'export const resolve = (name, context, next) => { ' +
    'if (name !== "lmdb") return next(name, context); throw Object.assign(new Error("not found"), { code: "ERR_MODULE_NOT_FOUND" }) }'
  const program = `
    import { register } from 'node:module'
    register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)})
    const { createStore } = await import(${JSON.stringify(join(ROOT, 'dist/src/index.js'))})
    const store = createStore({ url: 'memory:', data: ${JSON.stringify(data)} })
    store.on('error', () => {})
    await store.collection('c').get('a').catch(error => { console.log(error.code, error.message) })`
  const env = { ...process.env, NODE_OPTIONS: '' }
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', env })
  t.match(out, /^STORE_OPTION_INVALID .*npm install lmdb/)
  t.same(readdirSync(data), [], 'the folder is not locked')
})

t.test('the server in the guide replaces its workers on SIGHUP, and saves everything on SIGTERM', async t => {
  const guide = readFileSync(join(ROOT, 'docs/surviving-restarts.md'), 'utf8')
  const recipe = Array.from(guide.matchAll(/^```js\n(.*?)^```$/gms), ([, text]) => text!).find(text =>
    text.includes('SIGHUP')
  )!
  t.ok(recipe.includes('cluster.fork()'))
  const data = folderFor(t)
  const socket = `${data}-http`
  const programs = join(ROOT, 'dist/documents') // inside the package, where it can be imported by its own name
  mkdirSync(programs, { recursive: true })
  const file = join(programs, `restarts-${process.pid}.mjs`)
  t.teardown(() => { rmSync(file, { force: true }) })
  // Each response also names its worker.
  writeFileSync(
    file,
    recipe
      .replace('listen(3000)', `listen(${JSON.stringify(socket)})`)
      .replace('response.end(', "response.end(process.pid + ' ' + ")
  )
  const ask = (): Promise<[pid: number, hits: number]> => new Promise((resolve, reject) => {
    request({ socketPath: socket, path: '/home', agent: false }, response => {
      let text = ''
      response.on('data', chunk => { text += String(chunk) })
      response.on('end', () => { resolve(text.trim().split(' ').map(Number) as [number, number]) })
    }).on('error', reject).end()
  })
  // A worker that leaves closes the connections that it has accepted but read nothing from. A request that was read but
  // not answered would be missing in the next count.
  const isUnread = (error: NodeJS.ErrnoException): false => {
    if (error.code === 'EPIPE' || error.code === 'ECONNRESET') return false
    throw error
  }
  const server = (): ReturnType<typeof start> =>
    start(t, `documents/restarts-${process.pid}.mjs`, { env: { STATE_DIRECTORY: data } })
  const isUp = async (): Promise<boolean> => await ask().then(() => true, () => false)
  const first = server()
  await until(isUp, 40)
  const [worker, before] = await ask()
  let hits = before
  const old = new Set([worker])
  for (let i = 0; i < 10; i++) {
    const [from, next] = await ask()
    t.equal(next, ++hits)
    old.add(from)
  }
  // A busy client must not keep an old worker.
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  const over = new AbortController()
  const busy = Array.from({ length: 4 }, async () => {
    while (!over.signal.aborted) {
      await new Promise<void>(resolve => {
        request({ socketPath: socket, path: '/busy', agent }, response => {
          response.resume().on('end', resolve)
        }).on('error', () => { resolve() }).end()
      })
      await new Promise(resolve => { setTimeout(resolve, 5) })
    }
  })
  for (let i = 0; i < 3; i++) { // faster than a worker can start
    first.child.kill('SIGHUP')
    const answered = await ask().catch(isUnread)
    if (answered !== false) t.equal(answered[1], ++hits)
  }
  await until(async () => {
    const answered = await ask().catch(isUnread)
    if (answered === false) return false
    const [from, next] = answered
    t.equal(next, ++hits)
    return !old.has(from)
  }, 40)
  const workers = `/proc/${first.child.pid}/task/${first.child.pid}/children`
  const running = (): string[] => readFileSync(workers, 'utf8').trim().split(' ')
  await until(() => running().length === 2, 40) // each has one successor
  first.child.kill('SIGHUP')
  await until(() => running().length > 2, 40)
  const all = running()
  first.child.kill('SIGTERM')
  t.same(await first.ended, [0, null])
  t.same(all.filter(pid => existsSync(`/proc/${pid}`)), [], 'no worker outlives the primary')
  over.abort()
  await Promise.all(busy)
  agent.destroy()
  const second = server()
  await until(isUp, 40)
  const [from, next] = await ask()
  t.equal(next, hits + 2, 'nothing is lost')
  t.notOk(old.has(from))
  second.child.kill('SIGTERM')
  t.same(await second.ended, [0, null])
})
