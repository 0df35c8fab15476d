// `cluster:`, one engine per process: the keyspace itself, or a client of the process that has it. Copies of this
// package in one process share the engine through a global symbol, so they may use only its public interface.
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
  /** Maximum size of a value in bytes of JSON text; set in the process that has the store. */
  maxValueBytes?: number | undefined
  /** Where the process that has the store saves it. */
  data?: DataSettings | undefined
  /** Milliseconds to find the store and connect. */
  connectTimeout: number
}

/** Shared by all copies of this package in the process. */
interface Shared {
  open (options: ClusterOptions): Engine
  /** Undefined when closed. */
  readonly engine: Engine | undefined
}

const SHARED = Symbol.for(`strong-store.cluster.${PROTOCOL_VERSION}`)
const global = globalThis as { [SHARED]?: Shared }
const shared = global[SHARED] ??= share()

/** The engine of this process, shared by all users until it is closed. STORE_OPTION_INVALID. */
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
      const advice = 'call createStore({ data }) before the store is used'
      throw new StoreError('STORE_OPTION_INVALID', `the store is already open ${found}: ${advice}`)
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
        throw new StoreError('STORE_OPTION_INVALID', `${name} must be set in the process that has the store: call createStore({ ${name} }) in the primary`)
      }
      const label = isMainThread ? `pid ${process.pid}` : `pid ${process.pid}, thread ${threadId}`
      return engine ?? opened(new ClientEngine({ discovery: found, connectTimeout, label }))
    }
  }
}

/** Milliseconds to find the store on behalf of threads and other processes. */
const PASS_ON_TIMEOUT_MS = 10_000

/**
 * Warns if other instances of this process probably exist, each with a store of its own. Not if
 * STRONG_STORE_URL=cluster: shows that this is intended.
 */
function warnOfPrivateStore (): void {
  const { pm_id: id, NODE_APP_INSTANCE: instance = '0', instances = '1', STRONG_STORE_URL: url } = process.env
  if (url === 'cluster:') return
  const isOneOfSeveral = Number(instance) > 0 || (id !== undefined && (Number(instances) > 1 || instances === 'max'))
  const manager = id !== undefined && isOneOfSeveral
    ? 'PM2 runs'
    : 'PhusionPassenger' in globalThis ? 'Passenger runs' : isOneOfSeveral ? 'NODE_APP_INSTANCE indicates' : undefined
  if (manager === undefined) return
  process.emitWarning(`${manager} several instances of this program, and each has a store of its own. To share one store, run npx strong-store serve ` +
    'and set STRONG_STORE_URL to the URL that it prints. If separate stores are intended, set STRONG_STORE_URL=cluster:', { code: 'STORE_NOT_SHARED' })
}
