// Detects a store that no longer answers because its process is stopped or its event loop is blocked: the kernel keeps
// such a connection open. While this client waits for something, a few beats per timeout check whether anything has
// arrived. After a silent beat the store is asked for a reply, since calls may rightly wait for a lock. Silence is
// counted in beats rather than in time, so that a process that was stopped or blocked itself does not blame the store.
import { performance } from 'node:perf_hooks'
import { StoreError } from '../../core/errors.js'
import type { PendingCalls } from '../../core/pending-calls.js'
import { Timer } from '../../core/timer.js'

/** What the client waits for. */
type Awaited = Pick<PendingCalls, 'pending' | 'held'>

/** Silent beats after the question that are too many. */
const BEATS = 5
/** A garbage collection in the store must not end connections, however short the timeout is. */
const MIN_TIMEOUT_MS = 1000

/** The id of the question. It is above those of all calls, so that the reply settles none. */
export const LIVENESS_ID = 2 ** 32 - 1

export interface LivenessHandler {
  /** Sends the store a ping. */
  ask (): void
  /** The store has sent nothing since it was asked. */
  silent (error: StoreError): void
}

export class Liveness {
  readonly #timeout: number
  readonly #calls: Awaited
  readonly #handler: LivenessHandler
  readonly #timer = new Timer()
  #isRunning = false
  #hasHeard = false
  #silentBeats = 0
  #wasLate = false
  /** Unconfirmed requests were sent since the store was asked. */
  #hasPosts = false

  /** `timeout`: milliseconds of silence that are too many while there are `calls`. */
  constructor (timeout: number, calls: Awaited, handler: LivenessHandler) {
    this.#timeout = Math.max(timeout, MIN_TIMEOUT_MS)
    this.#calls = calls
    this.#handler = handler
    this.#timer.setReferenced(false)
  }

  /** A call is pending. The beats go on until there is no call, no lock, and no question without an answer. */
  start (): void {
    if (this.#isRunning) return
    this.#isRunning = true
    this.#hasHeard = this.#wasLate = false
    this.#silentBeats = 0
    this.#wait()
  }

  /** A request without a reply was sent: the store will be asked for one. */
  posted (): void {
    this.#hasPosts = true
    this.start()
  }

  /** Something has arrived. */
  heard (): void {
    this.#hasHeard = true
  }

  stop (): void {
    this.#isRunning = false
    this.#timer.stop()
  }

  #wait (): void {
    const beat = this.#timeout / BEATS
    const due = performance.now() + beat
    this.#timer.start(beat, () => {
      const isLate = performance.now() - due > beat
      // What has arrived while this process was busy is read first.
      setImmediate(() => { if (this.#isRunning) this.#beat(isLate) })
    })
  }

  #beat (isLate: boolean): void {
    const isIdle = this.#calls.pending === 0 && this.#calls.held === 0 && !this.#hasPosts
    if (this.#hasHeard) this.#silentBeats = 0
    // After a pause of this process, which may have been one of the whole machine, the store gets another beat.
    else if (!isLate || this.#wasLate) this.#silentBeats++
    this.#hasHeard = false
    this.#wasLate = isLate
    if (isIdle && this.#silentBeats === 0) {
      this.stop()
      return
    }
    if (this.#silentBeats === 1) {
      this.#hasPosts = false
      this.#handler.ask()
    }
    if (this.#silentBeats <= BEATS) this.#wait()
    else {
      this.stop()
      this.#handler.silent(new StoreError('STORE_DISCONNECTED',
        `the store has not answered for ${this.#timeout / 1000} s; its process is stopped, or its event loop is blocked`))
    }
  }
}
