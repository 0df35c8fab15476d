// The interface of what is measured, and helpers for its implementations.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

export interface Client {
  get (key: string): Promise<unknown>
  set (key: string, value: unknown): Promise<unknown>
  /** Acquires the lock of a key. Resolves with the function that releases it. */
  lock? (key: string): Promise<() => Promise<unknown>>
  /** Resolves once `changed` will be called for each change of a key with this prefix. */
  watch? (prefix: string, changed: () => void): Promise<unknown>
  publish? (channel: string, message: unknown): Promise<unknown>
  /** Resolves once `received` will be called for each message. */
  subscribe? (channel: string, received: () => void): Promise<unknown>
}

export interface Served {
  /** Passed to `client`. */
  address: string
  /** Microseconds of CPU used by the process that has the keys; undefined if the clients have them. */
  cpu: (() => number) | undefined
}

export interface Load {
  /** The size of a value's JSON text. */
  bytes: number
  operation: string
}

export interface Rival {
  /** Called in the primary, before workers are forked. */
  serve (load: Load): Promise<Served>
  /** Called in each worker. */
  client (address: string): Promise<Client>
}

/** Microseconds of CPU used by this process. */
export function ownCpu (): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

const TICK = 10_000 // µs per clock tick of Linux

/** Microseconds of CPU used by another process. */
export function cpuOf (pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK
}

const require = createRequire(new URL('../../../bench/package.json', import.meta.url))

/** Loads a package of a rival, from bench/node_modules or the project's node_modules. */
export function load<T> (name: string): T {
  try {
    return require(name) as T
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error
    throw new Error(`missing: ${name} (npm ci --prefix bench)`)
  }
}
