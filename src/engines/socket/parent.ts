// Passes the store's address to child processes in the environment. A process uses it only if its direct parent set
// it. If it was started through a shell or a package manager, or that parent has exited, it may be an unrelated
// program, so it fails instead of guessing. The token is not exposed to other users: they cannot read the environment.
import { StoreError } from '../../core/errors.js'
import type { Address, Discovery } from './address.js'
import { PROTOCOL_VERSION } from './protocol.js'

const PREFIX = 'STRONG_STORE_PARENT_'
const VARIABLE = `${PREFIX}${PROTOCOL_VERSION}`
const REMEDY = 'pass createStore a url that both processes can reach, or exchange messages with the parent; ' +
  `to give a program a store of its own, remove ${VARIABLE} from its environment`

/** Sets the address for child processes started from now on. Without an address, they only see that a store exists. */
export function offerToChildren (address: Address | undefined): void {
  process.env[VARIABLE] = address === undefined ? `${process.pid}` : `${process.pid} ${address.token} ${address.path}`
}

/** Undefined if no parent has a store. */
export function parentDiscovery (): Discovery | undefined {
  const value = process.env[VARIABLE]
  const others = Object.keys(process.env).filter(name => name.startsWith(PREFIX))
  if (value === undefined && others.length === 0) return undefined
  const found = addressOf(value, others)
  if (typeof found === 'string') {
    return { find: () => Promise.reject(new StoreError('STORE_UNREACHABLE', `${found}; ${REMEDY}`)) }
  }
  offerToChildren(found)
  return { find: () => Promise.resolve(found) }
}

/** The address, or the reason why there is none. */
function addressOf (value: string | undefined, others: string[]): Address | string {
  if (value === undefined) {
    const versions = others.map(name => name.slice(PREFIX.length)).join(' and ')
    return `the store of the parent process uses protocol ${versions} of strong-store, this process uses ${PROTOCOL_VERSION}`
  }
  const [, pid, token, path] = /^(\d+)(?: (\S+) (.+))?$/s.exec(value) ?? []
  if (Number(pid) !== process.ppid) {
    return `process ${pid}, which has access to a cluster's store, is not the parent of this process`
  }
  if (path === undefined || token === undefined) return 'the parent, a cluster worker, started this process before it used its store'
  return { version: PROTOCOL_VERSION, path, token }
}
