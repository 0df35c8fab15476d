// The engine of a cluster: in the primary, and without a cluster, the keyspace itself; in a worker, the way to it.
// There is one a process, even where two copies of this package are loaded.
import cluster from 'node:cluster'
import type { Engine } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import { MemoryEngine } from '../memory/engine.js'
import { Keyspace } from '../memory/keyspace.js'
import { answerWorkers } from './discovery.js'
import { Primary } from './primary.js'
import { PROTOCOL_VERSION } from './protocol.js'
import { WorkerEngine } from './worker.js'

export interface ClusterOptions {
  /** Bytes of JSON text that a value may have; for the primary to say. */
  maxValueBytes?: number | undefined
  /** Milliseconds that a worker waits for its primary. */
  connectTimeout: number
}

/** The engine of the process that the workers talk to. */
class PrimaryEngine extends MemoryEngine {
  override readonly isShared = true
  readonly primary: Primary

  constructor (readonly keyspace: Keyspace) {
    super(keyspace)
    this.primary = new Primary(keyspace)
  }

  override async close (): Promise<void> {
    this.primary.close()
    await super.close()
  }
}

interface Shared {
  engine?: PrimaryEngine | WorkerEngine | undefined
  isClosed?: boolean
}

const SHARED = Symbol.for(`strong-store.cluster.${PROTOCOL_VERSION}`)
const global = globalThis as { [SHARED]?: Shared }
const shared = global[SHARED] ??= share()

/** This process's engine: the same for all who ask, until it is closed. */
export function clusterEngine ({ maxValueBytes, connectTimeout }: ClusterOptions): Engine {
  if (cluster.isWorker) {
    if (maxValueBytes !== undefined) {
      throw new StoreError('STORE_OPTION_INVALID', 'maxValueBytes is for the primary to say: createStore({ maxValueBytes }) there')
    }
    return keep(shared.engine as WorkerEngine | undefined ?? new WorkerEngine(connectTimeout))
  }
  const engine = keep(shared.engine as PrimaryEngine | undefined ?? new PrimaryEngine(new Keyspace()))
  if (maxValueBytes !== undefined) engine.keyspace.values.maxBytes = maxValueBytes
  return engine
}

function keep<E extends PrimaryEngine | WorkerEngine> (engine: E): E {
  if (shared.engine === engine) return engine
  shared.engine = engine
  shared.isClosed = false
  engine.onclose = () => {
    shared.engine = undefined
    shared.isClosed = true
  }
  return engine
}

function share (): Shared {
  const shared: Shared = {}
  if (cluster.isPrimary) {
    answerWorkers(async () => {
      if (shared.isClosed === true) throw new StoreError('STORE_CLOSED', 'in the primary')
      clusterEngine({ connectTimeout: 0 })
      return await (shared.engine as PrimaryEngine).primary.address()
    })
  }
  return shared
}
