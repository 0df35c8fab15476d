// A process's time with a server: from the opening of its connections to the end of one of them.
import { randomUUID } from 'node:crypto'
import type { Cluster, Redis } from 'ioredis'
import { nodesOf, type Wires } from './connect.js'
import { Pipeline, type Reader } from './pipeline.js'
import { Subscriber, type Told } from './subscriber.js'
import { makeLibrary, type ScriptName, type Scripts } from './scripts.js'
import { codeOf } from './codec.js'

export interface Handler extends Told {
  /** A node of a cluster is gone, or what was told in the last moments may not have arrived. */
  nodeLost (): void
  /** The connection is over. Called once, unless by `end`. */
  closed (error: Error): void
}

export class Connection {
  /** Where the server reaches this process; what stands behind it in a "who" is the number of a call. */
  readonly channel: string
  readonly #client: Redis | Cluster
  readonly #push: Subscriber
  #scripts: Scripts
  readonly #library = makeLibrary()
  #hasFunctions = false
  readonly #handler: Handler
  readonly #pipeline: Pipeline
  #isReferenced = true
  #isEnded = false

  private constructor ({ client, push, openPush }: Wires, scripts: Scripts, prefix: string, handler: Handler) {
    this.#client = client
    this.#scripts = scripts
    this.#handler = handler
    this.#pipeline = new Pipeline(client, () => { this.#load() })
    this.channel = `${prefix}:${randomUUID()}${client.isCluster ? 0 : 1}` // see isConnected in scripts/locks.ts
    this.#push = new Subscriber(push, openPush, this.channel, handler, {
      watch: (connection, closed) => { this.#watch(connection, closed) },
      missed: () => { handler.nodeLost() },
      ended: error => { this.end(error) }
    })
    this.#listen()
  }

  /** Is ready when the server knows where to reach it. */
  static async open (wires: Wires, scripts: Scripts, prefix: string, handler: Handler): Promise<Connection> {
    const connection = new Connection(wires, scripts, prefix, handler)
    await connection.#begin()
    await connection.#push.subscribe()
    return connection
  }

  get isEnded (): boolean {
    return this.#isEnded
  }

  /** What was sent before a time and is not answered will not be: ends the connection, or fails what was asked of a cluster. */
  giveUp (before: number, error: Error): void {
    if (this.#pipeline.giveUp(before, error) && !this.#client.isCluster) this.end(error)
  }

  /** A call has failed: ends the connection if that tells of the connection. In a cluster it is about one node. */
  doubt (error: Error): void {
    if (this.#client.isCluster) return
    // A server that has become another's replica will not be of use again, and half a connection is none.
    if (codeOf(error) === 'STORE_DISCONNECTED' || error.message.startsWith('READONLY')) this.end(error)
  }

  run<T = string> (name: ScriptName, base: string, args: string[]): Promise<T> {
    return this.#pipeline.run(this.#scripts[name], base, args)
  }

  /** What there is to know of a key without a script. */
  read (base: string, key: string, reader: Reader): void {
    this.#pipeline.read(base, key, reader)
  }

  /** Makes sure that the push connection is alive, too. */
  probe (): void {
    const { connection } = this.#push
    this.#pipeline.expect(connection.ping()).catch(() => { connection.disconnect() })
  }

  /** Whether the process is to go on for the sake of this connection. */
  setReferenced (isReferenced: boolean): void {
    if (isReferenced === this.#isReferenced) return
    this.#isReferenced = isReferenced
    for (const node of [this.#push.connection, ...nodesOf(this.#client)]) this.#reference(node)
  }

  /** Resolves when all that was asked is answered, or the connection is gone. */
  async settled (): Promise<void> {
    await this.#pipeline.settled()
  }

  end (error?: Error): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#client.disconnect()
    this.#push.end()
    if (error !== undefined) this.#handler.closed(error)
  }

  /** Loads functions, or scripts where the server takes no functions. */
  async #begin (): Promise<void> {
    try {
      await Promise.all(nodesOf(this.#client, 'master').map(node => this.#loadLibrary(node)))
      this.#hasFunctions = true
      const named = Object.entries(this.#scripts).map(([name, script]) => [name, { ...script, function: this.#library.functions[name as ScriptName] }] as const)
      this.#scripts = Object.fromEntries(named) as Scripts
    } catch (error) {
      if ((error as Error).name !== 'ReplyError') throw error
      this.#load()
    }
  }

  async #loadLibrary (node: Redis): Promise<void> {
    const { name, code } = this.#library
    const found = await node.call('FUNCTION', 'LIST', 'LIBRARYNAME', name) as unknown[]
    if (found.length === 0) await node.call('FUNCTION', 'LOAD', 'REPLACE', code)
  }

  /** Has the server know all scripts from here on: where it knows only some, calls in flight get out of order. */
  #load (): void {
    for (const node of nodesOf(this.#client, 'master')) {
      if (this.#hasFunctions) {
        node.call('FUNCTION', 'LOAD', 'REPLACE', this.#library.code).catch((error: Error) => { this.end(error) })
        continue
      }
      for (const { text } of Object.values(this.#scripts)) {
        node.script('LOAD', text).catch((error: Error) => { if (error.message.startsWith('NOPERM')) this.end(error) })
      }
    }
  }

  #listen (): void {
    const ended = (error?: Error): void => { this.end(error ?? new Error('the connection was closed')) }
    if (!this.#client.isCluster) {
      this.#watch(this.#client as Redis, ended)
      return
    }
    const gone = (): void => { if (!this.#isEnded) this.#handler.nodeLost() }
    for (const node of nodesOf(this.#client)) this.#watch(node, gone)
    this.#client.on('+node', (node: Redis) => { this.#watch(node, gone) })
    this.#client.on('end', ended)
  }

  #watch (node: Redis, closed: () => void): void {
    let wasReady = node.status === 'ready'
    if (wasReady) this.#reference(node)
    node.on('ready', () => {
      wasReady = true
      this.#reference(node)
    })
    node.on('close', () => { if (wasReady) closed() })
    node.on('error', () => {}) // 'close' follows
  }

  #reference (node: Redis): void {
    const stream = node.stream as Redis['stream'] | undefined
    if (this.#isReferenced) stream?.ref()
    else stream?.unref()
  }
}
