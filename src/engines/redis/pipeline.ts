// What is asked of a server. All of it takes effect in the order it was asked for, and what was asked in one tick leaves together.
import type { Cluster, Redis } from 'ioredis'
import { nodesOf } from './connect.js'
import type { Found } from './fast-get.js'
import type { Script } from './scripts.js'

/** Plain reads that are asked for as one command: the server does nothing else meanwhile. */
const MAX_READS = 32

/** What the server has not answered yet. */
interface Sent {
  sentAt: number
  reject (error: Error): void
  onend?: () => void
}

interface Job extends Sent {
  /** Without one it is plain reads: see reads.ts. */
  script: Script | undefined
  base: string
  args: string[]
  /** Of plain reads. */
  readers: Reader[]
  resolve (result: unknown): void
}

/** Told what a plain read has found, or why it has not. */
export type Reader = (found: Found | undefined, error: Error | undefined) => void

export class Pipeline {
  readonly #client: Redis | Cluster
  readonly #load: () => void
  readonly #sent = new Set<Sent>()
  #running = 0
  #jobs: Job[] = []
  // Scripts that the server did not know: they are sent again, in their order, when all before them are answered.
  #unknown: Job[] = []
  #behind: Job[] = []

  /** `load` has the server know all scripts. */
  constructor (client: Redis | Cluster, load: () => void) {
    this.#client = client
    this.#load = load
  }

  run<T> (script: Script, base: string, args: string[]): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#add({ script, base, args, readers: [], sentAt: Date.now(), resolve: resolve as Job['resolve'], reject })
    })
  }

  /** A plain read of a key. Those of one collection that follow each other in a tick are one command. */
  read (base: string, key: string, reader: Reader): void {
    let job = this.#unknown.length > 0 ? undefined : this.#jobs.at(-1)
    if (job?.base !== base || job.script !== undefined || job.readers.length === MAX_READS) {
      job = readsOf(base)
      this.#add(job)
    }
    job.args.push(`:${key}`, `!${key}`)
    job.readers.push(reader)
  }

  /** Keeps account of what is asked without a script. */
  expect<T> (answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const sent: Sent = { sentAt: Date.now(), reject }
      this.#sent.add(sent)
      answer.then(resolve, reject).finally(() => { this.#arrived(sent) })
    })
  }

  /** Fails what was sent before a time and is not answered. Whether there was any. */
  giveUp (before: number, error: Error): boolean {
    let isLate = false
    for (const sent of this.#sent) {
      if (sent.sentAt > before) break
      isLate = true
      this.#arrived(sent)
      sent.reject(error)
    }
    return isLate
  }

  /** Resolves when all that was asked is answered, or the connection is gone. */
  async settled (): Promise<void> {
    await Promise.all(Array.from(this.#sent, sent => new Promise<void>(resolve => { sent.onend = resolve })))
  }

  #add (job: Job): void {
    this.#sent.add(job)
    if (this.#unknown.length > 0) this.#behind.push(job)
    else this.#send(job)
  }

  #send (job: Job): void {
    this.#running++
    if (this.#jobs.push(job) === 1) process.nextTick(() => { this.#flush() })
  }

  #flush (): void {
    const jobs = this.#jobs
    this.#jobs = []
    const streams = nodesOf(this.#client).map(({ stream }) => stream as Redis['stream'] | undefined)
    for (const stream of streams) stream?.cork()
    for (const job of jobs) {
      command(this.#client, job).then(
        result => { this.#answered(job, undefined, result) },
        (error: Error) => { this.#answered(job, error, undefined) }
      )
    }
    for (const stream of streams) stream?.uncork()
  }

  #answered (job: Job, error: Error | undefined, result: unknown): void {
    this.#running--
    // A plain read that came behind a script that was not run has read too early.
    const isEarly = job.script === undefined && this.#unknown.length > 0
    if (!this.#sent.has(job)) {
      // It was given up, and whoever asked knows.
    } else if (isEarly || (error !== undefined && /^NOSCRIPT|^ERR Function not found/.test(error.message))) {
      this.#unknown.push(job)
    } else {
      this.#arrived(job)
      if (error === undefined) job.resolve(result)
      else job.reject(error)
    }
    if (this.#unknown.length > 0 && this.#running === 0) this.#sendAgain()
  }

  #sendAgain (): void {
    const jobs = [...this.#unknown, ...this.#behind].filter(job => this.#sent.has(job)) // not what was given up
    this.#unknown = []
    this.#behind = []
    this.#load()
    for (const job of jobs) this.#send(job)
  }

  #arrived (sent: Sent): void {
    this.#sent.delete(sent)
    sent.onend?.()
  }
}

function readsOf (base: string): Job {
  const readers: Reader[] = []
  return {
    script: undefined,
    base,
    args: ['tracked'],
    readers,
    sentAt: Date.now(),
    resolve: result => {
      const [tracked, ...found] = result as [string | null, ...Array<string | null>]
      for (const [i, reader] of readers.entries()) reader([found[2 * i]!, found[2 * i + 1]!, tracked], undefined)
    },
    reject: error => { for (const reader of readers) reader(undefined, error) }
  }
}

function command (client: Redis | Cluster, { script, base, args }: Job): Promise<unknown> {
  if (script === undefined) return client.hmget(`${base}:records`, ...args)
  return script.function === undefined ? client.evalsha(script.sha, 1, base, ...args) : client.fcall(script.function, 1, base, ...args)
}
