// The commands sent to a server. They take effect in the order they were issued, and those of one tick are written
// together. A bounded number is in flight; the rest is queued here, where commands can be withdrawn, and heartbeats
// overtake them.
import { performance } from 'node:perf_hooks'
import type { Cluster, Redis } from 'ioredis'
import { nodesOf } from './connect.js'
import type { Found, Reader } from './fast-get.js'
import { Job, type Part } from './job.js'
import { Queue } from './queue.js'
import { isMissing, type Generation } from './generation.js'
import type { ScriptCache } from './script-cache.js'
import type { ScriptName } from './scripts.js'

/**
 * Bounds of the number of calls in flight per lane, which adapts to how fast they are answered, and the maximum size of
 * their arguments.
 */
const MIN_IN_FLIGHT = 64
const MAX_IN_FLIGHT = 4096
const MAX_IN_FLIGHT_BYTES = 8 * 2 ** 20
/** Heartbeats bypass the queue, in which they could be delayed for too long. */
const URGENT: ReadonlySet<ScriptName | undefined> = new Set<ScriptName>(['tend'])

/** Jobs that take effect in order: all jobs of a server, or those of one slot of a cluster. */
class Lane {
  readonly queue = new Queue<Job>()
  /** The newest job. Calls may be added to it while it is queued. */
  last: Job | undefined
  inFlight = 0
  bytes = 0
  /** Maximum number of calls in flight, adjusted by how long the timed job took. */
  limit = MIN_IN_FLIGHT
  timed: Job | undefined
  timedAt = 0
  /** Jobs that failed because the server has lost the scripts. They are sent again when nothing is in flight. */
  missed: Job[] = []
  /** The generation of all scripts in flight. */
  generation: Generation | undefined

  sends (part: Part): void {
    this.inFlight++
    this.bytes += part.size
  }

  /** Times one job at a time, from when it is sent. */
  sent (job: Job): void {
    if (this.timed !== undefined) return
    this.timed = job
    this.timedAt = performance.now()
  }

  /** `maxDelay`: milliseconds within which a command should be answered. */
  answered (job: Job, maxDelay: number): void {
    this.inFlight -= job.parts.length
    this.bytes -= job.size
    if (job !== this.timed) return
    this.timed = undefined
    if (performance.now() - this.timedAt > maxDelay) this.limit = Math.max(MIN_IN_FLIGHT, this.limit / 2)
    else if (this.queue.size > 0) this.limit = Math.min(MAX_IN_FLIGHT, this.limit * 2)
  }

  get isFull (): boolean {
    return this.inFlight >= this.limit || this.bytes >= MAX_IN_FLIGHT_BYTES
  }
}

export class Pipeline {
  readonly #client: Redis | Cluster
  readonly #scripts: ScriptCache
  readonly #maxDelay: number
  readonly #heads: Partial<Record<ScriptName, string[]>>
  readonly #lanes = new Map<string, Lane>()
  readonly #outstanding = new Set<Job>()
  #batch: Array<[Lane, Job]> = []
  #onsettled: Array<() => void> = []

  /**
   * `maxDelay`: milliseconds within which commands in flight should be answered. `heads`: the scripts that take several
   * calls, each with the arguments before those of the calls.
   */
  constructor (
    client: Redis | Cluster, scripts: ScriptCache, maxDelay: number, heads: Partial<Record<ScriptName, string[]>>
  ) {
    this.#client = client
    this.#scripts = scripts
    this.#maxDelay = maxDelay
    this.#heads = heads
  }

  /** Whether any job is pending. */
  get isBusy (): boolean {
    return this.#outstanding.size > 0
  }

  run<T> (script: ScriptName, base: string, args: string[]): Promise<T> {
    return new Promise(
      (resolve, reject) => { this.submit(script, base, args, resolve as (result: unknown) => void, reject) }
    )
  }

  /** Like `run`, but the command can be withdrawn. `bytes`: the expected size of a long reply. */
  submit (
    script: ScriptName | undefined, base: string, args: string[], resolve: Part['resolve'], reject: Part['reject'],
    bytes = 0
  ): Part {
    const lane = this.#lane(base)
    let size = base.length + bytes
    for (const arg of args) size += arg.length
    const isQueued = lane.last !== undefined && lane.queue.has(lane.last)
    if (lane.last?.takes(script, base, size) === true && (isQueued || !lane.isFull)) {
      const part = lane.last.put(args, size, resolve, reject)
      if (!isQueued) lane.sends(part)
      return part
    }
    const job = new Job(script, base, script === undefined ? ['tracked'] : this.#heads[script])
    const part = job.put(args, size, resolve, reject)
    this.#outstanding.add(job)
    const isUrgent = URGENT.has(script)
    if (!isUrgent) lane.last = job
    if (lane.missed.length > 0 && isUrgent) lane.missed.push(job)
    else if (lane.missed.length > 0 || (!isUrgent && (lane.queue.size > 0 || lane.isFull))) lane.queue.push(job)
    else this.#send(lane, job)
    return part
  }

  /** Reads a key without a script. `bytes`: the size of its long value; 0 to skip it. */
  read (base: string, key: string, bytes: number, reader: Reader): void {
    const fields = [`:${key}`, `!${key}`]
    if (bytes > 0) fields.push(`=${key}`)
    this.submit(
      undefined, base, fields, found => { reader(found as Found, undefined) },
      error => { reader(undefined, error) }, bytes
    )
  }

  /** Withdraws a command that has not been sent. If it returns true, the command is never settled. */
  withdraw (part: Part): boolean {
    const { job } = part
    const { queue } = this.#lane(job.base)
    if (!queue.has(job)) return false
    job.parts.splice(job.parts.indexOf(part), 1)
    job.size -= part.size
    if (job.parts.length > 0) return true
    queue.delete(job)
    this.#settled(job)
    return true
  }

  /** Fails all outstanding jobs. */
  fail (error: Error): void {
    for (const job of this.#outstanding) {
      this.#settled(job)
      job.reject(error)
    }
  }

  /** Resolves when no job is outstanding. */
  async settled (): Promise<void> {
    // A result may have caused another job.
    while (this.isBusy) await new Promise<void>(resolve => { this.#onsettled.push(resolve) })
  }

  #lane (base: string): Lane {
    const id = this.#idOf(base)
    let lane = this.#lanes.get(id)
    if (lane === undefined) this.#lanes.set(id, lane = new Lane())
    return lane
  }

  #idOf (base: string): string {
    return this.#client.isCluster ? base.slice(base.indexOf('{'), base.indexOf('}')) : ''
  }

  #send (lane: Lane, job: Job): void {
    if (lane.inFlight === 0) lane.generation = this.#scripts.current
    for (const part of job.parts) lane.sends(part)
    if (this.#batch.push([lane, job]) === 1) process.nextTick(() => { this.#flush() })
  }

  #flush (): void {
    const batch = this.#batch
    this.#batch = []
    const streams = batch.length === 1
      ? []
      : nodesOf(this.#client).map(({ stream }) => stream as Redis['stream'] | undefined)
    for (const stream of streams) stream?.cork()
    for (const [lane, job] of batch) {
      const { script, base, args } = job
      job.state = 'sent'
      lane.sent(job)
      const sent = script === undefined
        ? this.#client.hmget(`${base}:records`, ...args)
        : lane.generation!.run(this.#client, script, base, args)
      sent.then(
        result => { this.#answered(lane, job, undefined, result) },
        (error: Error) => { this.#answered(lane, job, error, undefined) }
      )
    }
    for (const stream of streams) stream?.uncork()
  }

  #answered (lane: Lane, job: Job, error: Error | undefined, result: unknown): void {
    lane.answered(job, this.#maxDelay)
    // A plain read sent after a script that did not run has read too early.
    const isEarly = job.script === undefined && lane.missed.length > 0
    if (job.state === 'settled') {
      // It failed when the connection ended.
    } else if (isEarly || (error !== undefined && isMissing(error))) {
      lane.missed.push(job)
    } else {
      this.#settled(job)
      if (error === undefined) job.resolve(result)
      else job.reject(error)
      if (error === undefined && job.script !== undefined) this.#scripts.found()
    }
    if (lane.missed.length === 0) this.#pump(lane, job.base)
    else if (lane.inFlight === 0) this.#renew(lane, job.base)
  }

  #pump (lane: Lane, base: string): void {
    while (!lane.isFull) {
      const job = lane.queue.shift()
      if (job === undefined) break
      this.#send(lane, job)
    }
    if (lane.inFlight === 0 && this.#client.isCluster) this.#lanes.delete(this.#idOf(base))
  }

  /** Loads the scripts again. Nothing is in flight, and nothing is sent until that is done. */
  #renew (lane: Lane, base: string): void {
    this.#scripts.renew(lane.generation!).then(() => {
      const jobs = lane.missed
      lane.missed = []
      for (const job of jobs) if (job.state !== 'settled') this.#send(lane, job)
      this.#pump(lane, base)
    }, (error: Error) => {
      const jobs = lane.missed
      lane.missed = []
      for (let job = jobs.shift() ?? lane.queue.shift(); job !== undefined; job = jobs.shift() ?? lane.queue.shift()) {
        if (job.state === 'settled') continue
        this.#settled(job)
        job.reject(error)
      }
    })
  }

  #settled (job: Job): void {
    job.state = 'settled'
    this.#outstanding.delete(job)
    if (this.isBusy) return
    for (const resolve of this.#onsettled) resolve()
    this.#onsettled = []
  }
}
