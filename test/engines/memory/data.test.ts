import { spawnSync } from 'node:child_process'
import {
  chmodSync, chownSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, truncateSync,
  writeFileSync
} from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createStore, type Store, type StoreError } from '../../../src/index.js'
import { openLmdb } from '../../../src/engines/memory/lmdb-disk.js'
import { seal } from '../../../src/engines/memory/sealed-record.js'
import { KEYS, WORKERS } from '../../fixtures/data-layout.js'
import { serveAdmin } from '../../support/admin.js'
import { start } from '../../support/programs.js'
import { until } from '../../support/until.js'

function folderFor (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'data-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  return join(folder, 'store')
}

async function withStore<T> (
  data: string, use: (store: Store, errors: StoreError[]) => Promise<T>, flush?: number
): Promise<T> {
  const store = createStore({ url: 'memory:', data, flush })
  const errors: StoreError[] = []
  store.on('error', error => {
    errors.push(error)
  })
  try {
    return await use(store, errors)
  } finally {
    await store.close().catch(() => {})
  }
}

// The faults below cause warnings on purpose.
process.removeAllListeners('warning')

t.test('data survives a restart', async t => {
  const data = folderFor(t)
  const { version, fence, expiresAt } = await withStore(data, async store => {
    const c = store.collection('käse')
    const version = await c.set('größe', { text: 'ü€😀' })
    await c.set('ttl', 1, { ttl: 1000 })
    await c.set('gone', 1)
    await c.del('gone')
    await store.collection<number>('n').increment('hits', 41)
    await c.set('large', 'x'.repeat(500_000))
    await c.configure({ expireKeys: 500, evict: false })
    await store.collection('cleared').set('a', 1)
    await store.collection('cleared').clear()
    const lock = await c.acquire('größe')
    return { version, fence: lock.fence, expiresAt: (await c.entry('ttl'))!.expiresAt }
  })
  t.equal(statSync(data).mode & 0o777, 0o700)
  for (const name of readdirSync(data)) t.equal(statSync(join(data, name)).mode & 0o777, 0o600, name)
  t.notOk(readdirSync(data).includes('lock'))
  await withStore(data, async store => {
    const c = store.collection<any>('käse')
    const found = await c.entry('größe')
    t.same([found!.value, found!.version], [{ text: 'ü€😀' }, version])
    t.equal((await c.get('large')).length, 500_000)
    t.equal(await c.get('gone'), undefined)
    const left = (await c.entry('ttl'))!.expiresAt!.getTime() - expiresAt!.getTime()
    t.ok(Math.abs(left) < 1000, `the expiry differs by ${left} ms`)
    t.equal(await store.collection<number>('n').increment('hits'), 42)
    t.match(await c.stats(), { expireKeys: 500, evict: false })
    t.equal(await store.collection('cleared').size(), 0)
    const lock = await c.tryAcquire('größe')
    t.ok(lock!.fence > fence, 'locks end with the process, and fences increase')
    t.ok(await c.set('later', 1) > version)
    t.match((await store.stats()).data, { errors: 0 })
  })
})

t.test('a durable change is on disk when it is answered', async t => {
  const data = folderFor(t)
  const copy = folderFor(t)
  mkdirSync(copy, { mode: 0o700 })
  const look = async (): Promise<number[]> => {
    copyFileSync(join(data, 'data.mdb'), join(copy, 'data.mdb'))
    return await withStore(
      copy, async store => (await store.collection<number>('c').getMany(['a', 'b', 'n', 'u', 'l'])) as number[]
    )
  }
  await withStore(data, async store => {
    const c = store.collection<number>('c')
    await c.set('a', 1, { durable: true })
    t.same(await look(), [1, undefined, undefined, undefined, undefined])
    await c.configure({ durable: true })
    await c.set('b', 2)
    await c.configure({ durable: false })
    await c.increment('n', 3, { durable: true })
    await c.update('u', () => 4, { durable: true })
    const lock = await c.acquire('l')
    lock.set(5)
    await lock.release({ durable: true })
    t.same(await look(), [1, 2, 3, 4, 5])
    await c.del('a', { durable: true })
    t.equal((await look())[0], undefined)
  }, 60)
  const memory = createStore('memory:')
  t.teardown(() => memory.close())
  await t.rejects(memory.collection('c').set('a', 1, { durable: true }), {
    code: 'STORE_OPTION_INVALID', message: /store with data/
  })
  t.equal(await memory.collection('c').get('a'), undefined)
  const lock = await memory.collection('c').acquire('a')
  lock.set(1)
  await t.rejects(lock.release({ durable: true }), { code: 'STORE_OPTION_INVALID' })
  t.equal(await memory.collection('c').get('a', { timeout: 0 }), undefined, 'the lock is released anyway')
  await t.rejects(memory.collection('c').configure({ durable: true }), { code: 'STORE_OPTION_INVALID' })
})

t.test('invalid options are rejected', async t => {
  for (const options of [
    { data: '' }, { data: 1 }, { flush: 1 }, { data: 'x', flush: 61 }, { data: 'x', flush: 0.001 }, { url: 'redis://localhost', data: 'x' }, { url: 'http://localhost', data: 'x' }
  ]) t.throws(() => createStore(options as object), { code: 'STORE_OPTION_INVALID' }, JSON.stringify(options))
  const c = createStore('memory:').collection('c')
  for (const options of [{ keep: 1 }, { durable: 'yes' }]) { await t.rejects(c.configure(options as object), { code: 'STORE_OPTION_INVALID' }) }
})

t.test('a second store in a folder is rejected, unless the process of the first is dead', async t => {
  const data = folderFor(t)
  await withStore(data, async store => {
    await store.collection('c').set('a', 1)
    await withStore(data, async (second, errors) => {
      await t.rejects(second.collection('c').get('a'), {
        code: 'STORE_UNREACHABLE', message: new RegExp(`in use by process ${process.pid}`)
      })
      await t.rejects(second.ping(), { code: 'STORE_UNREACHABLE' })
      t.equal(errors.length, 1)
    })
    t.equal(await store.collection('c').get('a'), 1)
  })
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  const own = JSON.parse(lockOfThisProcess(data)) as object
  for (const lock of [{ ...own, pid }, { ...own, started: '1' }, { ...own, pid: 1, started: '1' }]) {
    writeFileSync(join(data, 'lock'), JSON.stringify(lock))
    await withStore(data, async store => { t.equal(await store.collection('c').get('a'), 1, JSON.stringify(lock)) })
  }
})

function lockOfThisProcess (data: string): string {
  return JSON.stringify({ pid: process.pid, started: '', host: '', token: 'of another store', data })
}

t.test('a damaged file is moved aside, and the store starts empty', async t => {
  const data = folderFor(t)
  const file = join(data, 'data.mdb')
  const damages: Array<[string, () => void]> = [
    [
      'truncated',
      () => {
        truncateSync(file, 40_000)
      }
    ],
    [
      'not a database',
      () => {
        writeFileSync(file, 'hello, this is something else\n'.repeat(1000))
      }
    ],
    [
      'wrong bytes',
      () => {
        spawnSync('sh', [
          '-c', `printf XXXXXXXX | dd of='${file}' bs=1 seek=${statSync(file).size - 9000} conv=notrunc`
        ])
      }
    ]
  ]
  for (const [name, damage] of damages) {
    await withStore(data, async store => {
      for (let i = 0; i < 100; i++) await store.collection('c').set(`k${i}`, 'x'.repeat(1000), { confirm: false })
    })
    damage()
    const { size } = statSync(file)
    await withStore(data, async (store, errors) => {
      t.equal(await store.collection('c').size(), 0, name)
      t.match(errors, [{ code: 'STORE_NOT_DURABLE', message: /damaged .* was moved to/ }])
      await store.collection('c').set('new', 1)
    })
    const aside = readdirSync(data).filter(name => name.includes('damaged'))
    t.equal(aside.length, 1)
    t.equal(statSync(join(data, aside[0]!)).size, size, 'the file is unchanged')
    rmSync(join(data, aside[0]!))
    await withStore(data, async store => { t.equal(await store.collection('c').get('new'), 1) })
    rmSync(data, { recursive: true })
  }
})

t.test('data of a newer format is rejected, and not changed', async t => {
  const data = folderFor(t)
  await withStore(data, store => store.collection('c').set('a', 1))
  const disk = await openLmdb(data)
  const meta = JSON.parse(disk.read('meta')!.toString()) as { format: number }
  await disk.write(new Map([['meta', seal('meta', { ...meta, format: meta.format + 1 })]]))
  await disk.close()
  await withStore(data, store =>
    t.rejects(store.ping(), {
      code: 'STORE_UNREACHABLE', message: /format 2, this version of strong-store supports up to 1/
    })
  )
  const again = await openLmdb(data)
  t.match(JSON.parse(again.read('meta')!.toString()), { format: 2 })
  t.equal(again.names().filter(name => name.startsWith('log/')).length, 1)
  await again.close()
})

t.test('a folder that other users own or can write to is rejected', async t => {
  const data = folderFor(t)
  mkdirSync(data)
  chmodSync(data, 0o770)
  await withStore(data, store => t.rejects(store.ping(), { code: 'STORE_UNREACHABLE', message: /chmod 700/ }))
  chmodSync(data, 0o700)
  if (process.geteuid!() === 0) {
    chownSync(data, 65534, 65534)
    await withStore(data, store =>
      t.rejects(store.ping(), { code: 'STORE_UNREACHABLE', message: /belongs to uid 65534/ })
    )
  } else {
    chmodSync(data, 0o500)
    await withStore(data, store => t.rejects(store.ping(), { code: 'STORE_UNREACHABLE', message: /EACCES/ }))
  }
  t.same(readdirSync(data), [])
})

t.test('a store whose folder disappears keeps working, with a warning', async t => {
  const data = folderFor(t)
  await withStore(data, async (store, errors) => {
    const c = store.collection('c')
    await c.set('a', 1, { durable: true })
    renameSync(data, `${data}-away`)
    await c.set('b', 2)
    await until(() => errors.length > 0)
    t.match(errors, [{ code: 'STORE_NOT_DURABLE', message: /was moved or removed/ }])
    t.equal(await c.get('b'), 2)
    await t.rejects(c.set('c', 3, { durable: true }), { code: 'STORE_NOT_DURABLE' })
    const { data: stats } = await store.stats()
    t.ok(stats!.errors > 0 && stats!.lag > 0)
    const { ask } = await serveAdmin(t, store)
    const { text } = await ask('GET', '/metrics')
    for (const metric of ['data_lag_seconds', 'data_errors_total']) {
      t.ok(Number(new RegExp(`^strong_store_${metric} (.*)$`, 'm').exec(text)?.[1]) > 0, metric)
    }
    renameSync(`${data}-away`, data)
    await until(async () => (await store.stats()).data!.lag === 0)
  }, 0.01)
  await withStore(data, async store => { t.same(await store.collection('c').getMany(['a', 'b', 'c']), [1, 2, 3]) })
})

/** Mounts a small file system, which needs root. Undefined if that is not possible. */
function mounted (t: Test): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'data-'))
  const isMounted =
    process.geteuid!() === 0 &&
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=700', 'tmpfs', folder]).status === 0
  t.teardown(() => {
    if (isMounted) spawnSync('umount', [folder])
    rmSync(folder, { recursive: true, force: true })
  })
  if (isMounted) return folder
  t.comment('skipped: mounting a file system needs root')
  return undefined
}

t.test('a folder on a read-only file system is rejected', async t => {
  const folder = mounted(t)
  if (folder === undefined) return
  await withStore(folder, store => store.collection('c').set('a', 1))
  const names = readdirSync(folder)
  t.equal(spawnSync('mount', ['-o', 'remount,ro', folder]).status, 0)
  await withStore(folder, store => t.rejects(store.ping(), { code: 'STORE_UNREACHABLE', message: /EROFS/ }))
  t.same(readdirSync(folder), names)
  t.equal(spawnSync('mount', ['-o', 'remount,rw', folder]).status, 0)
  await withStore(folder, async store => { t.equal(await store.collection('c').get('a'), 1) })
})

t.test('a store on a full disk keeps working, with a warning', async t => {
  const folder = mounted(t)
  if (folder === undefined) return
  await withStore(folder, async (store, errors) => {
    const c = store.collection('c')
    for (let i = 0; i < 30; i++) await c.set(`k${i}`, 'x'.repeat(100_000))
    await until(() => errors.length > 0)
    t.equal(await c.size(), 30)
    for (let i = 1; i < 30; i++) await c.del(`k${i}`)
    await c.set('small', 1)
  }, 0.01)
  await withStore(folder, async store => {
    t.ok((await store.collection('c').size()) <= 30, 'the data can still be loaded')
  })
})

t.test('data is rejected if the store is already open without it', async t => {
  const store = createStore()
  t.teardown(() => store.close())
  t.throws(() => createStore({ data: folderFor(t) }), {
    code: 'STORE_OPTION_INVALID', message: /already open without data/
  })
})

t.test('after kill -9, the store has a past state of each writer', async t => {
  const data = folderFor(t)
  const durable = Array<number>(WORKERS).fill(0)
  for (let round = 0; round < 4; round++) {
    const { nextLine, signal, ended } = start(t, 'test/fixtures/data-writers.js', { args: [data] })
    const lines = 10 + Math.floor(Math.random() * 60)
    for (let i = 0; i < lines; i++) {
      const [writer, n] = (await nextLine()).split(' ').map(Number)
      durable[writer!] = n!
    }
    signal('SIGKILL')
    await ended
    await withStore(data, async store => {
      for (let writer = 0; writer < WORKERS; writer++) {
        const names = Array.from({ length: KEYS }, (_, key) => `${writer}-${key}`)
        const values = (await store.collection<number>('numbers').getMany(names)).map(n => n ?? 0)
        const first = values[0]!
        const isInOrder = values.every(
          (n, i) => n === first || (n === first - 1 && values.slice(i).every(later => later === n))
        )
        t.ok(isInOrder, `${values.join()} is a state in the order of writes`)
        t.ok(values.at(-1)! >= durable[writer]!, `not older than the durable write ${durable[writer]}`)
      }
    })
  }
})

t.test('sessions survive a restart of the primary and all workers', async t => {
  const data = folderFor(t)
  const path = `${data}-http`
  interface Answer { body: unknown, cookie: string | undefined }
  const get = (url: string, cookie?: string): Promise<Answer> => new Promise((resolve, reject) => {
    request(
      {
        socketPath: path,
        path: url,
        agent: false,
        headers: { connection: 'close', ...(cookie === undefined ? {} : { cookie }) }
      },
      response => {
        let text = ''
        response.on('data', chunk => {
          text += String(chunk)
        })
        response.on('end', () => {
          resolve({ body: JSON.parse(text), cookie: response.headers['set-cookie']?.[0]?.split(';')[0] })
        })
      }
    )
      .on('error', reject)
      .end()
  })
  const first = start(t, 'test/fixtures/data-sessions.js', { args: [data, path] })
  t.equal(await first.nextLine(), 'ready')
  const users = Array.from({ length: 20 }, (_, i) => `user ${i}`)
  const cookies = await Promise.all(
    users.map(async user => (await get(`/login?user=${encodeURIComponent(user)}`)).cookie)
  )
  first.child.kill('SIGTERM')
  t.same(await first.ended, [0, null])
  const second = start(t, 'test/fixtures/data-sessions.js', { args: [data, path] })
  t.equal(await second.nextLine(), 'ready')
  for (const [i, user] of users.entries()) t.same((await get('/me', cookies[i])).body, { user })
  second.child.kill('SIGTERM')
  t.same(await second.ended, [0, null])
})
