// What a rival has to offer to be measured, and how its package is found.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

export interface Client {
  get (key: string): Promise<unknown>
  set (key: string, value: unknown): Promise<unknown>
  /** Takes the lock of a key; what it resolves with releases it. */
  lock? (key: string): Promise<() => Promise<unknown>>
  /** Resolves when `changed` is called for each change of a key with this prefix. */
  watch? (prefix: string, changed: () => void): Promise<unknown>
  publish? (channel: string, message: unknown): Promise<unknown>
  /** Resolves when `received` is called for each message. */
  subscribe? (channel: string, received: () => void): Promise<unknown>
}

export interface Served {
  /** What a client needs to know. */
  address: string
  /** Microseconds of CPU that the process has used in which the keys are; undefined if they are with the clients. */
  cpu: (() => number) | undefined
}

export interface Load {
  /** Of a value's JSON text. */
  bytes: number
  operation: string
}

export interface Rival {
  /** In the primary, before workers are forked. */
  serve (load: Load): Promise<Served>
  /** In each worker. */
  client (address: string): Promise<Client>
}

/** The CPU of this process. */
export function ownCpu (): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

const TICK = 10_000 // µs in which Linux counts

/** The CPU of another process. */
export function cpuOf (pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK
}

const require = createRequire(new URL('../../../bench/package.json', import.meta.url))

/** A rival's package, from bench/node_modules or the project's own. */
export function load<T> (name: string): T {
  try {
    return require(name) as T
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error
    throw new Error(`missing: ${name} (npm ci --prefix bench)`)
  }
}
