// The program of each process while a history is recorded: random calls, each logged to a file before it is sent and
// when it is answered, so that the history is complete even if the process is killed.
import { appendFileSync, readFileSync } from 'node:fs'
import type { Collection, KeyLock, Store, StoreError } from '../../src/index.js'
import { random } from './attack.js'
import type { Operation } from './history.js'

export interface Plan {
  seed: number
  name: string
  file: string
  collection: string
  keys: string[]
  calls: number
  /** Number of calls in flight. */
  lanes: number
  /** The lease of every lock, in seconds. */
  lease?: number | undefined
  /** A lock may be lost at any time, since its process may be stopped for longer than the lease. */
  mayLose?: boolean | undefined
  /** Some calls are answered only once their change is on disk. */
  durable?: boolean | undefined
  /** If set, most calls are reads, and the event loop is sometimes blocked for longer than this many seconds. */
  near?: number | undefined
}

type Call = Omit<Operation, 'called' | 'answered' | 'result' | 'process'>

export async function perform (
  store: Store, { seed, name, file, collection, keys, calls, lanes, lease, durable: hasData, near }: Plan
): Promise<void> {
  const target: Collection<number> = store.collection(collection)
  const next = random(seed)
  const pick = <T>(list: T[]): T => list[Math.floor(next() * list.length)]!
  const versions = new Map<string, number>()
  let ids = 0
  let left = calls

  const now = (): string => String(process.hrtime.bigint())
  const write = (line: object): void => { appendFileSync(file, JSON.stringify(line) + '\n') }
  const record = async <T>(
    key: string, call: Call, make: () => Promise<T>, result: (value: T) => Operation['result']
  ): Promise<T | undefined> => {
    const id = ++ids
    write({ id, key, process: name, ...call, at: now() })
    try {
      const value = await make()
      const found = result(value)
      if (found?.version !== undefined) versions.set(key, found.version)
      write({ id, result: found, at: now() })
      return value
    } catch (error) {
      write({ id, result: { code: (error as StoreError).code }, at: now() })
      return undefined
    }
  }
  const unique = (): number => seed % 1000 * 1e6 + ++ids * 100

  const locked = async (key: string): Promise<void> => {
    const lock = `${name} ${++ids}`
    const nowait = next() < 0.2
    const held: KeyLock<number> | undefined = await record(
      key, { kind: 'acquire', lock, nowait }, () => target.acquire(key, { lease, ...(nowait ? { timeout: 0 } : {}) }),
      held => ({ value: held.get(), version: held.version, fence: held.fence })
    )
    if (held === undefined) return
    if (next() < 0.3) {
      const value = unique()
      await record(
        key, { kind: 'set', lock, value }, () => target.set(key, value, { token: held.token }),
        version => ({ version })
      )
    }
    const value = next() < 0.7 ? unique() : undefined
    await record(key, { kind: 'release', lock, value }, async () => {
      if (value !== undefined) held.set(value) // fails like the release if the lease has expired
      await held.release()
    }, () => ({}))
  }

  const lane = async (): Promise<void> => {
    while (left-- > 0) {
      const key = pick(keys)
      const nowait = next() < 0.1
      const wait = nowait ? { timeout: 0 } : {}
      if (near !== undefined && next() < 0.01) block(near * 1500)
      const what = near !== undefined && next() < 0.8 ? next() * 0.3 : next()
      if (what < 0.2) {
        await record(key, { kind: 'get', nowait }, () => target.entry(key, wait), entry => {
          return { value: entry?.value, version: entry?.version ?? 0 }
        })
      } else if (what < 0.3) {
        await record(key, { kind: 'get', nowait }, () => target.get(key, wait), value => ({ value }))
      } else if (what < 0.45) {
        const value = unique()
        const durable = hasData === true && next() < 0.2
        await record(
          key, { kind: 'set', value, nowait, durable },
          () => target.set(key, value, durable ? { ...wait, durable } : wait), version => ({ version })
        )
      } else if (what < 0.6) {
        const value = unique()
        const choice = next()
        const condition =
          choice < 0.2 ? { ifAbsent: true } : choice < 0.4 ? { ifPresent: true } : { ifVersion: versions.get(key) ?? 0 }
        await record(
          key, { kind: 'set', value, nowait, ...condition }, () => target.set(key, value, { ...wait, ...condition }),
          version => ({ version })
        )
      } else if (what < 0.75) {
        await record(
          key, { kind: 'increment', value: 1, nowait }, () => target.increment(key, 1, wait),
          value => ({ value })
        )
      } else if (what < 0.82) {
        await record(
          key, { kind: 'del', nowait }, () => target.del(key, wait), found => ({ value: Number(found) })
        )
      } else await locked(key)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}

function block (ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** The URL of this module. */
export interface Program { perform: typeof perform }

type Line = Call & { id: number, key?: string, process: string, at: string, result?: Operation['result'] }

/** The logged calls, by key. `killed`: when the process was killed, if it was. */
export function read ({ file, lease, mayLose }: Plan, histories: Map<string, Operation[]>, killed?: bigint): void {
  const calls = new Map<number, Operation>()
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (!line.endsWith('}')) continue // the end of the file, or a line cut off by a kill, whose call was not sent
    const { id, key, at, result, ...call } = JSON.parse(line) as Line
    if (key === undefined) {
      if (result?.code === 'STORE_DISCONNECTED') calls.get(id)!.isLost = true
      else Object.assign(calls.get(id)!, { answered: Number(at), result })
      continue
    }
    const operation: Operation = { ...call, called: Number(at), answered: Infinity }
    calls.set(id, operation)
    const history = histories.get(key) ?? []
    histories.set(key, history)
    history.push(operation)
  }
  // Calls that were not sent had no effect.
  for (const [key, history] of histories) {
    histories.set(
      key, history.filter(({ result }) => result?.code !== 'STORE_UNREACHABLE')
    )
  }
  // A process detects an expired lease by its own clock, possibly before the store does: such a call was not sent.
  if (lease !== undefined) {
    for (const [key, history] of histories) {
      histories.set(
        key, history.filter(({ lock, result }) => lock === undefined || result?.code !== 'STORE_LOCK_LOST')
      )
    }
  }
  // Locks without a known release may have expired.
  const own = new Set(calls.values())
  const releases = [...own].filter(({ kind }) => kind === 'release')
  const released = new Set(
    releases.filter(({ result }) => result !== undefined && result.code === undefined).map(({ lock }) => lock)
  )
  // After a lost connection, a release is repeated without its change: either of them ends the lock.
  const repeated = new Map(releases.filter(({ isLost }) => isLost === true).map(({ lock, called }) => [lock, called]))
  for (const history of histories.values()) {
    for (const operation of history.slice()) {
      const { kind, lock, process, called, result, isLost } = operation
      if (kind !== 'acquire' || result?.code !== undefined || released.has(lock) || !own.has(operation)) continue
      // A lock that may have been granted without a reply is released as soon as that is known.
      const end = mayLose === true || isLost === true
        ? called
        : repeated.get(lock) ?? (lease === undefined ? killed : called + lease * 1e9)
      if (end !== undefined) history.push({ kind: 'drop', lock, process, called: Number(end), answered: Infinity })
    }
  }
}
