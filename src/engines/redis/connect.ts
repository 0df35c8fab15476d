// Connects to a server: loads ioredis at the first use, and opens the two clients of a connection.
import { setTimeout as delay } from 'node:timers/promises'
import type * as ioredis from 'ioredis'
import type { Cluster, NodeRole, Redis } from 'ioredis'
import { StoreError } from '../../core/errors.js'
import { reasonOf } from './codec.js'
import { Timer } from '../../core/timer.js'
import { OWN, isInstance, ofCluster, ofServer } from './client-options.js'
import type { Target } from './options.js'
import { hide, parse } from './url.js'

/** Milliseconds after which another node is tried in parallel. */
const NEXT_NODE_MS = 500

/** The clients of one connection. It ends when one of them closes; in a cluster, when no node is left. */
export interface Clients {
  /** The name of the server in messages. */
  name: string
  /** Carries calls. */
  client: Redis | Cluster
  /** Subscribed, to receive replies to calls that had to wait, and notices of lost locks. */
  push: Redis
  /** In a cluster: opens another such client, to a node that responds. */
  openPush?: () => Promise<Redis>
}

/** Nodes seen in a cluster, used as seeds if the node in the URL is down. */
export type KnownNodes = Map<string, { host: string, port: number }>

/** Opens both clients and prepares them, within connectTimeout. STORE_UNREACHABLE. */
export async function connect<T> (
  target: Target, known: KnownNodes, prepare: (clients: Clients) => Promise<T>
): Promise<T> {
  const name = nameOf(target)
  const opened: Array<Redis | Cluster> = []
  let reason: Error | undefined
  let hasReplied = false
  const open = async <C extends Redis | Cluster>(client: C): Promise<C> => {
    opened.push(client)
    client.on('error', (error: Error) => { reason ??= error })
    client.on('node error', (error: Error) => { reason ??= error })
    await client.connect()
    hasReplied = true
    if (!client.isCluster) await select(client as Redis).catch((error: Error) => { throw reason = error })
    return client
  }
  const openBoth = async (): Promise<Clients> => {
    const client = await open(await make(target, known))
    if (!client.isCluster) return { name, client, push: await open((client as Redis).duplicate()) }
    const openPush = (): Promise<Redis> => fromSomeNode(client as Cluster, known, target.connectTimeout)
    const push = await openPush()
    opened.push(push)
    return { name, client, push, openPush }
  }
  const timer = new Timer()
  const late = new Promise<never>((_resolve, reject) => {
    timer.start(
      target.connectTimeout, () => { reject(new Error(`no reply within ${target.connectTimeout / 1000} s`)) }
    )
  })
  try {
    return await Promise.race([late, openBoth().then(prepare)])
  } catch (error) {
    for (const client of opened) client.disconnect()
    const why = reason ?? error as Error
    const advice = adviceOn(why, target, hasReplied)
    throw new StoreError('STORE_UNREACHABLE', `${name}: ${reasonOf(why)}${advice}`, { cause: why })
  } finally {
    timer.stop()
  }
}

/** ioredis selects the database too, but stays in database 0 if the server rejects that. */
async function select (client: Redis): Promise<void> {
  const { db = 0 } = client.options
  if (db === 0) return
  await client.select(db).catch((error: Error) => { throw new Error(`database ${db}: ${error.message}`, { cause: error }) })
}

/** The connections of a client; in a cluster, those to the nodes that it knows. */
export function nodesOf (client: Redis | Cluster, role?: NodeRole): Redis[] {
  return client.isCluster ? (client as Cluster).nodes(role) : [client as Redis]
}

function nameOf ({ url, client }: Target): string {
  return isInstance(client) ? 'the server of redis.client' : hide(url)
}

/** Advice for a failure. If TLS settings are wrong, some servers report it, others just close the connection. */
function adviceOn ({ message }: Error, { url, client = {} }: Target, hasReplied: boolean): string {
  if (/\b(NOPERM|unknown command)|lacks permission/.test(message)) {
    return '; docs/redis.md ("Rights on the server") lists what the store needs'
  }
  if (hasReplied || isInstance(client)) return ''
  if (parse(url).tls === undefined && !('tls' in client)) {
    return /closed|ECONNRESET|EPIPE/.test(message) ? '; if the server uses TLS, use a rediss: URL' : ''
  }
  return !/certificate|no reply|closed|ECONNRESET|EPIPE/.test(message)
    ? ''
    : '; set ca and servername in redis.client.tls, and cert and key if the server requires a client certificate; if the server does not use TLS, use a redis: URL'
}

type Library = Pick<typeof ioredis, 'Redis' | 'Cluster'>

async function load (): Promise<Library> {
  let library: Partial<Library>
  try {
    library = await import('ioredis')
  } catch (cause) {
    throw new StoreError(
      'STORE_UNREACHABLE', "a store at 'redis:' requires the package ioredis, version 5 or 6: npm install ioredis@6", { cause }
    )
  }
  const { Redis, Cluster } = library
  if (typeof Redis !== 'function' || typeof Cluster !== 'function') {
    throw new StoreError(
      'STORE_UNREACHABLE',
      'the installed version of ioredis is too old: expected 5.3 or later: npm install ioredis@6'
    )
  }
  return { Redis, Cluster }
}

async function make (target: Target, known: KnownNodes): Promise<Redis | Cluster> {
  const { client = {} } = target
  if (isInstance(client)) return copyOf(client)
  const { Redis, Cluster } = await load()
  const { url, cluster = false, connectTimeout } = target
  const { host, port, path, db, ...login } = parse(url)
  if (cluster === false) {
    return new Redis(
      ofServer({ ...path === undefined ? { host, port } : { path }, db, ...login, connectTimeout, ...client }) as object
    )
  }
  const seeds = cluster === true ? [{ host, port }] : cluster
  return new Cluster([...seeds, ...known.values()], ofCluster({ ...login, connectTimeout, ...client }) as object)
}

/** A separate client with the same settings as the user's. */
function copyOf (client: Redis | Cluster): Redis | Cluster {
  if (!client.isCluster) return (client as Redis).duplicate(ofServer(client.options))
  const { redisOptions = {}, ...whole } = (client as Cluster).options
  return (client as Cluster).duplicate([], { ...whole, ...ofCluster(redisOptions) } as object)
}

/**
 * A connection to a node that responds. A stopped node accepts connections but sends nothing, so the next node is tried
 * in parallel. `timeout`: milliseconds.
 */
async function fromSomeNode (cluster: Cluster, known: KnownNodes, timeout: number): Promise<Redis> {
  for (const { options: { host, port } } of cluster.nodes()) {
    if (host !== undefined && port !== undefined) known.set(`${host}:${port}`, { host, port })
  }
  let reason = new Error('no node of the cluster is connected')
  const opened: Redis[] = []
  const open = async (node: Redis): Promise<Redis> => {
    const push = node.duplicate({ ...OWN, enableReadyCheck: false })
    opened.push(push)
    push.on('error', (error: Error) => { reason = error })
    await push.connect()
    return push
  }
  const attempts: Array<Promise<Redis>> = []
  const firstWithin = async (milliseconds: number): Promise<Redis | undefined> => {
    const isOver = new AbortController()
    try {
      return await Promise.race([
        Promise.any(attempts).catch(() => undefined),
        delay(milliseconds, undefined, { ref: false, signal: isOver.signal })
      ])
    } finally {
      isOver.abort()
    }
  }
  const deadline = performance.now() + timeout
  let first: Redis | undefined
  for (const node of cluster.nodes('master').sort(() => Math.random() - 0.5)) {
    attempts.push(open(node))
    first = await firstWithin(NEXT_NODE_MS)
    if (first !== undefined) break
  }
  first ??= await firstWithin(Math.max(0, deadline - performance.now()))
  for (const push of opened) {
    if (push === first) continue
    push.disconnect()
    const stream = push.stream as Redis['stream'] | undefined
    stream?.destroy() // a stopped server would not close it
  }
  if (first === undefined) throw reason
  return first
}
