// Attack: random calls of several callers, with a mock clock, on the keyspace and on a simple model of it.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Request, type Op, type Reply } from '../../src/core/engine.js'
import type { Bytes } from '../../src/core/value.js'
import { Budget } from '../../src/engines/memory/agenda.js'
import { Keyspace } from '../../src/engines/memory/keyspace.js'
import { Caller } from '../../src/engines/memory/lock.js'
import { dispatch } from '../../src/engines/memory/dispatch.js'
import type { Attack } from './attack.js'
import { Model, type Answer } from './model.js'
import { kept } from '../support/kept-reply.js'

const MAX_VALUE_BYTES = 40
const MAX_WAITERS = 3
const CALLERS = 3
const OPERATIONS: Op[] = [
  'get', 'entry', 'peek', 'head', 'set', 'del', 'touch', 'increment', 'acquire', 'release', 'renew', 'break', 'size',
  'clear'
]

// Times are even, leases odd: no key expires at the same time as a lease, so the order of events is defined.
const even = fc.constantFrom(2, 10, 40, 200)
const odd = fc.constantFrom(5, 31, 101)

/** A call; `through` and `version` select among those seen so far. */
const call = fc.record({
  do: fc.constant('call' as const),
  caller: fc.nat(CALLERS - 1),
  op: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom<Op>('acquire', 'set', 'get', 'release') },
    { weight: 2, arbitrary: fc.constantFrom(...OPERATIONS) }
  ),
  key: fc.constantFrom('a', 'b', 'c', '__proto__', ''),
  text: fc.constantFrom(
    '1', '2.5', '"x"', 'null', '[1]', '-3e2', `"${'x'.repeat(20)}"`, `"${'x'.repeat(MAX_VALUE_BYTES)}"`
  ),
  number: fc.constantFrom(1, -2, 0.5, 1e308, -1e308),
  limit: fc.option(fc.constantFrom(-1, 0, 1, 3), { nil: undefined, freq: 2 }),
  backoff: fc.boolean(),
  down: fc.boolean(),
  ttl: fc.option(even, { nil: undefined, freq: 2 }),
  lease: fc.option(odd, { nil: undefined, freq: 2 }),
  version: fc.option(fc.nat(3), { nil: undefined, freq: 6 }),
  ifAbsent: fc.boolean(),
  ifPresent: fc.boolean(),
  through: fc.option(fc.nat(5), { nil: undefined, freq: 2 }),
  release: fc.boolean(),
  detached: fc.boolean(),
  nowait: fc.boolean(),
  posted: fc.boolean()
})

const step = fc.oneof(
  { weight: 20, arbitrary: call },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('advance' as const), by: even }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), which: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), caller: fc.nat(CALLERS - 1) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('configure' as const),
      idle: fc.constantFrom(0, 20, 100),
      maxKeys: fc.constantFrom(0, 0, 1, 2, 3),
      maxBytes: fc.constantFrom(0, 0, 30, 60),
      evict: fc.boolean()
    })
  }
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

class User extends Caller {
  readonly waits: number[] = []
  constructor (readonly label: string, readonly seen: { answers: Answer[], lost: string[], tokens: string[] }) {
    super()
  }

  answer (id: number, reply: Reply<Bytes>): void {
    const { token, grant, more, ...rest } = kept(reply)
    if (token !== undefined) this.seen.tokens.push(token)
    if (id !== 0) this.seen.answers.push({ caller: this.label, id, ...rest })
  }

  lost (token: string): void { this.seen.lost.push(token) }
}

/** Number of keys that exist only in the keyspace: enough for clears to run in slices. */
const CROWD = 1100
const CROWD_PREFIX = 'crowd '

/** A version that no key has. */
const UNKNOWN_VERSION = 2 ** 40

/** The keyspace and its model. */
class Pair {
  #time = 0
  readonly keyspace = new Keyspace({ maxValueBytes: MAX_VALUE_BYTES, maxWaiters: MAX_WAITERS, time: () => this.#time })
  readonly model = new Model(MAX_VALUE_BYTES, MAX_WAITERS)
  readonly seen: User['seen'] = { answers: [], lost: [], tokens: [] }
  readonly fences = new Map<string, number>()
  readonly epoch = this.keyspace.values.versionOf({ version: 0 } as never)
  /** The number of writes that the model does not know. */
  #ahead = 0
  /** Maps versions of the model to those of the keyspace, which also counts removals without a call. */
  readonly #versions = new Map([[0, 0]])
  #clears = new Set<number>()
  users = Array.from({ length: CALLERS }, (_, i) => new User(`user ${i}`, this.seen))
  #ids = 0
  calls: Array<{ user: User, id: number }> = []

  constructor (readonly isCrowded: boolean) {
    if (!isCrowded) return
    for (; this.#ahead < CROWD; this.#ahead++) {
      dispatch(
        this.keyspace, Object.assign(new Request('set', 'c', `${CROWD_PREFIX}${this.#ahead}`), { text: '1' }),
        this.users[0]!, 0
      )
    }
  }

  take (step: Step): void {
    switch (step.do) {
      case 'call': return this.#call(step)
      case 'advance': return this.#advance(step.by)
      case 'cancel': {
        const call = this.calls.at(-1 - step.which)
        if (call === undefined) return
        if (this.isCrowded && this.#clears.has(call.id)) return // answered later than in the model
        this.keyspace.cancel(call.user, call.id)
        return this.model.cancel(call.user.label, call.id)
      }
      case 'leave': {
        const user = this.users[step.caller]!
        this.users[step.caller] = new User(`later user ${++this.#ids}`, this.seen)
        this.keyspace.leave(user)
        this.model.leave(user.label)
        assert.equal(user.holding.size + user.waiting.size, 0)
        if (!this.isCrowded) return
        this.#learn()
        this.#answers = this.#answers.filter(({ caller, id }) => caller !== user.label || !this.#clears.has(id))
        return
      }
      case 'configure': {
        const { do: _, ...bounds } = step
        if (this.isCrowded) return
        const request = new Request('configure', 'c', '')
        request.text = JSON.stringify(bounds)
        this.#ask(this.users[0]!, request, 0, undefined)
        this.sweep()
      }
    }
  }

  #call ({ caller, op, key, text, number, ttl, lease, version, through, ...fields }: Step & { do: 'call' }): void {
    const request = new Request(op, 'c', key)
    const { ifAbsent, ifPresent, release, detached, nowait, limit, backoff, down } = fields
    Object.assign(request, {
      text,
      number,
      ttl,
      lease,
      ifAbsent: ifAbsent && op === 'set',
      ifPresent: ifPresent && !ifAbsent,
      nowait,
      limit,
      backoff,
      down
    })
    request.detached = detached && lease !== undefined
    const past = version === undefined || version === 0 ? version : Math.max(1, this.model.changes - version + 1)
    const modelVersion = past !== undefined && past > this.model.changes ? UNKNOWN_VERSION : past
    if (modelVersion === 0) request.ifVersion = 0
    else if (modelVersion !== undefined) {
      request.ifVersion = this.epoch + (this.#versions.get(modelVersion) ?? UNKNOWN_VERSION)
    }
    let fence: number | undefined
    const held = this.model.locks.get(key)?.fence
    if (op === 'acquire' ? through !== undefined && through > 1 && held !== undefined : through !== undefined || op === 'release' || op === 'renew') {
      fence = through === undefined || through > 1 ? held ?? this.model.grants : this.model.grants - through
      request.token = [...this.fences].find(([, known]) => known === fence)?.[0] ?? 'no such token'
      request.release = release
    }
    // Any lock, or the one with this fence.
    if (op === 'break') request.number = number === 1 ? undefined : this.epoch + (held ?? 0) + Number(number < 0)
    if (this.isCrowded && (op === 'size' || (op === 'clear' && key === ''))) return
    if (op === 'size' || op === 'clear') this.sweep()
    // The model knows only the clears that wait for locks.
    if (op === 'clear' && this.keyspace.collection('c').clears.size >= MAX_WAITERS) this.#sweepAll()
    this.#ask(this.users[caller]!, request, fields.posted && op !== 'acquire' ? 0 : ++this.#ids, fence, modelVersion)
  }

  #ask (user: User, request: Request, id: number, fence: number | undefined, modelVersion?: number): void {
    if (id !== 0) this.calls.push({ user, id })
    this.keyspace.clock.tick()
    dispatch(this.keyspace, request, user, id)
    const own: Request = Object.assign(new Request(request.op, 'c', request.key), request)
    own.ifVersion = modelVersion
    if (own.op === 'break' && own.number !== undefined) own.number -= this.epoch
    if (own.op === 'clear') this.#clears.add(id)
    this.model.ask(user.label, id, own, fence)
  }

  #advance (ms: number): void {
    this.#time += ms
    this.model.now += ms
    this.keyspace.clock.tick()
    // Expired keys are invisible, swept or not, but take space until then. So with bounds, the sweep runs first.
    const { maxKeys, maxBytes } = this.model.bounds
    if (ms > 2 || maxKeys + maxBytes > 0) this.sweep()
  }

  /** Sweeps completely; with many keys, one slice. */
  sweep (): void {
    if (this.isCrowded) this.#slice()
    else this.#sweepAll()
    this.#learn()
    this.model.sweep(this.seen.lost.map(token => this.fences.get(token)!))
  }

  #sweepAll (): void {
    while (this.keyspace.sweep(new Budget())) { /* to the end */ }
  }

  /** Sweeps one slice, the shortest possible. */
  #slice (): void {
    let looks = 0
    this.keyspace.sweep(new Budget(() => looks++ * 1000))
  }

  #learn (): void {
    for (const { fence } of this.seen.answers) {
      if (fence !== undefined) this.fences.set(this.seen.tokens.shift()!, fence - this.epoch)
    }
    this.#answers.push(...this.seen.answers.splice(0))
  }

  #answers: Answer[] = []

  /** Both must return the same replies and have the same contents. */
  compare (): void {
    this.#learn()
    const plain = (answers: Answer[], epoch: number): object[] => answers
      .sort((a, b) => a.id - b.id)
      .map(({ version, fence, ...rest }) => JSON.parse(JSON.stringify({
        ...rest,
        hasVersion: version !== undefined,
        fence: fence === undefined ? undefined : fence - epoch
      })) as object)
    const isDue = ({ id }: Answer): boolean => !this.isCrowded || !this.#clears.has(id)
    const isLate = (answer: Answer): boolean => !isDue(answer)
    const answers = this.#answers.filter(isDue)
    const expected = this.model.answers.filter(isDue)
    assert.deepEqual(plain(answers, this.epoch), plain(expected, 0), 'answers')
    for (const [i, { version }] of answers.entries()) {
      if (version !== undefined) this.#compareVersions(version - this.epoch, expected[i]!.version!)
    }
    this.#answers = this.#answers.filter(isLate)
    this.model.answers = this.model.answers.filter(isLate)
    assert.deepEqual(
      this.seen.lost.splice(0).map(token => this.fences.get(token)), this.model.lost.splice(0), 'lost locks'
    )
    const { keyspace, model } = this
    const collection = keyspace.collection('c')
    const { locks, waiters, reads, writes, evicted } = collection
    const values = collection.page(0, 2 * CROWD).values.filter(({ key }) => !key.startsWith(CROWD_PREFIX))
    const present = values.sort((a, b) => a.key < b.key ? -1 : 1)
    assert.deepEqual(present.map(({ key }) => key), model.present.map(([key]) => key), 'keys')
    for (const [i, { version }] of present.entries()) this.#compareVersions(version, model.present[i]![1])
    assert.deepEqual(
      {
        locks: locks.size,
        waiters: this.isCrowded ? model.waiters : waiters,
        reads,
        writes: writes - this.#ahead,
        evicted
      },
      {
        locks: model.locks.size,
        waiters: model.waiters,
        reads: model.reads,
        writes: model.writes,
        evicted: model.evicted
      }
    )
  }

  /** Versions must be equal whenever those of the model are, and in the same order. */
  #compareVersions (version: number, expected: number): void {
    const known = this.#versions.get(expected)
    if (known !== undefined) {
      assert.equal(version, known, 'versions differ')
      return
    }
    for (const [other, seen] of this.#versions) assert.equal(seen < version, other < expected, 'the order differs')
    this.#versions.set(expected, version)
  }

  /** Disconnects all callers and lets all leases and ttls expire: nothing may be left. */
  end (): void {
    for (let caller = 0; caller < CALLERS; caller++) this.take({ do: 'leave', caller })
    this.#advance(1000) // ends leases of disconnected callers, and then
    this.#advance(1000) // executes unconfirmed calls on those keys
    this.compare()
    if (this.isCrowded) {
      this.#sweepAll()
      dispatch(this.keyspace, new Request('clear', 'c', CROWD_PREFIX), this.users[0]!, 0)
      this.#sweepAll()
      this.#learn()
      const codes = (answers: Answer[]): unknown[] => answers.map(({ id, code }) => [id, code]).sort()
      assert.deepEqual(
        codes(this.#answers),
        codes(this.model.answers.filter(({ caller }) => this.#answers.some(answer => answer.caller === caller))),
        'clears'
      )
    }
    const { expired, bytes, locks, nextEnd } = this.keyspace.collection('c')
    assert.equal(expired, this.model.expired)
    assert.equal(bytes, this.model.bytes)
    assert.equal(locks.size, 0, 'a lock is left')
    const isLasting = [...this.model.values.values()].some(({ end }) => end !== undefined)
    assert.equal(nextEnd < Infinity, isLasting, 'an expiry is left')
  }
}

export const keyspace: Attack = async ({ seed, rounds, secondsLeft }) => {
  let steps = 0
  const property = (isCrowded: boolean): fc.IPropertyWithHooks<[Step[]]> =>
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), all => {
      steps += all.length
      const pair = new Pair(isCrowded)
      for (const one of all) {
        pair.take(one)
        pair.compare()
        if (isCrowded && one.do === 'call' && one.nowait) pair.sweep()
      }
      pair.end()
    })
  let scenarios = 0
  do {
    fc.assert(property(false), { seed: seed + scenarios, numRuns: 100 })
    fc.assert(property(true), { seed: seed + scenarios, numRuns: 10 })
    scenarios += 110
  } while (scenarios < rounds && secondsLeft() > 0)
  return { scenarios, steps }
}
