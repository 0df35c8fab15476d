// The rules of the keyspace in the simplest form: no lists, no heap, every key checked every time. It computes the
// reply of each call and the resulting state.
import assert from 'node:assert/strict'
import type { Reply, Request } from '../../src/core/engine.js'
import type { StoreErrorCode } from '../../src/core/errors.js'

export interface Answer extends Partial<Pick<Reply, 'code' | 'text' | 'version' | 'expiresIn' | 'number' | 'fence'>> {
  caller: string
  id: number
}

interface Value { text: string, version: number, used: number, order: number, end: number | undefined }
interface Wait { request: Request, caller: string, id: number }
interface Held {
  fence: number
  caller: string
  detached: boolean
  lease: number | undefined
  end: number
  queue: Wait[]
}

/** A clear is in the queue of each locked key that it covers. */
const isClear = ({ request }: Wait): boolean => request.op === 'clear'

export class Model {
  now = 0
  values = new Map<string, Value>()
  locks = new Map<string, Held>()
  bounds = { idle: 0, maxKeys: 0, maxBytes: 0, evict: true }
  changes = 0
  grants = 0
  expired = 0
  evicted = 0
  reads = 0
  writes = 0
  answers: Answer[] = []
  lost: number[] = []
  #order = 0

  constructor (readonly maxValueBytes: number, readonly maxWaiters: number) {}

  get bytes (): number {
    let sum = 0
    for (const [key, { text }] of this.values) sum += key.length + text.length
    return sum
  }

  get waiters (): number {
    const all = [...this.locks.values()].flatMap(({ queue }) => queue)
    return all.filter(wait => !isClear(wait)).length + this.#clears.size
  }

  get #clears (): Set<Wait> {
    return new Set([...this.locks.values()].flatMap(({ queue }) => queue.filter(isClear)))
  }

  /** A call; `fence` is that of its lock. */
  ask (caller: string, id: number, request: Request, fence: number | undefined): void {
    const lock = this.locks.get(request.key)
    const wait = { request, caller, id }
    if (request.op === 'configure') {
      Object.assign(this.bounds, JSON.parse(request.text!))
      this.#answer(wait, {})
    } else if (request.op === 'size') this.#answer(wait, { number: this.values.size })
    else if (request.op === 'clear') this.#clear(wait)
    else if (fence !== undefined) this.#withFence(wait, fence)
    else if (lock === undefined) this.#turn(wait)
    else if (request.op === 'break') {
      const isMeant = request.number === undefined || request.number === lock.fence
      if (isMeant) this.#end(request.key, true)
      this.#answer(wait, { number: isMeant ? 1 : 0 })
    } else if (request.nowait) this.#answer(wait, { code: 'STORE_LOCKED' })
    else if (lock.queue.filter(wait => !isClear(wait)).length >= this.maxWaiters) {
      this.#answer(wait, { code: 'STORE_QUEUE_FULL' })
    } else lock.queue.push(wait)
  }

  cancel (caller: string, id: number): void {
    let cancelled: Wait | undefined
    for (const lock of this.locks.values()) {
      cancelled ??= lock.queue.find(wait => wait.caller === caller && wait.id === id)
      lock.queue = lock.queue.filter(wait => wait !== cancelled)
    }
    if (cancelled !== undefined) this.#answer(cancelled, { code: 'STORE_ABORTED' })
  }

  /** Waiting calls are removed, except for unconfirmed ones (id 0). */
  leave (caller: string): void {
    for (const lock of this.locks.values()) {
      lock.queue = lock.queue.filter(wait => wait.caller !== caller || wait.id === 0)
    }
    const held = [...this.locks]
      .filter(([, lock]) => lock.caller === caller && !lock.detached)
      .sort(([, a], [, b]) => a.fence - b.fence)
    for (const [key] of held) this.#end(key, false)
  }

  /**
   * Ends everything that has expired. Leases that end at the same time may end in any order: `lost` is the observed
   * order.
   */
  sweep (lost: number[]): void {
    for (;;) {
      const lock = [...this.locks].filter(([, { lease, end }]) => lease !== undefined && this.now > end)
        .sort(([, a], [, b]) => a.end - b.end || lost.indexOf(a.fence) - lost.indexOf(b.fence))[0]
      const value = [...this.values]
        .filter(([key, { end }]) => end !== undefined && !this.locks.has(key) && this.now > end)
        .sort(([, a], [, b]) => a.end! - b.end!)[0]
      if (value !== undefined && !(lock !== undefined && lock[1].end < value[1].end!)) this.#expire(value[0])
      else if (lock !== undefined) this.#end(lock[0], true)
      else break
    }
    for (const key of this.values.keys()) this.#live(key)
    while (this.bounds.evict && this.#isOver(0, 0) && this.#evictOne()) { /* until it fits */ }
  }

  /** The version of each key with a value. */
  get present (): Array<[string, number]> {
    return [...this.values.keys()]
      .filter(key => this.#live(key) !== undefined)
      .sort()
      .map(key => [key, this.values.get(key)!.version])
  }

  #withFence (wait: Wait, fence: number): void {
    const { request } = wait
    const { op, key } = request
    const lock = this.locks.get(key)
    if (lock?.fence !== fence) return this.#answer(wait, { code: 'STORE_LOCK_LOST' })
    if (op === 'acquire') return this.#answer(wait, { code: 'STORE_LOCKED' })
    if (op === 'renew') {
      this.#lease(lock, request.lease ?? lock.lease)
      this.#answer(wait, { expiresIn: lock.lease })
    } else if (op === 'release') this.#answer(wait, {})
    else this.#turn(wait)
    if (request.release || op === 'release') this.#end(key, lock.caller !== wait.caller)
  }

  #turn (wait: Wait): void {
    const { request } = wait
    const value = this.#live(request.key)
    switch (request.op) {
      case 'get':
      case 'entry':
      case 'peek':
      case 'head': return this.#answer(wait, this.#read(request))
      case 'set':
      case 'increment': return this.#answer(wait, this.#write(request))
      case 'del': {
        const refusal = this.#refusal(value, request)
        if (refusal !== undefined) return this.#answer(wait, { code: refusal })
        if (value === undefined) return this.#answer(wait, { number: 0 })
        this.#delete(request.key)
        return this.#answer(wait, { number: 1 })
      }
      case 'touch': {
        const refusal = this.#refusal(value, request)
        if (refusal !== undefined) return this.#answer(wait, { code: refusal })
        if (value === undefined) return this.#answer(wait, { number: 0 })
        this.#use(value)
        if (request.ttl !== undefined) value.end = this.now + request.ttl
        return this.#answer(wait, { number: 1 })
      }
      case 'acquire': {
        const lock: Held = this.locks.get(request.key) ?? {
          fence: 0, caller: '', detached: false, lease: undefined, end: 0, queue: []
        }
        this.locks.set(request.key, lock)
        Object.assign(lock, { fence: ++this.grants, caller: wait.caller, detached: request.detached })
        this.#lease(lock, request.lease)
        return this.#answer(wait, { ...this.#read(request), fence: lock.fence, expiresIn: lock.lease })
      }
      default: return this.#answer(wait, { number: 0 })
    }
  }

  #read ({ op, key }: Request): Partial<Reply> {
    this.reads++
    const value = this.#live(key)
    if (value === undefined) return {}
    if (op !== 'peek') this.#use(value)
    const { text, version } = value
    const expiresIn = this.#expiresIn(value)
    return op === 'get' ? { text } : op === 'head' ? { version, expiresIn } : { text, version, expiresIn }
  }

  #write (request: Request): Partial<Reply> {
    const { op, key, ttl, token } = request
    const value = this.#live(key)
    const refusal = this.#refusal(value, request)
    if (refusal !== undefined) return { code: refusal }
    const reply: { number?: number } = {}
    let text = request.text!
    let life = op === 'set' ? ttl : undefined
    if (op === 'increment') {
      const { number, down, limit, backoff } = request
      if (down && value === undefined) return { number: 0 }
      const old = JSON.parse(value?.text ?? '0') as unknown
      if (typeof old !== 'number' || !Number.isFinite(old + number!)) return { code: 'STORE_NOT_A_NUMBER' }
      const sum = reply.number = down && old + number! < 0 ? Math.min(old, 0) : old + number!
      text = String(sum)
      if (ttl !== undefined && limit !== undefined && sum > limit) {
        life = backoff ? Math.min(ttl * 2 ** (sum - limit - 1), 2 ** 50) : ttl
      } else if (value === undefined) life = ttl
    }
    if (text.length > this.maxValueBytes) return { code: 'STORE_VALUE_TOO_LARGE' }
    if (value !== undefined) this.#use(value)
    if (!this.#makeRoom(key, text)) return { code: 'STORE_FULL' }
    const written = value ?? { text, version: 0, used: this.now, order: ++this.#order, end: undefined }
    written.text = text
    written.version = ++this.changes
    if (op === 'set' && ttl === undefined && token === undefined) written.end = undefined
    if (life !== undefined) written.end = this.now + Math.ceil(life)
    this.values.set(key, written)
    this.writes++
    return {
      ...reply,
      version: written.version,
      ...(op === 'set' ? { number: value === undefined ? 1 : undefined } : { expiresIn: this.#expiresIn(written) })
    }
  }

  #refusal (value: Value | undefined, { ifVersion, ifAbsent, ifPresent }: Request): StoreErrorCode | undefined {
    if (ifAbsent && value !== undefined) return 'STORE_EXISTS'
    if (ifPresent && value === undefined) return 'STORE_NOT_FOUND'
    return ifVersion === undefined || ifVersion === (value?.version ?? 0) ? undefined : 'STORE_VERSION_MISMATCH'
  }

  #makeRoom (key: string, text: string): boolean {
    const { evict } = this.bounds
    for (const other of this.values.keys()) if (other !== key) this.#live(other)
    const old = this.values.get(key)
    const keys = old === undefined ? 1 : 0
    const size = key.length + text.length
    const more = old === undefined ? size : text.length - old.text.length
    if (!this.#isOver(keys, more) || (keys === 0 && more <= 0)) return true
    if (!evict || !this.#canFit(key, size)) return false
    while (this.#isOver(keys, more)) assert.ok(this.#evictOne(key))
    return true
  }

  /** Whether a key of that size fits if all other unlocked keys are evicted. */
  #canFit (key: string, size: number): boolean {
    const { maxKeys, maxBytes } = this.bounds
    const staying = [...this.values].filter(([other]) => other !== key && this.locks.has(other))
    const bytes = staying.reduce((sum, [other, { text }]) => sum + other.length + text.length, size)
    return (maxKeys === 0 || staying.length < maxKeys) && (maxBytes === 0 || bytes <= maxBytes)
  }

  #isOver (keys: number, bytes: number): boolean {
    const { maxKeys, maxBytes } = this.bounds
    return (maxKeys > 0 && this.values.size + keys > maxKeys) || (maxBytes > 0 && this.bytes + bytes > maxBytes)
  }

  /** Of two entries used at the same time, the one without a ttl is first. */
  #evictOne (spared?: string): boolean {
    const next = [...this.values].filter(([key]) => key !== spared && !this.locks.has(key)).sort(([, a], [, b]) =>
      a.used - b.used || Number(a.end !== undefined) - Number(b.end !== undefined) || a.order - b.order)[0]
    if (next === undefined) return false
    if (this.#live(next[0]) === undefined) return true
    this.values.delete(next[0])
    this.evicted++
    return true
  }

  #clear (wait: Wait): void {
    const { nowait, key: prefix } = wait.request
    if (this.#clears.size >= this.maxWaiters) return this.#answer(wait, { code: 'STORE_QUEUE_FULL' })
    this.changes++
    for (const key of this.values.keys()) {
      if (key.startsWith(prefix) && !this.locks.has(key)) this.values.delete(key)
    }
    const locks = [...this.locks].filter(([key]) => key.startsWith(prefix)).map(([, lock]) => lock)
    if (nowait || locks.length === 0) return this.#answer(wait, locks.length > 0 ? { code: 'STORE_LOCKED' } : {})
    for (const { queue } of locks) queue.push(wait)
  }

  #end (key: string, isLost: boolean): void {
    const lock = this.locks.get(key)!
    if (isLost) this.lost.push(lock.fence)
    const fence = lock.fence = -1
    if (this.values.has(key) && this.now > (this.values.get(key)!.end ?? Infinity)) this.#expire(key)
    while (lock.fence === fence) {
      const wait = lock.queue.shift()
      if (wait !== undefined && isClear(wait)) {
        if (this.values.has(key)) this.#delete(key)
        if (!this.#clears.has(wait)) this.#answer(wait, {})
      } else if (wait !== undefined) {
        this.#turn(wait)
      } else {
        this.locks.delete(key)
        const value = this.values.get(key)
        if (value !== undefined) this.#use(value)
        return
      }
    }
  }

  #delete (key: string): void {
    this.values.delete(key)
    this.changes++
    this.writes++
  }

  #lease (lock: Held, lease: number | undefined): void {
    lock.lease = lease
    lock.end = this.now + (lease ?? 0)
  }

  #live (key: string): Value | undefined {
    const value = this.values.get(key)
    if (value === undefined || this.locks.has(key)) return value
    const { idle } = this.bounds
    if (value.end === undefined ? idle === 0 || this.now - value.used <= idle : this.now <= value.end) return value
    this.#expire(key)
    return undefined
  }

  #expire (key: string): void {
    this.values.delete(key)
    this.expired++
  }

  #expiresIn ({ used, end }: Value): number | undefined {
    const { idle } = this.bounds
    return end !== undefined ? Math.max(0, end - this.now) : idle > 0 ? idle - (this.now - used) : undefined
  }

  #use (value: Value): void {
    value.used = this.now
    value.order = ++this.#order
  }

  #answer ({ caller, id }: Wait, reply: Partial<Reply>): void {
    if (id !== 0) this.answers.push({ caller, id, ...reply })
  }
}
