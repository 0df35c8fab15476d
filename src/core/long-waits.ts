// Warnings about calls that have waited long for a lock, each once. One timer looks through the calls every few
// seconds while there are any; a call notes the look it came after, which is all that it costs.
import { MAX_LOCKS, Request, mayWait, type Reply } from './engine.js'
import type { RawLock } from './stats.js'
import { Timer } from './timer.js'

const LOOK_MS = 2500
/** A call that has seen as many looks has waited for 10 to 12.5 seconds. */
const LOOKS = 5
/** Locks that one look asks about. */
const MAX_ASKED = 8

/** A call that is not answered yet. */
export interface Waiting {
  readonly request: Request
  /** What `now` was when it was made. */
  readonly since: number
  isTold: boolean
  readonly abandoned: boolean
}

export class LongWaits {
  #look = 0
  #isLooking = false
  readonly #timer = new Timer()
  readonly #calls: () => Iterable<Waiting | undefined>
  readonly #ask: (request: Request) => Promise<Reply>

  /** `calls`: all that are not answered; `ask`: asks the engine. */
  constructor (calls: () => Iterable<Waiting | undefined>, ask: (request: Request) => Promise<Reply>) {
    this.#calls = calls
    this.#ask = ask
    this.#timer.setReferenced(false)
  }

  /** For a call that is made now. */
  now (): number {
    if (!this.#isLooking) this.#start()
    return this.#look
  }

  stop (): void {
    this.#isLooking = false
    this.#timer.stop()
  }

  #start (): void {
    this.#isLooking = true
    this.#timer.start(LOOK_MS, () => {
      this.#look++
      this.#isLooking = false
      this.#lookThrough()
    })
  }

  #lookThrough (): void {
    const late: Array<[Waiting, ...Waiting[]]> = [] // by what they wait for
    for (const call of this.#calls()) {
      if (call === undefined) continue
      if (!this.#isLooking) this.#start()
      if (this.#look - call.since < LOOKS || call.isTold || call.abandoned || !mayWait(call.request)) continue
      const calls = late.find(([first]) => isAlike(first.request, call.request))
      if (calls !== undefined) calls.push(call)
      else if (late.push([call]) === MAX_ASKED) break // the others in later looks
    }
    // A store that does not answer has other ways to say so.
    for (const calls of late) this.#tell(calls).catch(() => {})
  }

  async #tell (calls: [Waiting, ...Waiting[]]): Promise<void> {
    for (const call of calls) call.isTold = true
    const { request } = calls[0]
    const { op, collection, key } = request
    const lock = await this.#holder(request)
    if (lock === undefined) return // it waits for the store itself
    const others = calls.length === 1 ? '' : `, and so have ${calls.length - 1} more calls`
    process.emitWarning(
      `${op} of ${JSON.stringify(key)} in collection ${JSON.stringify(collection)} ` +
      `has waited for more than 10 s${others}: ` +
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
