// The scripts as a server has them: as functions, or one by one where functions must not be loaded. The server may lose them at any time
// (SCRIPT FLUSH, FUNCTION FLUSH, a failover), and whoever loads them again would let some of another process's calls succeed after
// others that have just failed. So what was lost is never loaded again: scripts are loaded once, as a generation of their own, before
// anyone uses it. Whoever misses its generation waits for what it has in flight, then goes on with the one that is published, or
// makes the next. The first generation is the plain text.
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'
import { StoreError } from '../../core/errors.js'
import { nodesOf } from './connect.js'
import { FunctionGeneration, ScriptGeneration, type Generation } from './generation.js'

/** Seconds for which the name of a generation outlives the last connection that was opened. */
const PUBLISHED = 30 * 86_400
/** Milliseconds for which a node of a cluster is waited for; calls to one that does not answer fail by themselves. */
const NODE_TIMEOUT_MS = 1000
/** Milliseconds between two looks at a server that loads its data. */
const LOADING_RETRY_MS = 100
/** Generations in a row that may be lost before a call was answered. */
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

  /** Makes sure that the server has the scripts, at the beginning of a connection. */
  async open (): Promise<void> {
    try {
      await this.#open()
    } catch (error) {
      if ((error as Error).name !== 'ReplyError' || this.#Kind === ScriptGeneration) throw error
      this.#Kind = ScriptGeneration
      await this.#open().catch((second: Error) => {
        second.message += `; nor are functions possible: ${(error as Error).message}`
        throw second
      })
    }
  }

  /** A script of this generation was missing. Resolves when `current` is another one. */
  async renew (lost: Generation): Promise<void> {
    while (this.current === lost) await (this.#renewing ??= this.#renew().finally(() => { this.#renewing = undefined }))
  }

  /** A script was run. */
  found (): void {
    this.#lost = 0
  }

  async #open (): Promise<void> {
    const published = await this.#whenLoaded()
    this.current = new this.#Kind(published ?? '')
    const isAlone = await this.#isAlone()
    const found = await this.#ask(node => this.current.isLoaded(node))
    if (found.every(isLoaded => isLoaded)) return
    // Nobody uses the first generation where nobody is connected: it may be loaded, and loaded again after a restart.
    if (published === undefined && isAlone) await this.#ask(node => this.current.load(node))
    else await this.#makeNext()
  }

  async #renew (): Promise<void> {
    if (++this.#lost > MAX_LOST) {
      this.#lost = 0
      throw new StoreError('STORE_UNREACHABLE', 'the server loses the scripts of the store as soon as they are loaded')
    }
    const published = await this.#published()
    if (published === undefined || published === this.current.name) await this.#makeNext()
    else this.current = new this.#Kind(published)
  }

  async #makeNext (): Promise<void> {
    const next = new this.#Kind(randomUUID())
    await this.#ask(node => next.load(node))
    await this.#client.set(this.#key, next.name, 'EX', PUBLISHED)
    this.current = next
  }

  /** Whether no process uses the store, as far as can be told. */
  async #isAlone (): Promise<boolean> {
    const pattern = `${this.#prefix.replace(/[\\*?[\]]/g, '\\$&')}:*`
    const found = await this.#ask(node => node.pubsub('CHANNELS', pattern) as Promise<string[]>)
    return found.every(channels => channels.length === 0)
  }

  /** What is published, once the server has loaded its data. */
  async #whenLoaded (): Promise<string | undefined> {
    for (;;) {
      try {
        return await this.#published()
      } catch (error) {
        if (!(error as Error).message.startsWith('LOADING')) throw error
        await delay(LOADING_RETRY_MS)
      }
    }
  }

  async #published (): Promise<string | undefined> {
    return await this.#client.getex(this.#key, 'EX', PUBLISHED) ?? undefined
  }

  /** The answers of all nodes; in a cluster, of those that answer. */
  async #ask<T> (command: (node: Redis) => Promise<T>): Promise<T[]> {
    const nodes = nodesOf(this.#client, 'master')
    if (!this.#client.isCluster) return await Promise.all(nodes.map(command))
    const answers = await Promise.all(nodes.map(async node => {
      const answer = command(node).catch((error: Error) => { if (error.name === 'ReplyError') throw error })
      return await Promise.race([answer, delay(NODE_TIMEOUT_MS, undefined, { ref: false })])
    }))
    return answers.filter(answer => answer !== undefined)
  }

  /** Versions of this package have texts of their own, and so do functions and scripts. */
  get #key (): string {
    return `${this.#prefix}:${this.#Kind.id}`
  }
}
