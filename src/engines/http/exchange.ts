// One HTTP request with several calls, and the replies to them as they arrive.
import { StringDecoder } from 'node:string_decoder'
import { Reply, type Request } from '../../core/engine.js'
import { StoreError } from '../../core/errors.js'
import { Timer } from '../../core/timer.js'
import { CALLS, HEARTBEAT_MS, readReply } from './protocol.js'
import type { Transport } from './transport.js'

export interface Call {
  readonly request: Request
  /** The caller expects no reply, not even an error. */
  readonly isUnconfirmed: boolean
  /** JSON of the request. */
  json: string
  /** Called once. `isLate`: the call has waited, so it is unknown when it took effect. */
  settle (reply: Reply, detail: string | undefined, isLate: boolean): void
}

/** Maximum length of a line of the response, in UTF-16 code units. */
const MAX_LINE_LENGTH = 2 ** 28

/** Codes of calls that may not have reached the store behind the admin API. */
const LOSSES: readonly unknown[] = ['STORE_UNREACHABLE', 'STORE_DISCONNECTED', 'STORE_CLOSED']

export interface Listener {
  /** Called before calls fail, with those without a reply and unconfirmed ones that may not have reached the store. */
  failed (error: StoreError, calls: readonly Call[]): void
  /** Called with unconfirmed calls that the admin API reports as lost. */
  lost (error: StoreError, calls: readonly Call[]): void
}

export class Exchange {
  /** Resolves when all calls have reached the store or failed, with whether any has reached it. Never rejects. */
  readonly accepted: Promise<boolean>
  /** Resolves when all calls are settled. Never rejects. */
  readonly ended: Promise<void>
  readonly #transport: Transport
  readonly #listener: Listener
  /** Calls without a reply, by their index. */
  readonly #open: Map<number, Call>
  /** Unconfirmed calls, by their index. They get a reply only if they are lost. */
  readonly #unconfirmed: Map<number, Call>
  readonly #controller = new AbortController()
  readonly #silence = new Timer()
  #isAccepted = false
  #accept!: (isReached: boolean) => void

  constructor (transport: Transport, calls: readonly Call[], listener: Listener) {
    this.#transport = transport
    this.#listener = listener
    this.#unconfirmed = new Map([...calls.entries()].filter(([, { isUnconfirmed }]) => isUnconfirmed))
    this.#open = new Map([...calls.entries()].filter(([, { isUnconfirmed }]) => !isUnconfirmed))
    this.accepted = new Promise(resolve => { this.#accept = resolve })
    this.ended = this.#run(`[${calls.map(({ json }) => json).join(',')}]`)
  }

  /** Fails the calls that have no reply yet; the server cancels those that still wait. */
  abort (error: StoreError): void {
    this.#controller.abort(error)
  }

  async #run (body: string): Promise<void> {
    this.#expect(this.#transport.connectTimeout)
    try {
      const answer = await this.#transport.ask(CALLS, body, this.#controller.signal)
      const decoder = new StringDecoder('utf8') // undici's setEncoding breaks characters that span two chunks
      let parts: string[] = []
      let length = 0
      for await (const bytes of answer as AsyncIterable<Buffer>) {
        this.#expect(this.#transport.connectTimeout + HEARTBEAT_MS)
        const chunk = decoder.write(bytes)
        const end = chunk.lastIndexOf('\n')
        parts.push(end === -1 ? chunk : chunk.slice(0, end))
        length += chunk.length
        if (length > MAX_LINE_LENGTH) {
          throw new StoreError('STORE_PROTOCOL', `a line exceeds ${MAX_LINE_LENGTH} characters`)
        }
        if (end === -1) continue
        for (const line of parts.join('').split('\n')) if (line !== '') this.#receive(line)
        parts = [chunk.slice(end + 1)]
        length = parts[0]!.length
      }
      if (this.#open.size > 0 || !this.#isAccepted) {
        throw new StoreError('STORE_DISCONNECTED', 'the response ended early')
      }
    } catch (error) {
      this.#fail(this.#transport.failure(error as Error))
    } finally {
      this.#silence.stop()
      this.#accept(false)
    }
  }

  #expect (within: number): void {
    this.#silence.start(within, () => { this.abort(new StoreError('STORE_DISCONNECTED', this.#transport.silence())) })
  }

  #receive (line: string): void {
    const isFirst = !this.#isAccepted
    const count = this.#open.size + this.#unconfirmed.size
    const lost: Call[] = []
    let loss: StoreError | undefined
    let unreached = 0
    for (const pair of parse(line)) {
      const index = pair[0] as number
      const call = this.#open.get(index) ?? this.#unconfirmed.get(index)
      const answer = call && readReply(call.request.op, pair[1])
      const code = answer?.reply.code
      if (answer === undefined || (call!.isUnconfirmed && code === undefined)) {
        throw new StoreError(
          'STORE_PROTOCOL',
          `invalid reply to ${call?.request.op ?? 'an unknown call'}: ${JSON.stringify(pair).slice(0, 200)}`
        )
      }
      if (call!.isUnconfirmed || LOSSES.includes(code)) unreached++
      if (call!.isUnconfirmed) {
        this.#unconfirmed.delete(index)
        lost.push(call!)
        loss ??= new StoreError(code!, answer.detail)
      } else {
        this.#open.delete(index)
        call!.settle(answer.reply, answer.detail, !isFirst)
      }
    }
    if (loss !== undefined) this.#listener.lost(loss, lost)
    this.#isAccepted = true
    this.#accept(unreached < count)
  }

  #fail (error: StoreError): void {
    const calls = [...this.#open.values()]
    this.#open.clear()
    this.#listener.failed(error, this.#isAccepted ? calls : [...calls, ...this.#unconfirmed.values()])
    for (const call of calls) call.settle(new Reply(error.code), error.detail, true)
  }
}

function parse (line: string): unknown[][] {
  let pairs: unknown
  try {
    pairs = JSON.parse(line)
  } catch {}
  if (!Array.isArray(pairs) || !pairs.every(Array.isArray)) {
    throw new StoreError('STORE_PROTOCOL', `invalid line, expected a list of replies: ${line.slice(0, 200)}`)
  }
  return pairs as unknown[][]
}
