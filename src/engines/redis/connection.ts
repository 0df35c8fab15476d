// A process's connection to a server or a cluster: one client for calls and one that subscribes. It ends when one of
// them does.
import { randomUUID } from 'node:crypto'
import type { Cluster, Redis } from 'ioredis'
import { connect, nodesOf, type Clients, type KnownNodes } from './connect.js'
import { bytesToRead, type Reader } from './fast-get.js'
import { Liveness } from './liveness.js'
import type { Part } from './job.js'
import type { Target } from './options.js'
import { Pipeline } from './pipeline.js'
import { checkRights } from './rights.js'
import { ScriptCache } from './script-cache.js'
import { Subscriber, type PushHandler } from './subscriber.js'
import type { ScriptCall } from './script-call.js'
import { codeOf } from './codec.js'
import { warnOfEviction } from './eviction.js'

/** How long a heartbeat may take to reach the server, relative to `life`. */
const MAX_DELAY = 1 / 20

export interface Handler extends PushHandler {
  /** A node of a cluster is lost, or messages pushed recently may not have arrived. */
  nodeLost (): void
  /** The connection has ended. Called once, but not by `end`. */
  closed (error: Error): void
}

export interface Settings {
  prefix: string
  /** Milliseconds of silence after which a server counts as lost. */
  life: number
  handler: Handler
}

export class Connection {
  /** The channel to this process. Followed by the number of a call, it identifies the call to the scripts. */
  readonly channel: string
  readonly #client: Redis | Cluster
  readonly #subscriber: Subscriber
  readonly #handler: Handler
  readonly #scripts: ScriptCache
  readonly #pipeline: Pipeline
  readonly #liveness: Liveness
  readonly #life: number
  #isReferenced = true
  #isEnded = false

  private constructor ({ client, push, openPush }: Clients, { prefix, life, handler }: Settings) {
    this.#client = client
    this.#handler = handler
    this.#life = life
    this.#scripts = new ScriptCache(client, prefix)
    const id = process.pid.toString(16).padStart(8, '0') + randomUUID().slice(8) // see ownerOf in introspection.ts
    this.channel = `${prefix}:${id}${client.isCluster ? 0 : 1}` // see isConnected in scripts/locks.ts
    const head = [this.channel, String(life)]
    this.#pipeline = new Pipeline(client, this.#scripts, life * MAX_DELAY, { call: head, read: head, write: head })
    this.#liveness = new Liveness(life, () => this.#pipeline.isBusy, node => { this.#silent(node) })
    this.#subscriber = new Subscriber(push, openPush, this.channel, handler, {
      watch: (connection, closed) => { this.#watch(connection, closed) },
      missed: () => { handler.nodeLost() },
      ended: error => { this.end(error) }
    })
    this.#listen()
  }

  /**
   * Resolves when the server has the scripts and this process is subscribed. STORE_UNREACHABLE if permissions are
   * missing.
   */
  static open (target: Target, known: KnownNodes, settings: Settings): Promise<Connection> {
    return connect(target, known, async clients => {
      const connection = new Connection(clients, settings)
      try {
        await connection.#subscriber.subscribe()
        await connection.#scripts.open(connection.channel)
        await checkRights(clients.client, connection.#pipeline, settings.prefix, connection.channel)
        warnOfEviction(clients.client, clients.name).catch(() => {})
        return connection
      } catch (error) {
        connection.end()
        throw error
      }
    })
  }

  get isEnded (): boolean {
    return this.#isEnded
  }

  /** A call has failed: ends the connection if it was the cause, except in a cluster, where it concerns one node. */
  doubt (error: Error): void {
    if (this.#client.isCluster) return
    // A server that has become a replica is of no use any more, nor is one client without the other.
    if (codeOf(error) === 'STORE_DISCONNECTED' || error.message.startsWith('READONLY')) this.end(error)
  }

  run<T = string> (base: string, { script, args }: ScriptCall): Promise<T> {
    return this.#pipeline.run(script, base, args)
  }

  /** Like `run`, for commands that can be withdrawn. */
  submit (
    base: string, { script, args }: ScriptCall, resolve: (answer: unknown) => void, reject: (error: Error) => void
  ): Part {
    return this.#pipeline.submit(script, base, args, resolve, reject)
  }

  /** Withdraws a command that has not been sent yet. False if it has been sent. */
  withdraw (part: Part): boolean {
    return this.#pipeline.withdraw(part)
  }

  /** Reads a key without a script. A long value is read by a second command, which knows its size. */
  read (base: string, key: string, reader: Reader): void {
    this.#pipeline.read(base, key, 0, (found, error) => {
      const bytes = found === undefined ? 0 : bytesToRead(found)
      if (bytes > 0) this.#pipeline.read(base, key, bytes, reader)
      else reader(found, error)
    })
  }

  /** Resolves with an empty reply once every node has replied. */
  async ping (): Promise<string> {
    await Promise.all(nodesOf(this.#client, 'master').map(node => node.ping()))
    return 'R    '
  }

  /** Checks that the server can still push. */
  probe (): void {
    this.#liveness.expect(this.#subscriber.connection)
  }

  /** Whether this connection keeps the process alive. */
  setReferenced (isReferenced: boolean): void {
    if (isReferenced === this.#isReferenced) return
    this.#isReferenced = isReferenced
    for (const node of [this.#subscriber.connection, ...nodesOf(this.#client)]) this.#reference(node)
  }

  /** Resolves when all commands are answered, or the connection has ended. */
  async settled (): Promise<void> {
    await this.#pipeline.settled()
  }

  end (error?: Error): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#liveness.stop()
    this.#client.disconnect()
    this.#subscriber.end()
    if (error !== undefined) this.#handler.closed(error)
    this.#pipeline.fail(error ?? new Error('the connection was closed'))
  }

  #silent (node: Redis): void {
    const error = new Error(`the server has not answered for ${this.#life / 1000} s`)
    // In a cluster, only this node is lost: its pending commands fail when its connection is closed.
    if (this.#client.isCluster) node.disconnect()
    else this.end(error)
    const stream = node.stream as Redis['stream'] | undefined
    stream?.destroy()
  }

  #listen (): void {
    const ended = (error?: Error): void => { this.end(error ?? new Error('the connection was closed')) }
    if (!this.#client.isCluster) {
      this.#watch(this.#client as Redis, ended)
      return
    }
    const lost = (): void => { if (!this.#isEnded) this.#handler.nodeLost() }
    for (const node of nodesOf(this.#client)) this.#watch(node, lost)
    this.#client.on('+node', (node: Redis) => { this.#watch(node, lost) })
    this.#client.on('end', ended)
  }

  #watch (node: Redis, closed: () => void): void {
    let wasReady = node.status === 'ready'
    if (wasReady) this.#reference(node)
    this.#liveness.watch(node)
    node.on('ready', () => {
      wasReady = true
      this.#reference(node)
    })
    node.on('close', () => {
      this.#liveness.forget(node)
      if (wasReady) closed()
    })
    node.on('error', () => {}) // 'close' follows
  }

  #reference (node: Redis): void {
    const stream = node.stream as Redis['stream'] | undefined
    if (this.#isReferenced) stream?.ref()
    else stream?.unref()
  }
}
