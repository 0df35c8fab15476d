// A process's time with a server: from the opening of its connections to the end of one of them.
import { randomUUID } from 'node:crypto'
import type { ChainableCommander, Cluster, Redis } from 'ioredis'
import type { Wires } from './connect.js'
import { Push, type Told } from './push.js'
import type { Found } from './reads.js'
import type { Script, ScriptName, Scripts } from './scripts.js'
import { codeOf } from './wire.js'

/** What the server has not answered yet. */
interface Sent {
  sentAt: number
  reject (error: Error): void
  onend?: () => void
}

interface Job extends Sent {
  /** Without one it is a plain read: see reads.ts. */
  script: Script | undefined
  base: string
  args: string[]
  resolve (result: unknown): void
}

export interface Handler extends Told {
  /** A node of a cluster is gone, or what was told in the last moments may not have arrived. */
  nodeLost (): void
  /** The session is over. Called once, unless by `end`. */
  closed (error: Error): void
}

export class Session {
  /** Where the server reaches this process; what stands behind it in a "who" is the number of a call. */
  readonly channel: string
  readonly #client: Redis | Cluster
  readonly #push: Push
  readonly #scripts: Scripts
  readonly #handler: Handler
  readonly #sent = new Set<Sent>()
  #running = 0
  #pipelines = 0
  #outbox: Job[] = []
  // Scripts that the server did not know: they are sent again, in their order, when all before them are answered.
  #unknown: Job[] = []
  #behind: Job[] = []
  #isReferenced = true
  #isEnded = false

  private constructor ({ client, push, openPush }: Wires, scripts: Scripts, prefix: string, handler: Handler) {
    this.#client = client
    this.#scripts = scripts
    this.#handler = handler
    this.channel = `${prefix}:${randomUUID()}${client.isCluster ? 0 : 1}` // see isAlive in locks.lua
    this.#push = new Push(push, openPush, this.channel, handler, {
      watch: (connection, closed) => { this.#watch(connection, closed) },
      missed: () => { handler.nodeLost() },
      ended: error => { this.end(error) }
    })
    this.#listen()
  }

  /** Is ready when the server knows where to reach it. */
  static async open (wires: Wires, scripts: Scripts, prefix: string, handler: Handler): Promise<Session> {
    const session = new Session(wires, scripts, prefix, handler)
    session.#load()
    await session.#push.subscribe()
    return session
  }

  get isEnded (): boolean {
    return this.#isEnded
  }

  /** What was sent before a time and is not answered will not be: ends the session, or fails what was asked of a cluster. */
  giveUp (before: number, error: Error): void {
    for (const sent of this.#sent) {
      if (sent.sentAt > before) return
      if (!this.#client.isCluster) return this.end(error)
      this.#arrived(sent)
      sent.reject(error)
    }
  }

  /** A call has failed: ends the session if that tells of the connection. In a cluster it is about one node. */
  doubt (error: Error): void {
    if (this.#client.isCluster) return
    // A server that has become another's replica will not be of use again, and half a connection is none.
    if (codeOf(error) === 'STORE_DISCONNECTED' || error.message.startsWith('READONLY')) this.end(error)
  }

  run<T = string> (name: ScriptName, base: string, args: string[]): Promise<T> {
    return this.#do(this.#scripts[name], base, args)
  }

  /** What there is to know of a key without a script. */
  read (base: string, key: string): Promise<Found> {
    return this.#do(undefined, base, [`:${key}`, `!${key}`, 'tracked'])
  }

  /** Makes sure that the push connection is alive, too. */
  probe (): void {
    const { connection } = this.#push
    this.#expect(connection.ping()).catch(() => { connection.disconnect() })
  }

  /** Names of keys on all nodes. */
  async keys (pattern: string): Promise<Set<string>> {
    const found = new Set<string>()
    const nodes = this.#masters()
    if (this.#client.isCluster) {
      const { slots } = this.#client as Cluster
      if (new Set(Object.values(slots).map(([master]) => master)).size > nodes.length) {
        (this.#client as Cluster).refreshSlotsCache()
        throw new Error('a node of the cluster is gone')
      }
    }
    await Promise.all(nodes.map(async node => {
      let cursor = '0'
      do {
        const [next, keys] = await this.#expect(node.scan(cursor, 'MATCH', pattern, 'COUNT', 1000))
        for (const key of keys) found.add(key)
        cursor = next
      } while (cursor !== '0')
    }))
    return found
  }

  /** Whether the process is to go on for the sake of this session. */
  setReferenced (isReferenced: boolean): void {
    if (isReferenced === this.#isReferenced) return
    this.#isReferenced = isReferenced
    for (const node of this.#nodes()) this.#reference(node)
  }

  /** Resolves when all that was asked is answered, or the connection is gone. */
  async settled (): Promise<void> {
    await Promise.all(Array.from(this.#sent, sent => new Promise<void>(resolve => { sent.onend = resolve })))
  }

  end (error?: Error): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#client.disconnect()
    this.#push.end()
    if (error !== undefined) this.#handler.closed(error)
  }

  /** Has the server know all scripts from here on: where it knows only some, calls in flight get out of order. */
  #load (): void {
    for (const node of this.#masters()) {
      for (const { text } of Object.values(this.#scripts)) {
        node.script('LOAD', text).catch((error: Error) => { if (error.message.startsWith('NOPERM')) this.end(error) })
      }
    }
  }

  #do<T> (script: Script | undefined, base: string, args: string[]): Promise<T> {
    return new Promise((resolve, reject) => {
      const job: Job = { script, base, args, sentAt: Date.now(), resolve: resolve as Job['resolve'], reject }
      this.#sent.add(job)
      if (this.#unknown.length > 0) this.#behind.push(job)
      else this.#send(job)
    })
  }

  /** What is asked without a script. */
  #expect<T> (answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const sent: Sent = { sentAt: Date.now(), reject }
      this.#sent.add(sent)
      answer.then(resolve, reject).finally(() => { this.#arrived(sent) })
    })
  }

  #send (job: Job): void {
    this.#running++
    if (this.#outbox.push(job) === 1) process.nextTick(() => { this.#flush() })
  }

  /**
   * What was sent in one tick leaves in one write. Answers are told in the order of the calls: those of a pipeline come when it is
   * complete, so a single call behind one is a pipeline, too.
   */
  #flush (): void {
    const jobs = this.#outbox
    this.#outbox = []
    if ((jobs.length === 1 && this.#pipelines === 0) || this.#client.isCluster) {
      for (const job of jobs) {
        command(this.#client, job).then(
          result => { this.#answered(job, undefined, result) },
          (error: Error) => { this.#answered(job, error, undefined) }
        )
      }
      return
    }
    this.#pipelines++
    const pipeline = this.#client.pipeline()
    for (const job of jobs) command(pipeline, job)
    pipeline.exec((failure, results) => {
      this.#pipelines--
      for (const [i, job] of jobs.entries()) {
        const [error, result] = results?.[i] ?? [failure ?? new Error('no answer'), undefined]
        this.#answered(job, error ?? undefined, result)
      }
    }).catch(() => {}) // told above
  }

  #answered (job: Job, error: Error | undefined, result: unknown): void {
    this.#running--
    // A plain read that came behind a script that was not run has read too early.
    const isEarly = job.script === undefined && this.#unknown.length > 0
    if (isEarly || error?.message.startsWith('NOSCRIPT') === true) {
      this.#unknown.push(job)
    } else {
      this.#arrived(job)
      if (error === undefined) job.resolve(result)
      else job.reject(error)
    }
    if (this.#unknown.length > 0 && this.#running === 0) this.#sendAgain()
  }

  #sendAgain (): void {
    const jobs = [...this.#unknown, ...this.#behind]
    this.#unknown = []
    this.#behind = []
    this.#load()
    for (const job of jobs) this.#send(job)
  }

  #arrived (sent: Sent): void {
    this.#sent.delete(sent)
    sent.onend?.()
  }

  #listen (): void {
    const ended = (error?: Error): void => { this.end(error ?? new Error('the connection was closed')) }
    if (!this.#client.isCluster) {
      this.#watch(this.#client as Redis, ended)
      return
    }
    const gone = (): void => { if (!this.#isEnded) this.#handler.nodeLost() }
    for (const node of (this.#client as Cluster).nodes()) this.#watch(node, gone)
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

  #masters (): Redis[] {
    return this.#client.isCluster ? (this.#client as Cluster).nodes('master') : [this.#client as Redis]
  }

  #nodes (): Redis[] {
    return [this.#push.connection, ...this.#client.isCluster ? (this.#client as Cluster).nodes() : [this.#client as Redis]]
  }

  #reference (node: Redis): void {
    const stream = node.stream as Redis['stream'] | undefined
    if (this.#isReferenced) stream?.ref()
    else stream?.unref()
  }
}

function command<C extends ChainableCommander | Redis | Cluster> (client: C, { script, base, args }: Job): ReturnType<C['evalsha']> {
  const sent = script === undefined ? client.hmget(`${base}:records`, ...args) : client.evalsha(script.sha, 1, base, ...args)
  return sent as ReturnType<C['evalsha']>
}
