// The engine of a store in Redis. Requests are script calls, which the server executes one at a time.
import { randomUUID } from 'node:crypto'
import { PendingCalls } from '../../core/pending-calls.js'
import { Reply, endsLock, isPoll, type Engine, type Request } from '../../core/engine.js'
import { StoreError, detailOf } from '../../core/errors.js'
import type { KnownNodes } from './connect.js'
import { introspect, isIntrospection } from './introspection.js'
import { KeyNames } from './keys.js'
import { settle, type EngineOptions, type Settled, type Target } from './options.js'
import { FastGet } from './fast-get.js'
import { Queue } from './queue.js'
import { RedisCall, refuseDurable } from './call.js'
import { CallTable } from './call-table.js'
import { Closing } from './closing.js'
import type { Connection } from './connection.js'
import { Heartbeat } from './heartbeat.js'
import { readPushed } from './pushed-answer.js'
import { scriptCall } from './script-call.js'
import { codeOf, reasonOf, releaseOf, replyOf, scriptCallOf, since, wholeOf } from './codec.js'
import { Pace, placed, withCursor } from './feeds.js'

/** The engine for a URL. STORE_OPTION_INVALID. */
export function redisEngine (options: EngineOptions): Engine {
  return new RedisEngine(settle(options))
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
  readonly #pending: PendingCalls
  readonly #known: KnownNodes = new Map()
  #connection: Connection | undefined
  #heartbeat: Heartbeat | undefined
  #connecting: Promise<void> | undefined
  /** Calls made before there is a connection. */
  #queue = new Queue<RedisCall>()
  readonly #calls = new CallTable()
  readonly #gets = new FastGet({
    answered: (call, reply) => { this.#answer(call, reply) },
    failed: (call, error) => { this.#failed(this.#connection!, call, error) },
    timed: collection => { this.#heartbeat!.time(collection) },
    repeat: call => { this.#submit(this.#connection!, call) }
  })

  readonly #unreference = (): void => { if (this.#pending.pending === 0) this.#setReferenced(false) }
  readonly #pace = new Pace()
  readonly #closing = new Closing()

  constructor ({ maxValueBytes, prefix, life, isCluster, target }: Settled) {
    this.maxValueBytes = maxValueBytes
    this.#target = target
    this.#life = life
    this.#prefix = prefix
    this.#names = new KeyNames(prefix, isCluster)
    this.#pending = new PendingCalls({
      send: (request, id) => { this.#send(request, id) },
      cancel: (id, isAbandoned) => { this.#cancel(id, isAbandoned) }
    })
  }

  call (request: Request): Promise<Reply> {
    return this.#pending.call(request)
  }

  post (request: Request): void {
    this.#pending.post(request)
  }

  /** Takes at most `connectTimeout`. Rejects if unconfirmed calls may not have been delivered. */
  close (): Promise<void> {
    return this.#closing.run(this.#target.connectTimeout, () => this.#deliver(), () => {
      const code = this.#connection === undefined ? 'STORE_UNREACHABLE' : 'STORE_DISCONNECTED'
      if (this.#calls.unconfirmed > 0) this.#closing.lose(code, 'no reply within connectTimeout')
    }, () => {
      const connection = this.#connection
      this.#heartbeat?.stop()
      this.#setReferenced(false) // the server may never close the connection
      this.#connection = undefined
      this.#gets.clear()
      connection?.end()
      this.#pending.fail('STORE_CLOSED')
    })
  }

  /** Delivers what was called before `close`, and releases all locks. */
  async #deliver (): Promise<void> {
    this.onclose?.()
    await this.#connecting
    await this.#heartbeat?.leave().catch(() => {}) // if it fails, the connection is lost anyway
    await this.#connection?.settled()
  }

  #send (asked: Request, id: number): void {
    if (this.#closing.state !== 'open') throw new StoreError('STORE_CLOSED')
    const request = placed(refuseDurable(asked, release => { this.post(release) }))
    if (this.#calls.isFull(request, this.#pending.pending)) throw new StoreError('STORE_OVERLOADED')
    const call = new RedisCall(request, id, request.op === 'acquire' ? request.token ?? randomUUID() : undefined)
    this.#calls.add(call)
    call.pause = this.#pace.pass(request, () => { this.#begin(call) })
  }

  #begin (call: RedisCall): void {
    call.pause = undefined
    if (call.id !== 0 && this.#calls.withId(call.id) !== call) return // it was settled during the pause
    if (this.#connection !== undefined) return this.#ask(this.#connection, call)
    this.#queue.push(call)
    this.#connecting ??= this.#connect()
  }

  #ask (connection: Connection, call: RedisCall): void {
    const { request, request: { op, collection, token }, id } = call
    if (token !== undefined && endsLock(request)) this.#heartbeat!.release(collection, token)
    call.state = 'sent'
    if (id !== 0) this.#setReferenced(true)
    const isPlain = op === 'get' && token === undefined && !this.#heartbeat!.isTimed(collection)
    if (isPlain) return this.#gets.read(connection, this.#names.base(collection), call)
    this.#gets.repeatBefore(request)
    this.#submit(connection, call)
  }

  #submit (connection: Connection, call: RedisCall): void {
    this.#calls.number(call)
    const answered = (answer: unknown): void => {
      if (connection !== this.#connection) return
      const text = this.#heartbeat!.unwrap(call.request.collection, wholeOf(answer as string | string[]))
      const waits = text.charCodeAt(0) === 81
      this.#pace.note(call.request, waits)
      if (waits) this.#wait(connection, call, Number(text.slice(1)))
      else if (text === 'A') this.#submit(connection, call) // what the process calls without the lock waits behind it
      else this.#answer(call, withCursor(call.request, since(call.at, replyOf(text))))
    }
    const failed = (error: Error): void => { this.#failed(connection, call, error) }
    const { request, request: { op, collection }, token } = call
    if (isIntrospection(op)) {
      introspect(connection, this.#heartbeat!, this.#names, request, this.maxValueBytes).then(answered, failed)
      return
    }
    const base = this.#names.base(collection)
    const caller = { channel: connection.channel, number: call.signedNumber, life: this.#life }
    call.part = connection.submit(base, scriptCallOf(request, caller, token), answered, error => {
      if (!request.release || codeOf(error) !== 'STORE_FULL') return failed(error)
      // The value was rejected, and with it the release of the lock.
      const fail = (): void => { failed(error) }
      connection.run(base, releaseOf(request, caller)).then(fail, fail)
    })
  }

  /** The call is in a queue on the server. Its reply is pushed when its turn comes, and may have arrived already. */
  #wait (connection: Connection, call: RedisCall, expiresIn: number): void {
    if (call.state === 'settled') return
    call.part = undefined
    if (call.id === 0) {
      this.#heartbeat!.keepAlive(call.request.collection)
      return this.#settled(call)
    }
    if (call.early !== undefined) return this.#take(connection, call, call.early)
    call.state = 'waiting'
    this.#heartbeat!.wait(call.request, call.number, call.nameFor(connection.channel), expiresIn)
  }

  #pushed (number: number, answer: string): void {
    const connection = this.#connection
    const call = this.#calls.withNumber(number)
    if (call === undefined || connection === undefined) return
    if (call.state === 'waiting') this.#take(connection, call, answer)
    else call.early = answer
  }

  #take (connection: Connection, call: RedisCall, answer: string): void {
    const { collection } = call.request
    this.#heartbeat!.answered(collection, call.number)
    call.state = 'sent'
    readPushed(connection, this.#names.base(collection), answer, (reply, why) => {
      if (connection === this.#connection) this.#answer(call, reply, why)
    }, error => { this.#failed(connection, call, error) })
  }

  #answer (call: RedisCall, reply: Reply, why?: string): void {
    if (call.state === 'settled') return
    const { request, id, token } = call
    if (reply.code === undefined) {
      if (request.op === 'acquire') reply.token = token
      this.#heartbeat!.succeeded(request, token)
    } else if (reply.code === 'STORE_DISCONNECTED' && !isPoll(request)) {
      this.#heartbeat!.disown(request, call.nameFor(this.#connection!.channel), call.lockToken)
    }
    this.#settled(call)
    if (id === 0) return
    this.#pending.settle(id, reply, why)
    if (this.#pending.pending === 0) process.nextTick(this.#unreference) // after the next call of the caller
  }

  #settled (call: RedisCall): void {
    call.state = 'settled'
    call.part = undefined
    clearTimeout(call.pause)
    this.#calls.delete(call)
  }

  #failed (connection: Connection, call: RedisCall, error: Error): void {
    if (connection !== this.#connection) return // all of its calls have failed
    const code = codeOf(error)
    if (call.id === 0 && code === 'STORE_DISCONNECTED') this.#closing.lose(code, error.message)
    this.#answer(call, new Reply(code), code === 'STORE_FULL' ? undefined : reasonOf(error))
    connection.doubt(error)
  }

  /** Asks the server to end a call early. The request arrives after the call, if that was sent. */
  #cancel (id: number, isAbandoned: boolean): void {
    const connection = this.#connection
    const call = this.#calls.withId(id)
    if (call === undefined) return
    const isUnsent = call.pause !== undefined || this.#queue.delete(call)
    if (isUnsent || (call.part !== undefined && connection?.withdraw(call.part) === true)) {
      return this.#answer(call, new Reply('STORE_ABORTED'))
    }
    if (connection === undefined) return
    const { request, request: { collection, key }, token } = call
    this.#gets.repeatBefore(request)
    const who = call.nameFor(connection.channel)
    const cancel = scriptCall('cancel', { who, key, token: isAbandoned ? token ?? '' : '' })
    connection.run<number>(this.#names.base(collection), cancel).then(isDone => {
      if (isDone !== 1 || connection !== this.#connection) return
      this.#heartbeat!.answered(collection, call.number)
      this.#answer(call, new Reply('STORE_ABORTED'))
    }, (error: Error) => { if (connection === this.#connection) connection.doubt(error) })
  }

  async #connect (): Promise<void> {
    let connection: Connection | undefined
    try {
      const { Connection } = await import('./connection.js') // with all scripts: most processes do not need them
      connection = await Connection.open(this.#target, this.#known, {
        prefix: this.#prefix,
        life: this.#life,
        handler: {
          answer: (number, answer) => { this.#pushed(number, answer) },
          lost: token => {
            this.#heartbeat?.lost(token)
            this.#pending.lost(token)
          },
          marked: mark => { this.#heartbeat?.marked(mark) },
          nodeLost: () => { this.#heartbeat?.check() },
          closed: error => {
            if (connection === undefined || connection !== this.#connection) return
            this.#lose('STORE_DISCONNECTED', detailOf(error))
          }
        }
      })
    } catch (error) {
      this.#connecting = undefined // before callers are notified: they may call the store again immediately
      this.#lose('STORE_UNREACHABLE', detailOf(error as Error))
      return
    }
    this.#connecting = undefined
    if (this.#closing.state === 'ended') connection.end()
    else if (connection.isEnded) this.#lose('STORE_DISCONNECTED', 'the connection was closed')
    else this.#start(connection)
  }

  #start (connection: Connection): void {
    this.#connection = connection
    this.#heartbeat = new Heartbeat(connection, this.#life, this.#names, {
      lost: token => { this.#pending.lost(token) },
      unanswered: (number, error) => {
        const call = this.#calls.withNumber(number)
        if (call === undefined) return
        this.#heartbeat!.answered(call.request.collection, number)
        // Happens if this process was stopped for too long. The connection is fine.
        this.#answer(call, new Reply('STORE_DISCONNECTED'), detailOf(error))
      }
    })
    this.#setReferenced(this.#pending.pending > 0)
    for (let call = this.#queue.shift(); call !== undefined; call = this.#queue.shift()) this.#ask(connection, call)
  }

  #lose (code: 'STORE_UNREACHABLE' | 'STORE_DISCONNECTED', why: string): void {
    if (this.#closing.state === 'ended') return
    if (this.#calls.unconfirmed > 0) this.#closing.lose(code, why)
    this.#heartbeat?.stop()
    this.#connection = undefined
    this.#heartbeat = undefined
    this.#queue = new Queue()
    this.#calls.clear()
    this.#gets.clear()
    this.#pending.fail(code, why)
    this.onerror?.(new StoreError(code, why))
  }

  #setReferenced (isReferenced: boolean): void {
    this.#connection?.setReferenced(isReferenced)
    this.#heartbeat?.setReferenced(isReferenced)
  }
}
