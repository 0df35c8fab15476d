// The scripts on a server: a library of functions, or single scripts where functions must not be loaded. The server may
// lose them at any time (SCRIPT FLUSH, FUNCTION FLUSH, a failover). Loading them again under the same name would let
// later calls of another process succeed after earlier ones have failed with NOSCRIPT. So lost scripts are never loaded
// again while other processes are connected: they are loaded under a new name, as the next generation, which is then
// published in a key. A process that misses its generation waits until nothing is in flight, then switches to the
// published one or creates the next. The first generation has no name of its own; a process loads it only when no other
// is connected.
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'
import { StoreError } from '../../core/errors.js'
import { nodesOf } from './connect.js'
import { FunctionGeneration, ScriptGeneration, type Generation } from './generation.js'

/** Seconds for which the published name of a generation is kept after the last connect. */
const PUBLISHED = 30 * 86_400
/**
 * Milliseconds for which one process may load scripts while others wait. Otherwise each process would load its own.
 */
const LOADING_MS = 5000
/** Milliseconds between attempts while the server loads its data, or another process loads scripts. */
const RETRY_MS = 50
/** Milliseconds to wait for a node of a cluster. Calls to a node that does not respond fail anyway. */
const NODE_TIMEOUT_MS = 1000
/** Maximum number of generations lost in a row without a successful call. */
const MAX_LOST = 10

export class ScriptCache {
  current: Generation = new FunctionGeneration('')
  readonly #client: Redis | Cluster
  readonly #prefix: string
  #Kind: typeof FunctionGeneration | typeof ScriptGeneration = FunctionGeneration
  #renewing: Promise<void> | undefined
  #lost = 0

  constructor (client: Redis | Cluster, prefix: string) {
    this.#client = client
    this.#prefix = prefix
  }

  /**
   * Makes sure that the server has the scripts. `channel`: the channel that this process has subscribed to, so that
   * other processes know that it is connected.
   */
  async open (channel: string): Promise<void> {
    await this.#whenLoaded()
    try {
      await this.#open(channel)
    } catch (error) {
      if ((error as Error).name !== 'ReplyError') throw error
      this.#Kind = ScriptGeneration
      await this.#open(channel).catch((second: Error) => {
        second.message += `; functions cannot be used either: ${(error as Error).message}`
        throw second
      })
    }
  }

  /** A script of this generation was missing. Resolves when `current` is another one. */
  async renew (lost: Generation): Promise<void> {
    while (this.current === lost) {
      await (
        this.#renewing ??= this.#renew(lost).finally(() => { this.#renewing = undefined })
      )
    }
  }

  /** A script call has succeeded. */
  found (): void {
    this.#lost = 0
  }

  async #open (channel: string): Promise<void> {
    if (await this.#adopt()) return
    await this.#alone(async () => {
      if (await this.#adopt()) return
      // The first generation may be loaded, even again after a restart, if no other process can have calls in flight.
      const isFirst = this.current.name === '' && await this.#isAlone(channel)
      if (!isFirst || !await this.#load(this.current)) await this.#makeNext()
    })
  }

  async #renew (lost: Generation): Promise<void> {
    await this.#alone(async () => {
      const published = await this.#published()
      if (published === undefined || published === lost.name) await this.#makeNext()
      else this.current = new this.#Kind(published)
    })
  }

  /** Switches to the published generation, or the first. Returns whether the server has it. */
  async #adopt (): Promise<boolean> {
    this.current = new this.#Kind(await this.#published() ?? '')
    return await this.#isLoaded(this.current)
  }

  async #makeNext (): Promise<void> {
    let next: Generation
    do {
      if (++this.#lost > MAX_LOST) {
        this.#lost = 0
        throw new StoreError(
          'STORE_UNREACHABLE', 'the server keeps losing the scripts of the store right after they are loaded'
        )
      }
      next = new this.#Kind(randomUUID())
    } while (!await this.#load(next))
    await this.#inTime(this.#client.set(this.#key, next.name, 'EX', PUBLISHED))
    this.current = next
  }

  /** Loads all scripts. Returns whether the server has all of them: if so, it can only lose all at once. */
  async #load (generation: Generation): Promise<boolean> {
    await this.#ask(node => generation.load(node))
    return await this.#isLoaded(generation)
  }

  async #isLoaded (generation: Generation): Promise<boolean> {
    const found = await this.#ask(node => generation.isLoaded(node))
    return found.every(isLoaded => isLoaded !== false)
  }

  /** Whether no other process uses the store or is connecting to it. */
  async #isAlone (channel: string): Promise<boolean> {
    const pattern = `${this.#prefix.replace(/[\\*?[\]]/g, '\\$&')}:*`
    const found = await this.#ask(node => node.pubsub('CHANNELS', pattern) as Promise<string[]>)
    return found.every(channels => channels?.every(other => other === channel))
  }

  /** Runs `work` in one process at a time. */
  async #alone (work: () => Promise<void>): Promise<void> {
    const key = `${this.#key}:loading`
    while (await this.#inTime(this.#client.set(key, '', 'PX', LOADING_MS, 'NX')) === null) await delay(RETRY_MS)
    try {
      await work()
    } finally {
      await this.#inTime(this.#client.del(key))
    }
  }

  /** Resolves when the server has loaded its data. */
  async #whenLoaded (): Promise<void> {
    for (;;) {
      try {
        await this.#published()
        return
      } catch (error) {
        if (!(error as Error).message.startsWith('LOADING')) throw error
        await delay(RETRY_MS)
      }
    }
  }

  async #published (): Promise<string | undefined> {
    return await this.#inTime(this.#client.getex(this.#key, 'EX', PUBLISHED)) ?? undefined
  }

  /** The replies of all nodes; undefined for a node of a cluster that does not respond. */
  async #ask<T> (command: (node: Redis) => Promise<T>): Promise<Array<T | undefined>> {
    return await Promise.all(nodesOf(this.#client, 'master').map(node => this.#inTime(command(node))))
  }

  /** The reply; undefined if a node of a cluster does not respond. */
  async #inTime<T> (answer: Promise<T>): Promise<T | undefined> {
    if (!this.#client.isCluster) return await answer
    const settled = answer.catch((error: Error) => {
      if (error.name === 'ReplyError') throw error
      return undefined
    })
    return await Promise.race([settled, delay(NODE_TIMEOUT_MS, undefined, { ref: false })])
  }

  /** Different for each version of the scripts, and for functions and plain scripts. */
  get #key (): string {
    return `${this.#prefix}:${this.#Kind.id}`
  }
}
