// `strong-store serve`, as its users start and stop it.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync, chownSync, existsSync, linkSync, lstatSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync,
  writeFileSync
} from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { createStore } from '../../src/index.js'
import { BIN, PLAIN, cleanEnv, cli, command, directory, serve } from '../support/serve.js'
import { until } from '../support/until.js'

const NOBODY = 65534
const needsRoot = process.geteuid?.() === 0 ? {} : { skip: 'needs root, to run as two users' }

t.test('of six processes started at once, exactly one serves, and the others exit with 3', async t => {
  const path = join(directory(t), 'socket')
  const killed = await serve(t, ['--socket', path])
  killed.kill('SIGKILL')
  await killed.exited
  t.ok(existsSync(path), 'the killed process leaves a stale socket')
  const children = Array.from({ length: 6 }, () => {
    const child = spawn('env', [...PLAIN, process.execPath, BIN, 'serve', '--socket', path], {
      env: cleanEnv(), stdio: ['ignore', 'ignore', 'pipe']
    })
    t.teardown(() => { child.kill('SIGKILL') })
    let said = ''
    child.stderr.on('data', chunk => { said += String(chunk) })
    return { child, said: () => said, exited: once(child, 'close') }
  })
  await until(() => children.filter(({ child }) => child.exitCode === 3).length === 5, 120)
  const [serving] = children.filter(({ child }) => child.exitCode === null)
  await until(() => serving!.said().includes('serves unix:'), 60)
  for (const { child, said } of children) {
    if (child.exitCode === 3) t.match(said(), `strong-store: another process is already listening on ${path}`)
  }
  t.match(await command(['check', '--url', `unix:${path}`]), { code: 0 })
  serving!.child.kill('SIGTERM')
  t.strictSame(await serving!.exited, [0, null])
  t.strictSame(readdirSync(join(path, '..')), [], 'no file is left')
})

t.test('serve does not touch files that are not its socket', async t => {
  const folder = directory(t)
  const at = (name: string): string => join(folder, name)
  const refused = async (path: string, code: number, err: RegExp): Promise<void> => {
    t.match(await cli(['serve', '--socket', path]), { code, err }, String(err))
  }
  writeFileSync(at('file'), 'precious')
  await refused(at('file'), 2, /file is a file, not a socket; remove it, or choose another path/)
  mkdirSync(at('directory'))
  await refused(at('directory'), 2, /is a directory/)
  symlinkSync(at('file'), at('link'))
  symlinkSync(at('nowhere'), at('dangling'))
  await refused(at('link'), 2, /is a symbolic link/)
  await refused(at('dangling'), 2, /is a symbolic link/)
  t.notOk(existsSync(at('nowhere')))
  const other = createServer(socket => { socket.destroy() }).listen(at('other'))
  t.teardown(() => { other.close() })
  await once(other, 'listening')
  await refused(at('other'), 3, /another process is already listening on/)
  await refused(at('missing/socket'), 2, /the directory of .* does not exist; create it with: mkdir -p .*missing/)
  await refused(`/${'d'.repeat(80)}/socket`, 2, /is too long/)
  t.match(await command(['serve', '--socket', 'relative']), {
    code: 2, err: /invalid --socket: expected an absolute path, like \/run\/app\/store\.sock, got "relative"/
  })
  t.strictSame(readdirSync(folder).sort(), ['dangling', 'directory', 'file', 'link', 'other'])
})

t.test('serve does not touch files of other users', needsRoot, async t => {
  const folder = directory(t)
  chmodSync(folder, 0o1777)
  const path = join(folder, 'socket')
  const dead = createServer().listen(join(folder, 'live'))
  await once(dead, 'listening')
  linkSync(join(folder, 'live'), path)
  dead.close()
  const run = (): ReturnType<typeof cli> => cli(['serve', '--socket', path], { uid: NOBODY })
  chmodSync(path, 0o777)
  t.match(await run(), { code: 2, err: /is a socket of uid 0, not of uid 65534/ })
  rmSync(path)
  symlinkSync('/etc/passwd', path)
  t.match(await run(), { code: 2, err: /is a symbolic link/ })
  rmSync(path)
  chmodSync(folder, 0o755)
  t.match(
    await run(), { code: 4, err: /EACCES: uid 65534 may not create a socket in .*; correct its owner and mode/ },
    'a directory in which it may not create a socket'
  )
  t.match(await cli(['serve', '--socket', path, '--user', 'root'], { uid: NOBODY }), {
    code: 4, err: /--user root requires root/
  })
})

t.test('--user, --group and --mode apply to the socket, and the process drops root privileges', needsRoot, async t => {
  const folder = directory(t)
  chmodSync(folder, 0o755)
  const path = join(folder, 'socket')
  const args = ['--socket', path, '--user', 'nobody', '--group', String(NOBODY), '--mode', '0660']
  const served = await serve(t, args)
  const { uid, gid, mode } = lstatSync(path)
  t.strictSame([uid, gid, (mode & 0o777).toString(8)], [NOBODY, NOBODY, '660'])
  t.equal(statSync(`/proc/${served.pid}`).uid, NOBODY, 'the process has dropped root privileges')
  t.match(await cli(['check', '--url', served.url], { uid: NOBODY }), { code: 0 })
  served.kill('SIGKILL')
  await served.exited
  await serve(t, args) // root replaces the socket that this user left
  t.match(await cli(['check', '--url', served.url], { uid: NOBODY }), { code: 0 })
})

t.test('SIGTERM: serve answers the calls that have arrived, then exits', async t => {
  const folder = directory(t)
  const { url, exited, kill, said } = await serve(t, ['--socket', join(folder, 'socket')])
  const store = createStore(url)
  t.teardown(() => store.close())
  const lock = await store.collection('c').acquire('held')
  const waiting = store.collection('c').get('held').catch(error => error.code)
  await until(async () => (await store.locks())[0]?.waiters === 1)
  const writes = Array.from({ length: 1000 }, (_, i) => store.collection('c').set(`key ${i}`, i))
  await writes[0]
  kill()
  const outcomes = await Promise.allSettled(writes)
  t.ok(outcomes.every(({ status }) => status === 'fulfilled'))
  t.equal(await waiting, 'STORE_DISCONNECTED')
  t.match(lock.signal.reason, { code: 'STORE_LOCK_LOST' })
  t.strictSame(await exited, [0, null])
  t.strictSame(said().trim().split('\n').map(line => JSON.parse(line).event), ['ready', 'stopping', 'stopped'])
  t.strictSame(readdirSync(folder), [])
  const late = createStore({ url, connectTimeout: 0.1 })
  t.teardown(() => late.close())
  await t.rejects(late.ping(), { code: 'STORE_UNREACHABLE' })
})

t.test('SIGINT: serve exits even if a client stays connected', async t => {
  const { path, exited, kill } = await serve(t, ['--socket', join(directory(t), 'socket')])
  const silent = connect({ path, allowHalfOpen: true })
  t.teardown(() => { silent.destroy() })
  await once(silent, 'connect')
  kill('SIGINT')
  t.strictSame(await exited, [0, null])
})

t.test('serve creates a removed socket again, or exits if another process is listening there by then', async t => {
  const path = join(directory(t), 'socket')
  const first = await serve(t, ['--socket', path])
  const store = createStore(first.url)
  await store.collection('c').set('key', 1)
  rmSync(path)
  await until(() => existsSync(path), 60)
  t.match(await command(['get', 'c', 'key', '--url', first.url]), { code: 0, out: '1\n' }, 'the keys are kept')
  await store.close()
  rmSync(path)
  const other = createServer(socket => { socket.destroy() }).listen(path)
  t.teardown(() => { other.close() })
  t.strictSame(await first.exited, [3, null])
  t.ok(existsSync(path))
})

t.test('LISTEN_FDS: serve listens on the socket that the service manager has opened', async t => {
  const folder = directory(t)
  const path = join(folder, 'socket')
  // As systemd does, it opens the socket and passes it as file descriptor 3, with the pid in the environment.
  const program = (listen: string): string => `
    import { spawnSync } from 'node:child_process'
    import { createServer } from 'node:net'
    const server = createServer().listen(${listen}, () => {
      const shell = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"'
      // Blocks, and accepts no connection itself.
      const stdio = ['inherit', 'inherit', 'inherit', server._handle.fd]
      process.exit(spawnSync('sh', ['-c', shell, ...process.argv.slice(1)], { stdio }).status)
    })`
  const manager = (listen: string): string[] => [
    process.execPath, '--input-type=module', '-e', program(listen), '--', process.execPath, BIN
  ]
  const { url, exited, said } = await serve(t, [], { command: manager(JSON.stringify(path)) })
  const { pid } = JSON.parse(said()) as { pid: number }
  t.teardown(() => { spawnSync('kill', ['-9', String(pid)], { stdio: 'ignore' }) })
  t.equal(url, `unix:${path}`)
  t.match(await command(['check', '--url', url]), { code: 0 })
  process.kill(pid)
  t.strictSame(await exited, [0, null])
  await t.rejects(serve(t, [], { command: manager('0, "127.0.0.1"') }), { message: /is not a Unix domain socket/ })
  await t.rejects(serve(t, ['--socket', path], { command: manager(JSON.stringify(join(folder, 'other'))) }), {
    message: /cannot be combined with LISTEN_FDS/
  })
})

t.test('--admin serves the admin API as well', async t => {
  const folder = directory(t)
  const token = join(folder, 'token')
  writeFileSync(token, 'a-token-for-tests\n')
  const { url, said } = await serve(t, [
    '--socket', join(folder, 'socket'), '--admin', '127.0.0.1:0', '--token-file', token
  ])
  const { admin } = JSON.parse(said()) as { admin: string }
  await command(['set', 'c', 'key', '{"a":1}', '--url', url])
  t.match(await cli(['get', 'c', 'key', '--url', admin], { env: { STRONG_STORE_TOKEN: 'a-token-for-tests' } }), {
    code: 0, out: '{"a":1}\n'
  })
  t.match(await command(['get', 'c', 'key', '--url', admin]), { code: 1, err: /STORE_/ })
  const other = ['--socket', join(folder, 'other')]
  t.match(await cli(['serve', ...other, '--admin', new URL(admin).host, '--token-file', token]), {
    code: 3, err: /EADDRINUSE/
  })
  t.notOk(existsSync(join(folder, 'other')))
  t.match(await command(['serve', ...other, '--admin', 'localhost']), { code: 2, err: /expected HOST:PORT/ })
  t.match(await command(['serve', ...other, '--admin', 'localhost:1']), { code: 2, err: /requires --token-file/ })
  t.match(await command(['serve', ...other, '--token-file', token]), {
    code: 2, err: /--token-file requires --admin HOST:PORT/
  })
})

t.test('--data keeps the keys across restarts', async t => {
  const folder = directory(t)
  const data = join(folder, 'data')
  const options = ['--socket', join(folder, 'socket'), '--data', data]
  const first = await serve(t, options)
  t.equal(statSync(data).mode & 0o777, 0o700)
  t.match(await command(['set', 'c', 'key', '1', '--url', first.url]), { code: 0 })
  t.match(await cli(['serve', '--socket', join(folder, 'other'), '--data', data]), { code: 1, err: /^strong-store: STORE_UNREACHABLE: [^\n]*in use by process \d+[^\n]*\n$/ }, 'a directory serves one store, and the error is printed once')
  t.notOk(existsSync(join(folder, 'other')))
  first.kill()
  t.strictSame(await first.exited, [0, null])
  const { url } = await serve(t, options)
  t.match(await command(['get', 'c', 'key', '--url', url]), { code: 0, out: '1\n' })
  t.match(await command(['serve', '--socket', join(folder, 'other'), '--flush', '1']), {
    code: 2, err: /--flush requires --data DIR/
  })
})

t.test('serve keeps running, and saves everything, after its log is closed', async t => {
  const folder = directory(t)
  const path = join(folder, 'socket')
  const options = ['--socket', path, '--data', join(folder, 'data')]
  const argv = [...PLAIN, process.execPath, BIN, 'serve', ...options, '--flush', '60']
  const child = spawn('env', argv, { env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => { child.kill('SIGKILL') })
  const exited = once(child, 'exit')
  await once(child.stderr, 'data')
  child.stdout.destroy()
  child.stderr.destroy()
  rmSync(path)
  await until(() => existsSync(path), 30) // which is logged
  t.match(await command(['set', 'c', 'key', '1', '--url', `unix:${path}`]), { code: 0 })
  child.kill('SIGTERM')
  t.strictSame(await exited, [0, null])
  const { url } = await serve(t, options)
  t.match(await command(['get', 'c', 'key', '--url', url]), { code: 0, out: '1\n' })
})

t.test('the default socket is private', async t => {
  const home = directory(t)
  const plain = { HOME: home, XDG_RUNTIME_DIR: '', RUNTIME_DIRECTORY: '' }
  const { path, kill, exited } = await serve(t, [], { env: plain })
  t.equal(path, join(home, '.strong-store/store.sock'))
  t.equal(statSync(join(home, '.strong-store')).mode & 0o777, 0o700)
  t.equal(lstatSync(path).mode & 0o777, 0o600)
  t.match(await cli(['check'], { env: plain }), { code: 0 }, 'commands without a URL use it')
  kill()
  await exited
  chmodSync(join(home, '.strong-store'), 0o755)
  t.match(await cli(['serve'], { env: plain }), { code: 4, err: /is not private to uid/ })
  if (process.geteuid?.() === 0) {
    chmodSync(join(home, '.strong-store'), 0o700)
    chownSync(join(home, '.strong-store'), NOBODY, NOBODY)
    t.match(await cli(['serve'], { env: plain }), { code: 4, err: /is not private to uid/ })
  }
  t.equal((await serve(t, [], { env: { ...plain, XDG_RUNTIME_DIR: home } })).path, join(home, 'strong-store.sock'))
  t.equal(
    (await serve(t, [], { env: { ...plain, XDG_RUNTIME_DIR: '/nowhere', RUNTIME_DIRECTORY: `${home}:/other` } })).path,
    join(home, 'store.sock')
  )
})
