// `serve`: a store in a process of its own. It handles signals, which the library never does.
import type { Socket } from 'node:net'
import { isAbsolute } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { NO_DEFAULTS } from '../api/collection-calls.js'
import { dataOf } from '../api/data-options.js'
import { Store } from '../api/store.js'
import { wholeNumber } from '../core/validation.js'
import { Keyspace } from '../engines/memory/keyspace.js'
import { ServerEngine } from '../engines/socket/server-engine.js'
import { OPEN_TOKEN, socketPath } from '../engines/socket/unix.js'
import { adminOf, type AdminServer } from './admin.js'
import type { Command } from './command.js'
import { defaultSocket } from './default-socket.js'
import { EXIT, invalid } from './exit.js'
import { inheritedSocket, listenAt, listenOn } from './listener.js'
import { logTo } from './log.js'
import { rightsOf } from './rights.js'
import { CONFIG, type Settings } from './settings.js'
import { packageVersion } from './version.js'

/**
 * Milliseconds that the store and the admin API may each take to answer pending calls after a signal: together less
 * than a second.
 */
const STOP_MS = 400
/** Interval between log lines about the progress of loading data. */
const LOADING_LOG_MS = 1000
const MAX_VALUE_BYTES = 32 * 2 ** 20

export const serve: Command = {
  usage: '',
  summary: 'Serves a store on a Unix domain socket, for all processes of this machine that may connect to it: createStore(\'unix:PATH\').',
  details: 'Stops on SIGTERM, SIGINT and SIGHUP. The socket of a killed process is replaced, a live one never is.',
  flags: {
    socket: { value: 'PATH', help: 'default: in $RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR, else ~/.strong-store' },
    mode: { value: 'MODE', help: 'permissions of the socket, default 0600: only its owner may connect' },
    group: { value: 'NAME', help: 'group of the socket, for --mode 0660' },
    user: { value: 'NAME', help: 'user of the process and owner of the socket; requires root' },
    'max-value-bytes': { value: 'N', help: 'maximum size of a value in bytes of JSON text, default 1048576' },
    admin: { value: 'HOST:PORT', help: 'also serve the admin API there; requires the package fastify' },
    'token-file': { value: 'FILE', help: 'the token of the admin API' },
    data: { value: 'DIR', help: 'save the keys in this folder; requires the package lmdb' },
    flush: { value: 'SECONDS', help: 'with --data: maximum delay of writes to disk, default 0.25' },
    log: { value: 'FORMAT', help: 'text (default) or json: JSON lines' },
    ...CONFIG
  },
  run
}

async function run (settings: Settings): Promise<number> {
  const format = settings.get('log') ?? 'text'
  if (format !== 'text' && format !== 'json') {
    throw invalid(`invalid --log: expected text or json, got ${JSON.stringify(format)}`)
  }
  const log = logTo(process.stderr, format === 'json')
  const rights = rightsOf(settings)
  const maxValueBytes = settings.number('max-value-bytes')
  if (maxValueBytes !== undefined && wholeNumber(maxValueBytes, '--max-value-bytes', 1) > MAX_VALUE_BYTES) {
    throw invalid(`invalid --max-value-bytes: expected at most ${MAX_VALUE_BYTES}`)
  }
  const admin = await adminOf(settings.get('admin'), settings.get('token-file'))
  const fd = inheritedSocket(process.env)
  if (fd !== undefined && settings.get('socket') !== undefined) {
    throw invalid('--socket cannot be combined with LISTEN_FDS')
  }
  if (settings.get('flush') !== undefined && settings.get('data') === undefined) {
    throw invalid('--flush requires --data DIR')
  }
  const data = dataOf('memory:', { data: settings.get('data'), flush: settings.number('flush') })
  const path = fd === undefined ? pathOf(settings.get('socket')) : undefined

  process.removeAllListeners('warning').on('warning', ({ message, name }) => {
    log('warning', 'warning', `${name}: ${message}`)
  })
  const { promise: stopped, stop } = stopSignal()
  process.umask(0o077) // nobody may connect before the socket has its final mode
  let open!: (engine: ServerEngine) => void
  const opened = new Promise<ServerEngine>(resolve => { open = resolve }) // connections wait until the data is loaded
  const accept = (socket: Socket): void => { opened.then(({ server }) => { server.accept(socket) }, () => {}) }
  const listener = path === undefined ? await listenOn(fd!, accept) : await listenAt(path, accept, rights, log, stop)
  process.on('exit', () => { listener.close() })
  rights.drop()
  const keyspace = new Keyspace(maxValueBytes === undefined ? {} : { maxValueBytes })
  const engine = new ServerEngine(keyspace, { data, token: OPEN_TOKEN })
  let lastLogged = -Infinity
  engine.onloading = (loaded, all) => {
    if (performance.now() - lastLogged < LOADING_LOG_MS) return
    lastLogged = performance.now()
    log('info', 'loading', `loads its data: ${Math.floor(100 * loaded / all)} % done`, { loaded, all })
  }
  let served: AdminServer | undefined
  try {
    await engine.opened()
    served = await admin?.listen(new Store(engine, NO_DEFAULTS))
  } catch (error) {
    listener.close()
    await engine.close()
    throw error
  }
  open(engine)
  const url = `unix:${listener.path}`
  log('info', 'ready', `version ${packageVersion()}, pid ${process.pid}, serves ${url}${served === undefined ? '' : ` and ${served.url}`}`,
    { version: packageVersion(), url, ...served === undefined ? {} : { admin: served.url } })
  process.send?.('ready') // for PM2's wait_ready

  const { reason, code } = await stopped
  log('info', 'stopping', `${reason}: stops`)
  listener.close()
  if (served !== undefined) await Promise.race([served.close(), delay(STOP_MS)])
  await engine.stop(STOP_MS)
  log('info', 'stopped', 'stopped')
  process.exit(code) // even if handles are still open
}

/** Exits with USAGE. */
function pathOf (socket: string | undefined): string {
  if (socket !== undefined && process.platform !== 'win32' && !isAbsolute(socket)) {
    throw invalid(`invalid --socket: expected an absolute path, like /run/app/store.sock, got ${JSON.stringify(socket)}`)
  }
  return socketPath(`unix:${socket ?? defaultSocket(process.env, true)}`)
}

/** Resolves on a signal, or when `stop` is called. A second signal ends the process immediately. */
function stopSignal (): { promise: Promise<{ reason: string, code: number }>, stop: (code: number) => void } {
  let stop: (code: number) => void
  const promise = new Promise<{ reason: string, code: number }>(resolve => {
    stop = code => { resolve({ reason: 'the socket was lost', code }) }
    let isStopping = false
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (isStopping) process.exit(EXIT.FAILED)
        isStopping = true
        resolve({ reason: signal, code: EXIT.OK })
      })
    }
  })
  return { promise, stop: stop! }
}
