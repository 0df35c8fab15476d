// `unix:`: a client whose store is missing, is another program, or restarts.
import { once } from 'node:events'
import { chmodSync, chownSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { socketPath } from '../../../src/engines/socket/unix.js'
import { PROTOCOL_VERSION } from '../../../src/engines/socket/protocol.js'
import { createStore, type Store } from '../../../src/index.js'
import { copyPackage } from '../../support/copies.js'
import { cli, directory, serve } from '../../support/serve.js'
import { until } from '../../support/until.js'

async function listen (t: Test, path: string, accept: (socket: Socket) => void): Promise<Server> {
  const server = createServer(socket => { accept(socket.on('error', () => {})) }).listen(path)
  t.teardown(() => { server.close() })
  await once(server, 'listening')
  return server
}

function storeAt (t: Test, path: string, connectTimeout = 0.2): Store {
  const store = createStore({ url: `unix:${path}`, connectTimeout })
  t.teardown(() => store.close().catch(() => {}))
  return store
}

t.test('unix: URLs become paths, or named pipes on Windows', async t => {
  t.equal(socketPath('unix:/run/app/store.sock', 'linux'), '/run/app/store.sock')
  t.equal(socketPath('unix:///run/app//store.sock', 'linux'), '/run/app/store.sock')
  t.equal(socketPath('unix:/run/app/store.sock', 'win32'), '\\\\.\\pipe\\run-app-store.sock')
  t.equal(socketPath('unix://./pipe/store', 'win32'), '\\\\.\\pipe\\store')
  t.equal(socketPath('unix:\\\\.\\pipe\\store', 'win32'), '\\\\.\\pipe\\store')
  for (const url of [
    'unix:', 'unix:store.sock', 'unix:./store.sock', 'unix:/run/', 'unix:/run/\0', `unix:/${'x'.repeat(107)}`
  ]) {
    t.throws(() => createStore(url), { code: 'STORE_OPTION_INVALID' }, url)
  }
  t.throws(() => createStore('unix://run/app/store.sock'), { code: 'STORE_OPTION_INVALID', message: /did you mean unix:\/run\/app\/store\.sock\?/ })
  t.throws(() => createStore({ url: 'unix:/run/store', maxValueBytes: 1 }), { code: 'STORE_OPTION_INVALID' })
  t.equal(createStore('unix:/run/store'), createStore('unix:///run/store'), 'one store per path')
})

t.test('STRONG_STORE_URL is the default URL', async t => {
  const { url } = await serve(t, ['--socket', join(directory(t), 'socket')])
  const before = process.env.STRONG_STORE_URL
  t.teardown(() => {
    if (before === undefined) delete process.env.STRONG_STORE_URL
    else process.env.STRONG_STORE_URL = before
  })
  process.env.STRONG_STORE_URL = url
  const store = createStore()
  await store.collection('c').acquire('key')
  t.match(await store.locks(), [{ owner: `pid ${process.pid} on ${hostname()}` }], 'owners include host and pid')
  await store.close()
  process.env.STRONG_STORE_URL = ''
  t.notOk(createStore().isClosed, 'an empty variable is ignored')
  await createStore().close()
})

t.test('each error of a failed connect says what to do', async t => {
  const folder = directory(t)
  const at = (name: string): string => join(folder, name)
  const fails = async (path: string, message: RegExp, connectTimeout?: number): Promise<void> => {
    await t.rejects(storeAt(t, path, connectTimeout).ping(), { code: 'STORE_UNREACHABLE', message }, String(message))
  }
  await fails(
    at('missing'), /no store is running at \S+missing; start it with: npx strong-store serve --socket \S+missing$/
  )
  await fails(at('no/such/folder'), /no store is running/)
  writeFileSync(at('file'), '')
  await fails(at('file'), /file is not a socket; give serve and its clients another path/)
  await fails(at('file/socket'), /ENOTDIR/)
  mkdirSync(at('directory'))
  await fails(at('directory'), /directory is not a socket/)
  symlinkSync('loop', at('loop'))
  await fails(at('loop'), /ELOOP/)

  const dead = await listen(t, at('live'), () => {})
  linkSync(at('live'), at('dead'))
  dead.close()
  await fails(at('dead'), /the store at \S+dead has exited without removing its socket; start it with/)

  const http = await listen(t, at('http'), socket => { socket.end('HTTP/1.1 400 Bad Request\r\n\r\n') })
  await fails(at('http'), /http is the socket of another program: it does not speak the protocol of strong-store/, 60)
  http.close()
  await listen(t, at('echo'), socket => { socket.pipe(socket) })
  await fails(at('echo'), /is the socket of another program/, 60)
  await listen(t, at('silent'), socket => { socket.resume() })
  await fails(at('silent'), /silent: no reply within 0.2 s/)
  await listen(t, at('rude'), socket => { socket.destroy() })
  await fails(at('rude'), /rude: the server closed the connection without a reply/)
})

t.test('the error of a version mismatch names the versions', async t => {
  const path = join(directory(t), 'socket')
  const other = new URL('cli/bin.js', copyPackage(t, PROTOCOL_VERSION + 1)).pathname
  await serve(t, ['--socket', path], { command: [process.execPath, other] })
  await t.rejects(storeAt(t, path, 60).ping(), {
    code: 'STORE_UNREACHABLE',
    message: new RegExp(`the store uses protocol ${PROTOCOL_VERSION + 1} of strong-store, this process uses ${PROTOCOL_VERSION}; install the same version`)
  })
})

t.test(
  'the permissions of the socket decide which users can connect',
  { skip: process.geteuid?.() !== 0 && 'needs root, to run as two users' },
  async t => {
    const folder = directory(t)
    chmodSync(folder, 0o755)
    const path = join(folder, 'socket')
    const { url } = await serve(t, ['--socket', path])
    const asNobody = (): ReturnType<typeof cli> => cli(['check', '--url', url], { uid: 65534 })
    t.match(await asNobody(), {
      code: 1, err: /uid 65534 may not connect to \S+socket; run this process as the user of the store/
    })
    chownSync(path, 0, 65534)
    chmodSync(path, 0o660)
    t.match(await asNobody(), { code: 0, out: '', err: '' })
  }
)

t.test('when a store exits, pending calls reject, locks are lost, and later calls wait for its restart', async t => {
  const path = join(directory(t), 'socket')
  const first = await serve(t, ['--socket', path])
  const store = storeAt(t, path, 60)
  const errors: string[] = []
  store.on('error', ({ code }) => { errors.push(code) })
  const jobs = store.collection<number>('jobs')
  const lock = await jobs.acquire('key')
  const { fence } = lock
  const pending = [jobs.get('key'), jobs.acquire('key')].map(call => call.then(() => 'no error', error => error.code))
  await until(async () => (await store.locks())[0]?.waiters === 2)
  first.kill('SIGKILL')
  t.strictSame(await Promise.all(pending), ['STORE_DISCONNECTED', 'STORE_DISCONNECTED'])
  t.match(lock.signal.reason, { code: 'STORE_LOCK_LOST' })
  t.strictSame(errors, ['STORE_DISCONNECTED'])
  const late = [jobs.set('other', 1), jobs.increment('other')]
  await first.exited
  const second = await serve(t, ['--socket', path])
  await Promise.all(late)
  t.equal(await jobs.get('other'), 2, 'in call order')
  await t.rejects(lock.release(), { code: 'STORE_LOCK_LOST' })
  const again = await jobs.acquire('key')
  t.ok(again.fence > fence, 'fences increase across restarts')
  await again.release()
  second.kill()
  t.strictSame(await second.exited, [0, null])
})
