// The store's address in the environment, for child processes. A child uses it only if it was started by the process
// that put it there: behind a shell or a package manager, or when that process has gone, it may be a program of its
// own, and fails rather than guess. The token in it is nothing to other users, who cannot read the environment or
// connect to the socket.
import { StoreError } from '../../core/errors.js'
import type { Address, Discovery } from './address.js'
import { PROTOCOL_VERSION } from './protocol.js'

const PREFIX = 'STRONG_STORE_PARENT_'
const VARIABLE = `${PREFIX}${PROTOCOL_VERSION}`
const REMEDY = 'give createStore a url that both can reach, or ask the parent by messages; ' +
  `a program that is to have a store of its own is started without ${VARIABLE} in its environment`

/** For the children that this process starts from now on. Without an address: only that there is a store. */
export function offerToChildren (address: Address | undefined): void {
  process.env[VARIABLE] = address === undefined ? `${process.pid}` : `${process.pid} ${address.token} ${address.path}`
}

/** Undefined where no parent has a store to share. */
export function parentDiscovery (): Discovery | undefined {
  const value = process.env[VARIABLE]
  const others = Object.keys(process.env).filter(name => name.startsWith(PREFIX))
  if (value === undefined && others.length === 0) return undefined
  const found = addressOf(value, others)
  if (typeof found === 'string') return { find: () => Promise.reject(new StoreError('STORE_UNREACHABLE', `${found}; ${REMEDY}`)) }
  offerToChildren(found)
  return { find: () => Promise.resolve(found) }
}

/** The address, or why there is none. */
function addressOf (value: string | undefined, others: string[]): Address | string {
  if (value === undefined) {
    const versions = others.map(name => name.slice(PREFIX.length)).join(' and ')
    return `this is a child process of one whose store speaks protocol ${versions} of strong-store, this process ${PROTOCOL_VERSION}`
  }
  const [, pid, token, path] = /^(\d+)(?: (\S+) (.+))?$/s.exec(value) ?? []
  if (Number(pid) !== process.ppid) return `process ${pid}, which shares a cluster's store, is not the parent of this process`
  if (path === undefined || token === undefined) return 'the parent, a worker of a cluster, had not used its store yet when it started this process'
  return { version: PROTOCOL_VERSION, path, token }
}
