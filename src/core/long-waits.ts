// Warns once about each call that has waited for a lock for too long, and about one that is still waiting when the
// process exits because nothing else keeps it alive. One timer scans the pending calls every few seconds while there
// are any. A call only records the number of the scan before it.
import { MAX_LOCKS, Request, mayWait, type Reply } from './engine.js'
import { installOnce, shared } from './shared.js'
import type { RawLock } from './stats.js'
import { Timer } from './timer.js'

const LOOK_MS = 2500
/** A call seen by this many scans has waited for 10 to 12.5 seconds. */
const LOOKS = 5
/** Maximum number of locks queried per scan. */
const MAX_ASKED = 8

/** A pending call. */
export interface Waiting {
  readonly request: Request
  /** The value of `now()` when the call was made. */
  readonly since: number
  isTold: boolean
  readonly abandoned: boolean
}

/** Those with calls. */
const withCalls = shared('long-waits.1', () => new Set<LongWaits>())

const onBeforeExit = (): void => { for (const waits of withCalls) waits.tellLast() }

export class LongWaits {
  #look = 0
  #isLooking = false
  readonly #timer = new Timer()
  readonly #calls: () => Iterable<Waiting | undefined>
  readonly #ask: (request: Request) => Promise<Reply>

  /** `calls` returns all pending calls; `ask` sends a request to the engine. */
  constructor (calls: () => Iterable<Waiting | undefined>, ask: (request: Request) => Promise<Reply>) {
    this.#calls = calls
    this.#ask = ask
    this.#timer.setReferenced(false)
  }

  /** The current scan number, to be stored in a new call. */
  now (): number {
    if (!this.#isLooking) this.#start()
    return this.#look
  }

  stop (): void {
    this.#isLooking = false
    this.#timer.stop()
    this.#leave()
  }

  /** Warns about the first of the calls that will never be answered: the process has nothing else to do. */
  tellLast (): void {
    for (const call of this.#calls()) {
      if (call === undefined || call.isTold || call.abandoned || !mayWait(call.request)) continue
      this.#tell([call], 'is still waiting as the process exits').catch(() => {})
      return
    }
  }

  #start (): void {
    this.#isLooking = true
    if (withCalls.size === 0) {
      installOnce('long-waits', () => {
        process.on('beforeExit', onBeforeExit)
        return () => { process.off('beforeExit', onBeforeExit) }
      })
    }
    withCalls.add(this)
    this.#timer.start(LOOK_MS, () => {
      this.#look++
      this.#isLooking = false
      this.#lookThrough()
      if (!this.#isLooking) this.#leave()
    })
  }

  #leave (): void {
    withCalls.delete(this)
    if (withCalls.size === 0) process.off('beforeExit', onBeforeExit)
  }

  #lookThrough (): void {
    const late: Array<[Waiting, ...Waiting[]]> = [] // grouped by the lock they wait for
    for (const call of this.#calls()) {
      if (call === undefined) continue
      if (!this.#isLooking) this.#start()
      if (this.#look - call.since < LOOKS || call.isTold || call.abandoned || !mayWait(call.request)) continue
      const calls = late.find(([first]) => isAlike(first.request, call.request))
      if (calls !== undefined) calls.push(call)
      else if (late.push([call]) === MAX_ASKED) break // the rest is handled by later scans
    }
    // If the store does not reply, other errors report that.
    for (const calls of late) {
      const others = calls.length === 1 ? '' : `, and so have ${calls.length - 1} more calls`
      this.#tell(calls, `has waited for more than 10 s${others}`).catch(() => {})
    }
  }

  async #tell (calls: [Waiting, ...Waiting[]], what: string): Promise<void> {
    for (const call of calls) call.isTold = true
    const { request } = calls[0]
    const { op, collection, key } = request
    const lock = await this.#holder(request)
    if (lock === undefined) return // it waits for the store, not for a lock
    process.emitWarning(
      `${op} of ${JSON.stringify(key)} in collection ${JSON.stringify(collection)} ${what}: ` +
      `${JSON.stringify(lock.key)} is locked by ${lock.owner} since ${new Date(lock.since).toISOString()}`,
      { type: 'StoreWarning', code: 'STORE_LONG_WAIT' }
    )
  }

  async #holder ({ op, collection, key }: Request): Promise<RawLock | undefined> {
    const request = op === 'clear' ? new Request('locks', '', '') : new Request('lock', collection, key)
    request.number = MAX_LOCKS
    const { text } = await this.#ask(request)
    if (text === undefined) return undefined
    const found = JSON.parse(text) as RawLock | RawLock[]
    if (!Array.isArray(found)) return found
    return found.find(lock => lock.collection === collection && lock.key.startsWith(key))
  }
}

function isAlike (a: Request, b: Request): boolean {
  return a.key === b.key && a.collection === b.collection && (a.op === 'clear') === (b.op === 'clear')
}
