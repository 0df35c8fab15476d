// The engine of a store that lives in Redis: requests as scripts, which run one at a time where the keys are.
import { randomUUID } from 'node:crypto'
import { PendingCalls } from '../../core/pending-calls.js'
import { Reply, type Engine, type Request } from '../../core/engine.js'
import { StoreError, detailOf } from '../../core/errors.js'
import { connect, type KnownNodes } from './connect.js'
import { introspect, isIntrospection } from './introspection.js'
import { KeyNames } from './keys.js'
import { settle, type Place, type Settled, type Target } from './options.js'
import { FastGet, answerIn, isLocked } from './fast-get.js'
import { loadScripts } from './scripts.js'
import { Connection } from './connection.js'
import { Heartbeat } from './heartbeat.js'
import { EarlyReplies, type Asked } from './early-replies.js'
import { codeOf, releaseOf, replyOf, scriptOf, since } from './codec.js'

/** Bytes of text on their way to the server above which calls are refused. */
const MAX_BACKLOG = 256 * 2 ** 20

/** The engine of a store at a url. STORE_OPTION_INVALID. */
export function redisEngine (place: Place): Engine {
  return new RedisEngine(settle(place))
}

class RedisEngine implements Engine {
  onerror: Engine['onerror']
  onclose: Engine['onclose']
  readonly isShared = false
  readonly maxValueBytes: number
  readonly #target: Target
  readonly #life: number
  readonly #prefix: string
  readonly #names: KeyNames
  readonly #calls: PendingCalls
  readonly #known: KnownNodes = new Map()
  #connection: Connection | undefined
  #heartbeat: Heartbeat | undefined
  #connecting: Promise<void> | undefined
  #queue: Array<{ request: Request, id: number }> = []
  #backlog = 0
  #numbers = 0
  readonly #reads = new FastGet()
  /** By the call's place. */
  #asked: Array<Asked | undefined> = []
  readonly #turns = new EarlyReplies()
  #isClosed = false

  constructor ({ maxValueBytes, prefix, life, target }: Settled) {
    this.maxValueBytes = maxValueBytes
    this.#target = target
    this.#life = life
    this.#prefix = prefix
    this.#names = new KeyNames(prefix, target.cluster !== undefined && target.cluster !== false)
    this.#calls = new PendingCalls({
      send: (request, id) => { this.#send(request, id) },
      cancel: (id, isAbandoned) => { this.#cancel(id, isAbandoned) }
    })
  }

  call (request: Request): Promise<Reply> {
    return this.#calls.call(request)
  }

  post (request: Request): void {
    this.#calls.post(request)
  }

  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.onclose?.()
    await this.#connecting
    await this.#heartbeat?.leave().catch(() => {}) // then the connection is lost, and all of it with it
    await this.#connection?.settled()
    this.#connection?.end()
    this.#calls.fail('STORE_CLOSED')
  }

  #send (request: Request, id: number): void {
    if (this.#isClosed) throw new StoreError('STORE_CLOSED')
    if (this.#backlog > MAX_BACKLOG) throw new StoreError('STORE_OVERLOADED')
    if (this.#connection !== undefined) {
      this.#ask(this.#connection, request, id)
      return
    }
    this.#queue.push({ request, id })
    this.#backlog += request.text?.length ?? 0
    this.#connecting ??= this.#connect()
  }

  #ask (connection: Connection, request: Request, id: number): void {
    const { op, collection, token, text } = request
    if (token !== undefined && (request.release || op === 'release')) this.#heartbeat!.release(collection, token)
    const asked: Asked = {
      request, id, number: ++this.#numbers, token: op === 'acquire' ? token ?? randomUUID() : undefined, at: Date.now()
    }
    if (id !== 0) {
      this.#asked[id] = asked
      this.#setAwaited(true)
    }
    this.#backlog += text?.length ?? 0
    this.#reads.enter(request, !this.#heartbeat!.isTimed(collection), isPlain => {
      if (isPlain) this.#read(connection, asked)
      else this.#submit(connection, asked)
    })
  }

  /** Without a script, if that is enough. */
  #read (connection: Connection, asked: Asked): void {
    const { request, request: { collection, key } } = asked
    connection.read(this.#baseOf(collection), key, (found, error) => {
      if (found === undefined) {
        this.#reads.leave(request, true, () => {})
        this.#failed(connection, asked, error!)
        return
      }
      const reply = answerIn(found)
      if (reply === undefined && !isLocked(found)) this.#heartbeat?.time(collection)
      const isAnswer = this.#reads.leave(request, reply !== undefined, () => { this.#submit(connection, asked) })
      if (isAnswer && connection === this.#connection) this.#answer(asked, reply!)
    })
  }

  #submit (connection: Connection, asked: Asked): void {
    const size = asked.request.text?.length ?? 0
    this.#run(connection, asked).then(answer => {
      this.#backlog -= size
      if (connection !== this.#connection) return
      const text = this.#heartbeat!.unwrap(asked.request.collection, answer)
      if (text.charCodeAt(0) === 81) this.#wait(connection, asked, Number(text.slice(1)))
      else this.#answer(asked, since(asked.at, replyOf(text)))
    }, (error: Error) => {
      this.#backlog -= size
      this.#failed(connection, asked, error)
    })
  }

  async #run (connection: Connection, asked: Asked): Promise<string> {
    const { request, request: { op, collection }, token } = asked
    if (isIntrospection(op)) {
      if (op === 'collections' || op === 'stats') await this.#heartbeat!.flush()
      return await introspect(connection, this.#names, request, this.maxValueBytes)
    }
    const base = this.#baseOf(collection)
    const who = this.#who(connection, asked)
    try {
      return await connection.run(...scriptOf(request, base, who, this.#life, token))
    } catch (error) {
      // The value was refused, and with it the whole script.
      if (request.release && codeOf(error as Error) === 'STORE_FULL') await connection.run(...releaseOf(request, base, who, this.#life))
      throw error
    }
  }

  /** The call is in a queue now: its answer is pushed when it is its turn, which may have been already. */
  #wait (connection: Connection, asked: Asked, expiresIn: number): void {
    if (asked.id === 0) { // nobody wants to know
      this.#heartbeat!.waitPosted(asked.request.collection)
      return
    }
    const early = this.#turns.wait(asked.number, asked)
    if (early !== undefined) {
      this.#take(asked, early)
    } else {
      const who = this.#who(connection, asked)
      const { collection, key } = asked.request
      this.#heartbeat!.wait(collection, key, asked.number, who, expiresIn)
    }
  }

  #pushed (number: number, answer: string): void {
    const asked = this.#turns.come(number, answer)
    if (asked === undefined) return
    this.#answered(asked)
    this.#take(asked, answer)
  }

  /** An answer that was pushed. One that begins with "F" lacks its text, which is long and has to be fetched by its version. */
  #take (asked: Asked, answer: string): void {
    const connection = this.#connection!
    if (answer.charCodeAt(0) !== 70) {
      this.#answer(asked, replyOf(answer))
      return
    }
    const version = answer.slice(1, answer.indexOf(' '))
    connection.run<string | null>('fetch', this.#baseOf(asked.request.collection), [version]).then(text => {
      if (text === null) this.#failed(connection, asked, new Error('an answer of the server did not arrive'))
      else if (connection === this.#connection) this.#answer(asked, replyOf(`R${answer.slice(1)}${text}`))
    }, (error: Error) => { this.#failed(connection, asked, error) })
  }

  /** The call does not wait any more. */
  #answered (asked: Asked): void {
    this.#turns.delete(asked.number)
    this.#heartbeat!.answered(asked.request.collection, asked.number)
  }

  #answer (asked: Asked, reply: Reply, why?: string): void {
    const { request: { op, collection, key, detached, lease }, id, token } = asked
    if (reply.code === undefined) {
      if (op === 'get' || op === 'entry' || op === 'head' || op === 'acquire') this.#heartbeat!.read(collection)
      if (op === 'acquire') {
        reply.token = token
        if (!detached) this.#heartbeat!.hold(collection, key, token!)
        if (lease !== undefined) this.#heartbeat!.look(collection, lease)
      }
    }
    if (id === 0) return
    this.#asked[id] = undefined
    this.#calls.settle(id, reply, why)
    if (this.#calls.pending === 0) this.#setAwaited(false)
  }

  #failed (connection: Connection, asked: Asked, error: Error): void {
    if (connection !== this.#connection) return // it was told with all the others
    const code = codeOf(error)
    this.#answer(asked, new Reply(code), code === 'STORE_FULL' ? undefined : error.message)
    connection.doubt(error)
  }

  /** Asks for an early end of a wait. What is on its way to the server is overtaken by nothing, so this comes after it. */
  #cancel (id: number, isAbandoned: boolean): void {
    const connection = this.#connection
    const place = this.#queue.findIndex(queued => queued.id === id)
    if (place !== -1) {
      this.#queue.splice(place, 1)
      this.#calls.settle(id, new Reply('STORE_ABORTED'))
      return
    }
    const asked = this.#asked[id]
    if (connection === undefined || asked === undefined) return
    const { request, request: { collection, key }, token } = asked
    this.#reads.enter(request, false, () => {
      connection.run<number>('cancel', this.#baseOf(collection), [this.#who(connection, asked), key, isAbandoned ? token ?? '' : '']).then(isDone => {
        if (isDone !== 1 || connection !== this.#connection) return
        this.#answered(asked)
        this.#answer(asked, new Reply('STORE_ABORTED'))
      }, (error: Error) => { connection.doubt(error) })
    })
  }

  async #connect (): Promise<void> {
    let connection: Connection | undefined
    try {
      const scripts = loadScripts()
      const wires = await connect(this.#target, this.#known)
      connection = await Connection.open(wires, scripts, this.#prefix, {
        answer: (number, answer) => { this.#pushed(number, answer) },
        lost: token => { this.#lost(token) },
        nodeLost: () => { this.#heartbeat?.check() },
        closed: error => { this.#lose('STORE_DISCONNECTED', detailOf(error)) }
      })
    } catch (error) {
      this.#lose('STORE_UNREACHABLE', detailOf(error as Error))
    } finally {
      this.#connecting = undefined
    }
    if (connection !== undefined) this.#begin(connection)
  }

  #begin (connection: Connection): void {
    this.#connection = connection
    this.#heartbeat = new Heartbeat(connection, this.#life, this.#names, {
      lost: token => { this.#calls.lost(token) },
      unanswered: (number, error) => {
        const asked = this.#turns.get(number)
        if (asked === undefined) return
        this.#answered(asked)
        this.#failed(connection, asked, error)
      }
    })
    this.#setAwaited(this.#calls.pending > 0)
    const queue = this.#queue
    this.#queue = []
    for (const { request, id } of queue) {
      this.#backlog -= request.text?.length ?? 0
      this.#ask(connection, request, id)
    }
  }

  #lost (token: string): void {
    this.#heartbeat?.lost(token)
    this.#calls.lost(token)
  }

  #lose (code: 'STORE_UNREACHABLE' | 'STORE_DISCONNECTED', why: string): void {
    this.#heartbeat?.stop()
    this.#connection = undefined
    this.#heartbeat = undefined
    for (const { request } of this.#queue) this.#backlog -= request.text?.length ?? 0
    this.#queue = []
    this.#asked = []
    this.#turns.clear()
    this.#calls.fail(code, why)
    this.onerror?.(new StoreError(code, why))
  }

  #setAwaited (isAwaited: boolean): void {
    this.#connection?.setReferenced(isAwaited)
    this.#heartbeat?.setReferenced(isAwaited)
  }

  #baseOf (collection: string): string {
    return this.#names.base(collection)
  }

  #who (connection: Connection, { id, number }: Asked): string {
    return `${connection.channel} ${id === 0 ? -number : number}`
  }
}
