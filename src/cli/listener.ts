// Where `serve` listens: at a path, or on a socket passed by the service manager (LISTEN_FDS).
import { readFileSync, readlinkSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { SocketFile, SocketInUse } from '../engines/socket/socket-file.js'
import { EXIT, invalid } from './exit.js'
import type { Log } from './log.js'
import type { Rights } from './rights.js'

export interface Listener {
  path: string
  /** Stops listening. */
  close (): void
}

const LOOK_MS = 1000
const FIRST_FD = 3

/** The file descriptor of the socket opened by systemd or a similar service manager. Exits with USAGE. */
export function inheritedSocket (env: NodeJS.ProcessEnv): number | undefined {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = env
  if (count === undefined || Number(pid) !== process.pid) return undefined
  delete env.LISTEN_PID
  delete env.LISTEN_FDS
  delete env.LISTEN_FDNAMES
  if (count !== '1') throw invalid(`invalid LISTEN_FDS: expected one socket, got ${count}`)
  return FIRST_FD
}

/** Exits with USAGE if it is not a Unix domain socket: anybody could connect to another kind. */
export async function listenOn (fd: number, accept: (socket: Socket) => void): Promise<Listener> {
  return await new Promise((resolve, reject) => {
    const server = createServer({ pauseOnConnect: true }, accept)
    server.on('error', error => { reject(invalid(`the socket in LISTEN_FDS cannot be used: ${error.message}`)) })
    server.listen({ fd }, () => {
      if (server.address() === null) { // not an IP socket
        resolve({ path: pathOf(fd), close: () => { server.close() } })
        return
      }
      server.close()
      reject(invalid('the socket in LISTEN_FDS is not a Unix domain socket; ListenStream= must be a path'))
    })
  })
}

/** The path of a socket, if the system reports it. */
function pathOf (fd: number): string {
  try {
    const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))!
    const line = readFileSync('/proc/net/unix', 'utf8').split('\n').find(line => line.split(/\s+/)[6] === inode)
    return line!.slice(line!.indexOf('/'))
  } catch {
    return '(the socket of LISTEN_FDS)'
  }
}

/**
 * Listens at `path`, and again if the socket file is removed. `end` is called if another process listens there by
 * then.
 */
export async function listenAt (
  path: string, accept: (socket: Socket) => void, rights: Rights, log: Log, end: (exitCode: number) => void
): Promise<Listener> {
  const open = (): Promise<SocketFile> => {
    return SocketFile.open(path, accept, rights.owners, socket => { rights.give(socket) })
  }
  let file = await open()
  let isClosed = false
  let isOpening = false
  let reported = ''
  const look = async (): Promise<void> => {
    if (isOpening || file.isThere) return
    isOpening = true
    try {
      const next = await open()
      file.close()
      file = next
      if (isClosed) file.close()
      log('warning', 'socket-restored', `${path} was removed and has been restored`)
      reported = ''
    } catch (error) {
      const { message } = error as Error
      if (message !== reported) log('error', 'socket-removed', `${path} was removed: ${message}`)
      reported = message
      if (error instanceof SocketInUse) end(EXIT.IN_USE)
    }
    isOpening = false
  }
  const timer = setInterval(() => { look().catch(() => {}) }, LOOK_MS).unref()
  return {
    path,
    close () {
      isClosed = true
      clearInterval(timer)
      file.close()
    }
  }
}
