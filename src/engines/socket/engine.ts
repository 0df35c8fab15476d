// `cluster:`, one engine a process: the keyspace itself, or the way to the process that has it. Copies of this
// package in one process share it by a symbol; they use each other's engine by its interface alone.
import { isMainThread, threadId } from 'node:worker_threads'
import type { Engine } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import type { DataSettings } from '../memory/data.js'
import { Keyspace } from '../memory/keyspace.js'
import type { Address, Discovery } from './address.js'
import { ClientEngine } from './client.js'
import { answerOthers, discovery } from './discovery.js'
import { PROTOCOL_VERSION } from './protocol.js'
import { ServerEngine } from './server-engine.js'

export interface ClusterOptions {
  /** Bytes of JSON text that a value may have; set in the process that has the store. */
  maxValueBytes?: number | undefined
  /** Where the process that has the store keeps it. */
  data?: DataSettings | undefined
  /** Milliseconds to find the store and connect. */
  connectTimeout: number
}

/** What copies of this package share. */
interface Shared {
  open (options: ClusterOptions): Engine
  /** Until it is closed. */
  readonly engine: Engine | undefined
}

const SHARED = Symbol.for(`strong-store.cluster.${PROTOCOL_VERSION}`)
const global = globalThis as { [SHARED]?: Shared }
const shared = global[SHARED] ??= share()

/** This process's engine: the same for all who ask, until it is closed. STORE_OPTION_INVALID. */
export function clusterEngine (options: ClusterOptions): Engine {
  return shared.open(options)
}

function share (): Shared {
  const found = discovery()
  let engine: ServerEngine | ClientEngine | undefined
  let isClosed = false

  const opened = <E extends ServerEngine | ClientEngine>(created: E): E => {
    engine = created
    isClosed = false
    created.onclose = () => {
      engine = undefined
      isClosed = true
    }
    return created
  }
  const openServer = ({ maxValueBytes, data }: Omit<ClusterOptions, 'connectTimeout'> = {}): ServerEngine => {
    if (engine === undefined) warnOfPrivateStore()
    const server = engine as ServerEngine | undefined ?? opened(new ServerEngine(new Keyspace(), { data }))
    if (data !== undefined && (data.folder !== server.data?.folder || data.flush !== server.data.flush)) {
      const found = server.data === undefined ? 'without data' : `with its data in ${server.data.folder}`
      const advice = 'call createStore({ data }) before anything else uses the store'
      throw new StoreError('STORE_OPTION_INVALID', `the store is open already, ${found}: ${advice}`)
    }
    if (maxValueBytes !== undefined) server.server.setMaxValueBytes(maxValueBytes)
    return server
  }
  let passedOn: Promise<Address> | undefined
  const passOn = (found: Discovery): Promise<Address> => {
    passedOn ??= found.find(PASS_ON_TIMEOUT_MS, new AbortController().signal).finally(() => { passedOn = undefined })
    return passedOn
  }
  answerOthers(async (uid): Promise<Address> => {
    if (found !== undefined) return await passOn(found)
    if (isClosed) throw new StoreError('STORE_CLOSED', 'the primary has closed its store')
    const server = openServer()
    await server.opened()
    return await server.server.address(uid)
  })
  return {
    get engine () { return engine },
    open ({ maxValueBytes, data, connectTimeout }) {
      if (found === undefined) return openServer({ maxValueBytes, data })
      for (const [name, value] of Object.entries({ maxValueBytes, data })) {
        if (value === undefined) continue
        throw new StoreError('STORE_OPTION_INVALID', `${name} is for the process that has the store: createStore({ ${name} }) in the primary`)
      }
      const label = isMainThread ? `pid ${process.pid}` : `pid ${process.pid}, thread ${threadId}`
      return engine ?? opened(new ClientEngine({ discovery: found, connectTimeout, label }))
    }
  }
}

/** Milliseconds to find the store for threads and other processes that have asked this one. */
const PASS_ON_TIMEOUT_MS = 10_000

/**
 * For processes of which others run as well, each with a store of its own; STRONG_STORE_URL=cluster: says that this
 * is meant.
 */
function warnOfPrivateStore (): void {
  const { pm_id: id, NODE_APP_INSTANCE: instance = '0', instances = '1', STRONG_STORE_URL: url } = process.env
  if (url === 'cluster:') return
  const isOneOfSeveral = Number(instance) > 0 || (id !== undefined && (Number(instances) > 1 || instances === 'max'))
  const manager = id !== undefined && isOneOfSeveral ? 'PM2 runs' : 'PhusionPassenger' in globalThis ? 'Passenger runs' : isOneOfSeveral ? 'NODE_APP_INSTANCE says that there are' : undefined
  if (manager === undefined) return
  process.emitWarning(`${manager} several instances of this program, and each has a store of its own. For one store, start npx strong-store serve ` +
    'and set STRONG_STORE_URL to the URL that it prints; STRONG_STORE_URL=cluster: says that the stores are to be separate', { code: 'STORE_NOT_SHARED' })
}
