// Where the socket is created, which users can enter its directory, and what cleanup removes.
import { once } from 'node:events'
import {
  chmodSync, chownSync, existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, renameSync, rmSync,
  statSync, symlinkSync, utimesSync, writeFileSync
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import t, { type Test } from 'tap'
import { Listener } from '../../../src/engines/socket/listener.js'
import { SocketDirectory, removeAbandoned, socketParents } from '../../../src/engines/socket/socket-directory.js'

const OTHER_USER = 65534
const isRoot = process.geteuid?.() === 0
const NEEDS_ROOT = { skip: isRoot ? false : 'needs root, to run as two users' }

/** Creates a folder, and restores TMPDIR afterwards. */
function folderOf (t: Test): string {
  const { TMPDIR } = process.env
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'directory-')))
  t.teardown(() => {
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
    rmSync(folder, { recursive: true, force: true })
  })
  return folder
}

function firstParent (TMPDIR: string): string | undefined {
  process.env.TMPDIR = TMPDIR
  return socketParents()[0]
}

async function listen (path: string, t: Test): Promise<void> {
  const server = createServer().listen(path)
  await once(server, 'listening')
  t.teardown(() => { server.close() })
}

/** A socket without a listener. */
async function deadSocket (path: string): Promise<void> {
  const server = createServer().listen(`${path}.live`)
  await once(server, 'listening')
  linkSync(`${path}.live`, path)
  server.close()
  await once(server, 'close')
}

t.test('any temporary directory works, and the path is absolute', t => {
  const folder = folderOf(t)
  t.equal(firstParent(folder), folder)
  t.equal(firstParent(relative(process.cwd(), folder)), folder)
  t.equal(firstParent(join(folder, 'missing')), realpathSync('/tmp'))
  const letters = join(folder, 'ä'.repeat(20))
  mkdirSync(letters)
  t.equal(firstParent(letters), letters)
  const tooLong = join(folder, 'ä'.repeat(45)) // 45 characters, 90 bytes
  mkdirSync(tooLong)
  t.equal(firstParent(tooLong), realpathSync('/tmp'))
  t.end()
})

t.test('a directory in which another user could replace the socket is not used', t => {
  const folder = folderOf(t)
  mkdirSync(join(folder, 'inner'))
  for (const [mode, isUsed] of [[0o777, false], [0o770, false], [0o1777, true], [0o755, true]] as const) {
    chmodSync(folder, mode)
    t.equal(firstParent(folder) === folder, isUsed, mode.toString(8))
    t.equal(firstParent(join(folder, 'inner')) === join(folder, 'inner'), isUsed, `below ${mode.toString(8)}`)
  }
  if (isRoot) {
    chownSync(folder, OTHER_USER, -1)
    t.not(firstParent(folder), folder, 'it belongs to another user')
  }
  t.end()
})

t.test('a directory that is not writable is skipped', async t => {
  const listener = new Listener(process.geteuid!(), () => {})
  folderOf(t)
  process.env.TMPDIR = '/proc'
  t.equal(dirname(dirname(await listener.path())), realpathSync('/tmp'))
  listener.close()
})

t.test('only its user can enter the directory, and remove deletes only what it created', t => {
  const folder = folderOf(t)
  const directory = new SocketDirectory(folder)
  t.equal(statSync(dirname(directory.path)).mode & 0o777, 0o700)
  t.equal(directory.hasSocket, false)
  writeFileSync(join(dirname(directory.path), 'a file of somebody'), '')
  directory.remove()
  directory.remove()
  t.ok(existsSync(dirname(directory.path)))
  const replaced = new SocketDirectory(folder)
  renameSync(dirname(replaced.path), join(folder, 'moved'))
  mkdirSync(join(folder, 'home'))
  writeFileSync(join(folder, 'home', 'socket'), 'precious')
  symlinkSync(join(folder, 'home'), dirname(replaced.path))
  replaced.remove()
  t.ok(existsSync(join(folder, 'home', 'socket')))
  const listeners = process.listenerCount('exit')
  new SocketDirectory(folder).remove()
  t.equal(process.listenerCount('exit'), listeners)
  t.end()
})

t.test('cleanup removes only dead sockets of this user', async t => {
  const folder = folderOf(t)
  const make = (name: string, mode = 0o700): string => {
    mkdirSync(join(folder, name))
    chmodSync(join(folder, name), mode)
    return join(folder, name, 'socket')
  }
  await deadSocket(make('strong-store-dead'))
  await deadSocket(make('strong-store-passable', 0o711))
  const gone = ['strong-store-dead', 'strong-store-passable', 'strong-store-empty-for-long']
  await listen(make('strong-store-alive'), t)
  await deadSocket(make('strong-store-open', 0o777))
  await deadSocket(make('home'))
  symlinkSync(join(folder, 'home'), join(folder, 'strong-store-link'))
  writeFileSync(make('strong-store-file'), 'not a socket')
  writeFileSync(join(folder, 'strong-store-notes'), 'not a folder')
  make('strong-store-empty')
  make('strong-store-empty-for-long')
  utimesSync(join(folder, 'strong-store-empty-for-long'), 0, 0)
  await deadSocket(make('another-name'))
  if (isRoot) {
    await deadSocket(make('strong-store-other'))
    chownSync(join(folder, 'strong-store-other'), OTHER_USER, -1)
  }
  const before = readdirSync(folder, { recursive: true }).map(String)
  await removeAbandoned(folder)
  t.strictSame(
    readdirSync(folder, { recursive: true }).map(String).sort(),
    before.filter(name => !gone.includes(name.split('/')[0]!)).sort()
  )
  await removeAbandoned(join(folder, 'missing')) // as if it could not be listed
})

t.test('a socket for another user is accessible only to that user', NEEDS_ROOT, async t => {
  const listener = new Listener(OTHER_USER, () => {})
  const path = await listener.path()
  t.match(statSync(path), { uid: OTHER_USER, mode: 0o140600 })
  t.match(statSync(dirname(path)), { uid: 0, mode: 0o40711 })
  listener.close()
  t.notOk(existsSync(dirname(path)))
})

t.test('a process that is not root reports that it cannot create a socket for another user', NEEDS_ROOT, async t => {
  process.seteuid!(1234)
  t.teardown(() => { process.seteuid!(0) })
  const listener = new Listener(OTHER_USER, () => {})
  for (let i = 0; i < 2; i++) {
    await t.rejects(listener.path(), {
      code: 'STORE_UNREACHABLE',
      message:
        /the store, which runs as uid 1234, cannot create a socket for uid 65534 \(.*EPERM.*\); run both as the same user, or the store's process as root/
    })
  }
  const own = new Listener(1234, () => {})
  t.match(statSync(await own.path()), { uid: 1234, mode: 0o140600 })
  own.close()
})
