// How a server is reached: the client library, found when it is needed, and the two connections of a connection.
import type * as ioredis from 'ioredis'
import type { Cluster, ClusterOptions, NodeRole, Redis, RedisOptions } from 'ioredis'
import { StoreError } from '../../core/errors.js'
import type { Target } from './options.js'
import { hide, parse } from './url.js'

/** The connections of one connection. When one of them ends, so does the connection; in a cluster when there is no node any more. */
export interface Wires {
  /** PendingCalls. */
  client: Redis | Cluster
  /** What the server has to tell: answers to calls that had to wait, and locks that were lost. */
  push: Redis
  /** In a cluster: another such connection, from a node that answers. */
  openPush?: () => Promise<Redis>
}

/** Nodes that were seen in a cluster, to begin with where the one that the url names is down. */
export type KnownNodes = Map<string, { host: string, port: number }>

/** Opens both connections. STORE_UNREACHABLE. */
export async function connect (target: Target, known: KnownNodes): Promise<Wires> {
  const library = await load()
  const opened: Array<Redis | Cluster> = []
  let reason: Error | undefined
  const open = async <C extends Redis | Cluster>(client: C): Promise<C> => {
    opened.push(client)
    client.on('error', (error: Error) => { reason ??= error })
    client.on('node error', (error: Error) => { reason ??= error })
    await client.connect()
    return client
  }
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => { reject(new Error(`no answer within ${target.connectTimeout / 1000} s`)) }, target.connectTimeout)
  })
  try {
    return await Promise.race([late, (async () => {
      const client = await open(make(library, target, known))
      if (!client.isCluster) return { client, push: await open((client as Redis).duplicate()) }
      const openPush = (): Promise<Redis> => fromSomeNode(client as Cluster, known)
      return { client, push: await openPush(), openPush }
    })()])
  } catch (error) {
    for (const client of opened) client.disconnect()
    const why = reason ?? error as Error
    throw new StoreError('STORE_UNREACHABLE', `${hide(target.url)}: ${why.message}${adviceOn(why, target)}`, { cause: why })
  } finally {
    clearTimeout(timer)
  }
}

/** The connections of a client: of a cluster, those to the nodes that it knows. */
export function nodesOf (client: Redis | Cluster, role?: NodeRole): Redis[] {
  return client.isCluster ? (client as Cluster).nodes(role) : [client as Redis]
}

/** What may be done about it. Who does not get through with TLS is told why by some servers, and cut off by others. */
function adviceOn ({ message }: Error, { url, client = {} }: Target): string {
  if (parse(url).tls === undefined && !('tls' in client)) return /closed|ECONNRESET|EPIPE/.test(message) ? '; a server with TLS is reached by rediss:' : ''
  return !/certificate|no answer|closed|ECONNRESET|EPIPE/.test(message)
    ? ''
    : '; the option redis.client.tls takes ca and servername, and cert and key where the server wants to see one; a server without TLS is reached by redis:'
}

type Library = Pick<typeof ioredis, 'Redis' | 'Cluster'>

async function load (): Promise<Library> {
  try {
    return await import('ioredis')
  } catch (cause) {
    throw new StoreError('STORE_UNREACHABLE', "a store at 'redis:' needs the package ioredis: npm install ioredis", { cause })
  }
}

/** No second attempts behind our back: what was lost, and what was not sent, is for the engine to know. */
const ONCE = {
  lazyConnect: true,
  retryStrategy: null,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false
} as const satisfies RedisOptions

function make ({ Redis, Cluster }: Library, { url, cluster, client = {}, connectTimeout }: Target, known: KnownNodes): Redis | Cluster {
  const { host, port, path, db, ...login } = parse(url)
  if (cluster === undefined || cluster === false) {
    const options: RedisOptions = { ...path === undefined ? { host, port } : { path }, db, ...login, connectTimeout, ...client, ...ONCE }
    return new Redis(options as object)
  }
  const seeds = cluster === true ? [{ host, port }] : cluster
  const { natMap, ...redisOptions } = client as Pick<ClusterOptions, 'natMap'>
  const options: ClusterOptions = {
    redisOptions: { ...login, connectTimeout, ...redisOptions, autoResendUnfulfilledCommands: false },
    ...(natMap === undefined ? {} : { natMap }),
    lazyConnect: true,
    clusterRetryStrategy: null,
    enableOfflineQueue: true, // a node is connected to when it is first needed: until then calls wait, or fail with the attempt
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0
  }
  return new Cluster([...seeds, ...known.values()], options as object)
}

/** A connection of its own to a node that answers. */
async function fromSomeNode (cluster: Cluster, known: KnownNodes): Promise<Redis> {
  for (const { options: { host, port } } of cluster.nodes()) {
    if (host !== undefined && port !== undefined) known.set(`${host}:${port}`, { host, port })
  }
  const nodes = cluster.nodes('master').sort(() => Math.random() - 0.5)
  let reason = new Error('no node of the cluster is connected')
  for (const node of nodes) {
    const push = node.duplicate({ ...ONCE, readOnly: false })
    push.on('error', (error: Error) => { reason = error })
    try {
      await push.connect()
      return push
    } catch {
      push.disconnect()
    }
  }
  throw reason
}
