// Saves a keyspace to a disk: every `flush` milliseconds, the current state of all changed keys is appended to the log
// in one transaction, so the disk always has a consistent snapshot.
import { performance } from 'node:perf_hooks'
import { Timer } from '../../core/timer.js'
import type { DataStats } from '../../core/stats.js'
import { ChangedKeys } from './changed-keys.js'
import type { Disk } from './disk.js'
import type { Durability } from './durability.js'
import type { Keyspace } from './keyspace.js'
import { LogFiles, type Chunk } from './log-files.js'

/** Milliseconds until the first try after a failed write. Each further one takes twice as long, up to MAX_RETRY_MS. */
const RETRY_MS = 1000
const MAX_RETRY_MS = 30_000

type Waiting = Array<(hasFailed: boolean) => void>

export interface PersistenceSettings {
  /** Milliseconds between a change and its write. */
  flush: number
  /** Size of the log if every key were written once. */
  liveBytes (): number
  /** Called when a write fails, once until writes succeed again. */
  onerror (error: Error): void
}

export class Persistence implements Durability {
  readonly #options: PersistenceSettings
  readonly #log: LogFiles
  readonly #changed: ChangedKeys
  readonly #timer = new Timer()
  #waiting: Waiting = []
  /** The times of the oldest changes that are not in the log yet, and that are in it but not on disk. */
  #dirtySince: number | undefined
  #takenSince: number | undefined
  #errors = 0
  #hasFailed = false
  #retryMs = RETRY_MS
  #running: Promise<void> | undefined
  #isClosed = false

  /** `chunks`: the loaded log. */
  constructor (keyspace: Keyspace, disk: Disk, chunks: readonly Chunk[], options: PersistenceSettings) {
    this.#options = options
    this.#log = new LogFiles(disk, chunks, options.liveBytes)
    this.#changed = new ChangedKeys(keyspace, this.#log, () => { this.#onfirst() })
    keyspace.context.durability = this
  }

  /** Collections that are not saved. */
  get notKept (): ReadonlySet<string> {
    return this.#changed.notKept
  }

  /** Reserves versions and fences, so that none is reused after a crash. */
  async begin (): Promise<void> {
    this.#changed.isDirty = true
    this.#run()
    await this.#running
  }

  configured (collection: string, wasKept: boolean): void {
    this.#changed.configured(collection, wasKept)
  }

  whenSafe (done: (hasFailed: boolean) => void): void {
    if (!this.#changed.isDirty && this.#running === undefined && !this.#log.hasPending) done(false)
    else {
      this.#waiting.push(done)
      this.#changed.markDirty()
      // Deferred, so that calls of the same event loop iteration share one write.
      if (this.#waiting.length === 1 && this.#running === undefined) setImmediate(() => { this.#run() })
    }
  }

  stats (): DataStats {
    const since = this.#takenSince ?? this.#dirtySince
    const lag = since === undefined ? 0 : (performance.now() - since) / 1000
    return { lag, errors: this.#errors, bytes: this.#log.bytes }
  }

  /** Writes all changes. Rejects if that fails. */
  async close (): Promise<void> {
    this.#isClosed = true
    this.#timer.stop()
    await this.#running
    for (let attempt = 0; attempt < 2 && (this.#changed.isDirty || this.#log.hasPending); attempt++) await this.#flush()
    this.#timer.stop()
    if (this.#changed.isDirty || this.#log.hasPending) throw this.#log.lastError ?? new Error('not written')
  }

  #onfirst (): void {
    this.#dirtySince = performance.now()
    if (this.#running === undefined) this.#plan(this.#options.flush)
  }

  #plan (delay: number): void {
    if (this.#isClosed) return
    // Keeps the process alive until the changes are written, unless the last write failed.
    this.#timer.setReferenced(!this.#hasFailed)
    this.#timer.start(this.#hasFailed ? this.#retryMs : delay, () => { this.#run() })
  }

  #run (): void {
    if (this.#running !== undefined || this.#isClosed) return
    this.#timer.stop()
    this.#running = this.#flush().finally(() => {
      this.#running = undefined
      if (this.#changed.isDirty || this.#log.hasPending) this.#plan(this.#waiting.length > 0 ? 0 : this.#options.flush)
    })
  }

  async #flush (): Promise<void> {
    let waiting: Waiting = []
    try {
      if (!this.#log.hasPending) {
        await this.#changed.collect(() => {
          waiting = this.#waiting
          this.#waiting = []
          this.#takenSince = this.#dirtySince
          this.#dirtySince = undefined
        }, () => this.#isClosed)
      }
      await this.#log.write()
      this.#takenSince = undefined
    } catch (error) {
      this.#fail(error as Error)
      const later = this.#waiting
      this.#waiting = []
      for (const done of waiting) done(true)
      for (const done of later) done(true)
      return
    }
    this.#hasFailed = false
    for (const done of waiting) done(false)
  }

  #fail (error: Error): void {
    this.#errors++
    const isNew = !this.#hasFailed
    this.#hasFailed = true
    this.#retryMs = isNew ? RETRY_MS : Math.min(2 * this.#retryMs, MAX_RETRY_MS)
    if (isNew) this.#options.onerror(error)
  }
}
