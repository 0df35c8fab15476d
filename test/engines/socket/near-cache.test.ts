// Explores the protocol of near caches with the real cache and keyspace: two clients and one key, in every order of
// calls, deliveries in both directions, passing time and a lost connection. A stopped client is one without deliveries.
// The history of each run must be linearizable, and faults that are introduced on purpose must be found.
import t from 'tap'
import { Reply, Request, type Op } from '../../../src/core/engine.js'
import type { Bytes } from '../../../src/core/value.js'
import { Budget } from '../../../src/engines/memory/agenda.js'
import { dispatch } from '../../../src/engines/memory/dispatch.js'
import { Keyspace } from '../../../src/engines/memory/keyspace.js'
import { Caller } from '../../../src/engines/memory/lock.js'
import { MAX_COPIES } from '../../../src/engines/memory/copies.js'
import { NearCache } from '../../../src/engines/socket/near-cache.js'
import { isLinearizable, print, type Operation } from '../../faults/history.js'
import { kept } from '../../support/kept-reply.js'

const LEASE = 100
/** Time passes in steps of this: two are more than a lease. */
const STEP = 60

const NEVER = new Promise<never>(() => {})

const FAULTS = [
  'the lease starts when its grant arrives',
  'copies are read while a change of their key is pending',
  'a revoked copy is acknowledged, but kept',
  'the store does not track leases',
  'copies are kept when the connection is lost',
  'copies are read while a clear is pending',
  'a dropped copy is taken for a new one',
  'a copy is read ahead of reads that were sent before'
] as const
type Fault = typeof FAULTS[number]

/** A number is a set. */
type Call = 'get' | 'del' | 'clear' | number

interface Scenario {
  /** The calls of each client. */
  scripts: [Call[], Call[]]
  steps: number
  /** The first client loses its connection once. */
  isLost?: boolean
  /** There have been no copies yet, so requests are not numbered. */
  isFirstUse?: boolean
}

/** The store's side of a connection. */
class Peer extends Caller {
  readonly label = 'peer'
  #leasedAt = -Infinity

  constructor (readonly sent: Array<(client: Client) => void>, isDeaf: boolean) {
    super()
    Object.defineProperty(this, 'leasedAt', {
      get: () => this.#leasedAt,
      set: (time: number) => { if (!isDeaf) this.#leasedAt = time }
    })
  }

  override get keepsCopies (): boolean { return true }
  answer (id: number, reply: Reply<Bytes>): void {
    const copy = Object.assign(new Reply(reply.code), kept(reply))
    this.sent.push(client => { client.answered(id, copy as Reply) })
  }

  override revoke (id: number): void { this.sent.push(client => { client.revoked(id) }) }
  lost (): void {}
}

class Client {
  /** Messages on their way to the store, and from it. */
  toStore: Array<() => void> = []
  toClient: Array<(client: Client) => void> = []
  near: NearCache
  peer: Peer
  log = ''
  issued = 0
  hits = 0
  #ids = 0
  readonly #pending = new Map<number, { request: Request, operation?: Operation | undefined }>()

  constructor (readonly name: string, readonly world: World) {
    this.near = new NearCache({
      call: ping => {
        this.#send(ping)
        return NEVER
      },
      acknowledge: (id, hits) => {
        const { peer } = this
        this.toStore.push(() => { world.keyspace.context.copies.acknowledge(peer, id, hits) })
      }
    }, () => world.now)
    this.near.isUsed = world.scenario.isFirstUse !== true
    this.peer = this.#connect()
  }

  call (call: Call): void {
    const { world } = this
    const [op, value] = typeof call === 'number' ? ['set', call] as const : [call, undefined]
    this.issued++
    this.log += `${world.now} ${op} after ${world.completed};`
    const request = new Request(op, 'c', op === 'clear' ? '' : 'k')
    if (value !== undefined) request.text = String(value)
    const kind = op === 'clear' ? 'del' : op
    const operation: Operation = { process: this.name, kind, value, called: ++world.at, answered: Infinity }
    world.history.push(operation)
    const reply = this.near.read(request)
    if (reply === undefined) return this.#send(request, operation)
    this.hits++
    this.#complete(operation, reply)
  }

  answered (id: number, reply: Reply): void {
    const { request, operation } = this.#pending.get(id)!
    this.#pending.delete(id)
    const { fault } = this.world
    if (fault === FAULTS[0]) this.near.sent(request, id)
    if (fault === FAULTS[6] && reply.near !== undefined) reply.number = LEASE
    if (this.near.isUsed || reply.near !== undefined) this.near.answered(id, request, reply)
    if (operation !== undefined) this.#complete(operation, reply)
  }

  revoked (id: number): void {
    const { near, world: { fault, keyspace } } = this
    if (fault === FAULTS[2]) this.toStore.push(() => { keyspace.context.copies.acknowledge(this.peer, id, 0) })
    else near.revoke(id)
  }

  lose (): void {
    this.log += `${this.world.now} lost;`
    this.#pending.clear()
    if (this.world.fault !== FAULTS[4]) this.near.clear()
    this.world.keyspace.clock.tick()
    this.world.keyspace.leave(this.peer)
    this.peer = this.#connect()
  }

  #connect (): Peer {
    this.toStore = []
    this.toClient = []
    return new Peer(this.toClient, this.world.fault === FAULTS[3])
  }

  #send (request: Request, operation?: Operation): void {
    const { world, peer } = this
    const id = ++this.#ids
    this.#pending.set(id, { request, operation })
    const { fault } = world
    const isHidden = (fault === FAULTS[1] && (request.op === 'set' || request.op === 'del')) ||
      (fault === FAULTS[5] && request.op === 'clear') || (fault === FAULTS[7] && request.op === 'get')
    if (this.near.isUsed) this.near.sent(isHidden ? new Request('size', 'c', '') : request, id)
    this.toStore.push(() => { dispatch(world.keyspace, request, peer, id) })
  }

  #complete (operation: Operation, { text, version, code }: Reply): void {
    operation.answered = ++this.world.at
    this.world.completed += `${operation.process}${operation.called} `
    const { kind } = operation
    operation.result = kind === 'get' ? { value: text === undefined ? undefined : Number(text), code } : kind === 'set' ? { version, code } : { value: 1 }
  }
}

class World {
  now = 0
  /** Numbers the events. */
  at = 0
  history: Operation[] = []
  completed = ''
  storeLog = ''
  steps = 0
  hasLost = false
  readonly keyspace = new Keyspace({ time: () => this.now })
  readonly clients: [Client, Client]

  constructor (readonly scenario: Scenario, readonly fault: Fault | undefined) {
    this.keyspace.countFrom(0, 0)
    this.keyspace.collection('c').configure({ ...this.keyspace.collection('c').bounds, near: LEASE })
    const first = Object.assign(new Request('set', 'c', 'k'), { text: '1' })
    this.keyspace.submit(first, new Peer([], false), 1)
    this.history.push({ process: 'first', kind: 'set', value: 1, called: ++this.at, answered: ++this.at, result: {} })
    this.clients = [new Client('a', this), new Client('b', this)]
  }

  /** The possible next events. */
  actions (): Array<() => void> {
    const all: Array<() => void> = []
    const { scenario: { scripts, steps, isLost } } = this
    for (const [i, client] of this.clients.entries()) {
      const { toStore, toClient, issued } = client
      const call = scripts[i]![issued]
      if (call !== undefined) all.push(() => { client.call(call) })
      if (toStore.length > 0) {
        all.push(() => {
          this.storeLog += `${this.now} ${client.name};`
          this.keyspace.clock.tick()
          toStore.shift()!()
        })
      }
      if (toClient.length > 0) {
        all.push(() => {
          client.log += `${this.now} reads;`
          toClient.shift()!(client)
        })
      }
    }
    if (isLost === true && !this.hasLost) {
      all.push(() => {
        this.hasLost = true
        this.storeLog += `${this.now} lost;`
        this.clients[0].lose()
      })
    }
    if (this.steps < steps) {
      all.push(() => {
        this.steps++
        this.now += STEP
        this.storeLog += `${this.now};`
        this.keyspace.clock.tick()
        this.keyspace.sweep(new Budget())
      })
    }
    return all
  }

  /** Runs with the same state continue alike: both sides saw the same, and the same calls ended before each call. */
  get state (): string {
    return `${this.now}|${this.storeLog}|${this.clients.map(({ log }) => log).join('|')}`
  }
}

/** More than the largest scenario has. A change that multiplies the orders must fail, not run for hours. */
const MAX_STATES = 150_000

interface Exploration {
  /** Complete orders. */
  runs: number
  states: number
  /** Reads of copies in those orders. */
  hits: number
  wrong: Operation[] | undefined
}

/** Runs all orders until one is not linearizable, which it returns. */
function explore (scenario: Scenario, fault?: Fault): Exploration {
  const seen = new Set<string>()
  let runs = 0
  let hits = 0
  const open: number[][] = [[]]
  for (let path; (path = open.pop()) !== undefined;) {
    const world = new World(scenario, fault)
    for (const choice of path) world.actions()[choice]!()
    for (;;) {
      const { state } = world
      if (seen.has(state)) break
      seen.add(state)
      if (seen.size > MAX_STATES) throw new Error(`more than ${MAX_STATES} states`)
      const actions = world.actions()
      if (actions.length === 0) {
        runs++
        hits += world.clients[0].hits + world.clients[1].hits
        if (!isLinearizable(world.history)) return { runs, states: seen.size, hits, wrong: world.history }
        break
      }
      for (let i = 1; i < actions.length; i++) open.push([...path, i])
      path = [...path, 0]
      actions[0]!()
    }
  }
  return { runs, states: seen.size, hits, wrong: undefined }
}

const SCENARIOS: Record<string, Scenario> = {
  'a write by the same client': { scripts: [['get', 'get', 2, 'get'], []], steps: 1 },
  'the first use': { scripts: [['get', 'get', 'get'], [2]], steps: 0, isFirstUse: true },
  'a clear by the same client': { scripts: [['get', 'get', 'clear', 'get'], []], steps: 1 },
  'a lost connection': { scripts: [['get', 'get'], [2]], steps: 0, isLost: true },
  'reads, and a write by the other client': { scripts: [['get', 'get'], [2]], steps: 2 },
  'reads by both clients, and a delete': { scripts: [['get', 'get'], ['del', 'get']], steps: 0 }
}

for (const [name, scenario] of Object.entries(SCENARIOS)) {
  t.test(`every order is linearizable: ${name}`, async t => {
    const { runs, states, hits, wrong } = explore(scenario)
    t.comment(`${states} of at most ${MAX_STATES} states, ${runs} ends, ${hits} reads of copies`)
    t.equal(wrong, undefined, print(wrong ?? []))
    t.ok(hits > 0, 'copies were read')
  })
}

for (const fault of FAULTS) {
  t.test(`a fault is found: ${fault}`, async t => {
    const found = Object.values(SCENARIOS).some(scenario => explore(scenario, fault).wrong !== undefined)
    t.ok(found)
  })
}

/** A cache with a copy of 'k' and a lease. */
function withCopy (fields: Partial<Reply> = {}) {
  const acknowledged: number[] = []
  const hits: number[] = []
  let now = 0
  const pings: Request[] = []
  let fail = async (): Promise<void> => {}
  const near = new NearCache({
    call: async ping => {
      pings.push(ping)
      return await new Promise((_resolve, reject) => {
        fail = async () => {
          reject(new Error('overloaded'))
          await new Promise(setImmediate)
        }
      })
    },
    acknowledge: (id, times) => {
      acknowledged.push(id)
      hits.push(times)
    }
  }, () => now)
  const request = (op: Op, key = 'k'): Request => new Request(op, 'c', key)
  const call = (op: Op, id: number, reply: Partial<Reply> = {}): void => {
    near.sent(request(op), id)
    near.answered(id, request(op), Object.assign(new Reply(), reply))
  }
  near.isUsed = true // otherwise the first request is not numbered
  call('get', 1, { text: '1', near: 7, number: LEASE, ...fields })
  const renew = (): void => {
    const ping = pings.shift()!
    near.sent(ping, 1)
    near.answered(1, ping, new Reply())
  }
  return {
    near, acknowledged, hits, pings, request, call, renew, fail: () => fail(), pass: (ms: number) => { now += ms }
  }
}

t.test('a read that is answered without a copy ends the earlier copy', async t => {
  const { near, acknowledged, request, call } = withCopy()
  t.equal(near.read(request('get'))?.text, '1')
  call('get', 1, { code: 'STORE_OVERLOADED' })
  t.equal(near.read(request('get')), undefined)
  t.strictSame(acknowledged, [7])
})

t.test('a process that changes a key drops its own copy first', async t => {
  const { near, acknowledged, request } = withCopy()
  near.sent(request('set'), 0)
  t.equal(near.read(request('get')), undefined)
  t.strictSame(acknowledged, [7])
})

t.test('copies are not read until the changes that this process has sent have reached the store', async t => {
  const { near, request, call } = withCopy()
  near.sent(request('set', 'other'), 2)
  t.equal(near.read(request('get')), undefined)
  call('head', 3)
  t.equal(near.read(request('get'))?.text, '1', 'the change is waiting for a lock')
})

t.test('a copy is read while reads of other keys are in flight', async t => {
  const { near, request } = withCopy()
  near.sent(request('get', 'other'), 2)
  t.equal(near.read(request('get'))?.text, '1')
})

t.test('reads of a series keep their order', async t => {
  const { near, request } = withCopy()
  const series = { isSent: false }
  const read = (key: string): Request => Object.assign(request('get', key), { series })
  t.equal(near.read(read('k'))?.text, '1')
  near.sent(read('other'), 2)
  t.equal(near.read(read('k')), undefined, 'the copy may be older than the other value')
  t.equal(near.read(request('get'))?.text, '1')
})

t.test('after a clear is sent, no copies are read until it is answered', async t => {
  const { near, request, call } = withCopy()
  near.sent(request('clear', ''), 2)
  call('head', 3)
  t.equal(near.read(request('get')), undefined, 'the store may not have revoked all copies yet')
  near.answered(2, request('clear', ''), new Reply())
  t.equal(near.read(request('get'))?.text, '1')
})

t.test('reads renew the lease after a quarter of its time', async t => {
  const { near, pings, request, renew, pass } = withCopy()
  pass(LEASE / 4)
  near.read(request('get'))
  t.equal(pings.length, 0)
  pass(1)
  t.equal(near.read(request('get'))?.text, '1')
  t.equal(near.read(request('get'))?.text, '1')
  t.equal(pings.length, 1)
  renew()
  pass(LEASE - 1)
  t.equal(near.read(request('get'))?.text, '1')
  t.equal(pings.length, 1)
  pass(1)
  t.equal(near.read(request('get')), undefined)
})

t.test('a read that the store answers renews the lease of all copies, which are kept', async t => {
  const { near, acknowledged, request, call, pass } = withCopy()
  pass(LEASE)
  t.equal(near.read(request('get')), undefined)
  call('get', 2, { text: '1', near: 7 })
  t.equal(near.read(request('get'))?.text, '1')
  call('get', 2, { text: '1', near: 8 })
  t.strictSame(acknowledged, [8], 'a copy that the process does not have is acknowledged')
  pass(LEASE - 1)
  t.equal(near.read(request('get'))?.text, '1')
})

t.test('a failed renewal of the lease is sent again', async t => {
  const { near, pings, fail, request, pass } = withCopy()
  pass(LEASE / 2)
  near.read(request('get'))
  await fail()
  near.read(request('get'))
  t.equal(pings.length, 2)
})

t.test('the cache is busy after a millisecond of reads without a turn of the event loop', async t => {
  const { near, request, pass } = withCopy()
  near.turned()
  near.read(request('get'))
  t.notOk(near.isBusy)
  pass(2)
  near.read(request('get'))
  t.ok(near.isBusy)
  near.turned()
  near.read(request('get'))
  t.notOk(near.isBusy)
})

t.test('a value above the bound is not kept, and does not evict the others', async t => {
  const { near, acknowledged, request, call } = withCopy()
  near.maxBytes = 2000
  near.sent(request('get', 'large'), 2)
  const reply = { text: '€'.repeat(600), near: 8, number: LEASE } // 1,800 bytes
  near.answered(2, request('get', 'large'), Object.assign(new Reply(), reply))
  t.strictSame(acknowledged, [8])
  call('head', 3)
  t.equal(near.read(request('get'))?.text, '1')
})

t.test('no more copies are kept than the store grants, even if the store has dropped expired ones', async t => {
  const { near, acknowledged, request } = withCopy()
  for (let i = 0; i < MAX_COPIES; i++) {
    near.sent(request('get', `${i}`), 2)
    const reply = { text: '1', near: 8 + i, number: LEASE, expiresIn: LEASE }
    near.answered(2, request('get', `${i}`), Object.assign(new Reply(), reply))
  }
  t.strictSame(acknowledged, [7])
})

t.test('an acknowledgement tells the store how often the copy was read', async t => {
  const { near, hits, request } = withCopy()
  for (let i = 0; i < 3; i++) near.read(request('get'))
  near.revoke(7)
  t.strictSame(hits, [3])
})

t.test('a copy is never read after its key has expired', async t => {
  const { near, acknowledged, request, renew, pass } = withCopy({ expiresIn: 2 * LEASE })
  pass(LEASE - 1)
  t.match(near.read(request('entry')), { text: '1', expiresIn: LEASE + 1 })
  t.equal(near.read(request('peek'))?.text, '1')
  renew()
  pass(LEASE - 1)
  t.equal(near.read(request('entry'))?.expiresIn, 2)
  renew()
  pass(2)
  t.equal(near.read(request('entry')), undefined)
  t.strictSame(acknowledged, [7])
  t.equal(near.bytes, 0)
})
