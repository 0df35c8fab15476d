// A process's time with a server: from the opening of its connections to the end of one of them.
import { randomUUID } from 'node:crypto'
import type { ChainableCommander, Cluster, Redis } from 'ioredis'
import type { Wires } from './connect.js'
import type { Found } from './reads.js'
import type { Script, ScriptName, Scripts } from './scripts.js'

/** What the server has not answered yet. */
interface Sent {
  sentAt: number
  onend?: () => void
}

interface Job extends Sent {
  /** Without one it is a plain read: see reads.ts. */
  script: Script | undefined
  base: string
  args: string[]
  resolve (result: unknown): void
  reject (error: Error): void
}

export interface Handler {
  /** The answer to a call that had to wait. */
  answer (number: number, answer: string): void
  /** A lock was lost. */
  lost (token: string): void
  /** A connection has ended. Called once, unless by `end`. */
  closed (error: Error): void
}

export class Session {
  /** Where the server reaches this process; what stands behind it in a "who" is the number of a call. */
  readonly channel: string
  readonly #client: Redis | Cluster
  readonly #push: Redis
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

  private constructor ({ client, push }: Wires, scripts: Scripts, prefix: string, handler: Handler) {
    this.#client = client
    this.#push = push
    this.#scripts = scripts
    this.#handler = handler
    this.channel = `${prefix}:${randomUUID()}${client.isCluster ? 0 : 1}` // see isAlive in locks.lua
    this.#listen()
  }

  /** Is ready when the server knows where to reach it. */
  static async open (wires: Wires, scripts: Scripts, prefix: string, handler: Handler): Promise<Session> {
    const session = new Session(wires, scripts, prefix, handler)
    session.#load()
    await session.#push.subscribe(session.channel)
    return session
  }

  /** Milliseconds for which the server has not answered, 0 if it has. */
  silence (now: number): number {
    const oldest = this.#sent.values().next().value
    return oldest === undefined ? 0 : now - oldest.sentAt
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
    const ping: Sent = { sentAt: Date.now() }
    this.#sent.add(ping)
    this.#push.ping().catch(() => {}).finally(() => { this.#arrived(ping) })
  }

  /** Names of keys on all nodes. */
  async keys (pattern: string): Promise<Set<string>> {
    const found = new Set<string>()
    const nodes = this.#client.isCluster ? (this.#client as Cluster).nodes('master') : [this.#client as Redis]
    await Promise.all(nodes.map(async node => {
      let cursor = '0'
      do {
        const [next, keys] = await node.scan(cursor, 'MATCH', pattern, 'COUNT', 1000)
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
    this.#push.disconnect()
    if (error !== undefined) this.#handler.closed(error)
  }

  /** Has the server know all scripts from here on: where it knows only some, calls in flight get out of order. */
  #load (): void {
    const nodes = this.#client.isCluster ? (this.#client as Cluster).nodes('master') : [this.#client as Redis]
    for (const node of nodes) {
      for (const { text } of Object.values(this.#scripts)) {
        node.script('LOAD', text).catch((error: Error) => { if (error.message.startsWith('NOPERM')) this.end(error) })
      }
    }
  }

  #do<T> (script: Script | undefined, base: string, args: string[]): Promise<T> {
    return new Promise((resolve, reject) => {
      const job: Job = { script, base, args, sentAt: Date.now(), resolve: resolve as Job['resolve'], reject }
      if (this.#unknown.length > 0) this.#behind.push(job)
      else this.#send(job)
    })
  }

  #send (job: Job): void {
    this.#sent.add(job)
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
    this.#arrived(job)
    this.#running--
    // A plain read that came behind a script that was not run has read too early.
    const isEarly = job.script === undefined && this.#unknown.length > 0
    if (isEarly || error?.message.startsWith('NOSCRIPT') === true) this.#unknown.push(job)
    else if (error === undefined) job.resolve(result)
    else job.reject(error)
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
    for (const node of this.#nodes()) this.#watch(node, ended)
    if (this.#client.isCluster) {
      this.#client.on('+node', (node: Redis) => { this.#watch(node, ended) })
      this.#client.on('end', ended)
    }
    this.#push.on('message', (_channel: string, message: string) => {
      const space = message.indexOf(' ')
      const rest = message.slice(space + 1)
      if (message.startsWith('L')) this.#handler.lost(rest)
      else this.#handler.answer(Number(message.slice(0, space)), rest)
    })
  }

  #watch (node: Redis, ended: () => void): void {
    let wasReady = node.status === 'ready'
    node.on('ready', () => {
      wasReady = true
      this.#reference(node)
    })
    node.on('close', () => { if (wasReady) ended() })
    node.on('error', () => {}) // 'close' follows
  }

  #nodes (): Redis[] {
    return [this.#push, ...this.#client.isCluster ? (this.#client as Cluster).nodes() : [this.#client as Redis]]
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
