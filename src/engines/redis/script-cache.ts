// The scripts as a server has them. It may lose them at any time (SCRIPT FLUSH, a failover), and whoever loads them again would let
// some of another process's calls succeed behind others that have just failed. So what was lost is never loaded again: scripts are
// loaded once, as a generation of their own, before anyone uses it. Whoever misses its generation waits for what it has in flight,
// then goes on with the one that is published, or makes the next. The first generation is the plain text of the scripts.
import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'
import { StoreError } from '../../core/errors.js'
import { nodesOf } from './connect.js'
import type { Script, ScriptName, Scripts } from './scripts.js'

/** Seconds for which the name of a generation outlives the last connection that was opened. */
const PUBLISHED = 30 * 86_400
/** Milliseconds for which a node of a cluster is waited for; calls to one that does not answer fail by themselves. */
const NODE_TIMEOUT_MS = 1000
/** Milliseconds between two looks at a server that loads its data. */
const LOADING_RETRY_MS = 100
/** Generations in a row that may be lost before a call was answered. */
const MAX_LOST = 10

/** All scripts, under hashes that no other generation has. */
export class Generation {
  readonly scripts: Scripts

  /** `name`: '' for the first. */
  constructor (scripts: Scripts, readonly name: string) {
    this.scripts = name === '' ? scripts : Object.fromEntries(Object.entries(scripts).map(([script, { text }]) => [script, marked(text, name)])) as Scripts
  }

  run (client: Redis | Cluster, script: ScriptName, base: string, args: string[]): Promise<unknown> {
    return client.evalsha(this.scripts[script].sha, 1, base, ...args)
  }
}

export class ScriptCache {
  current: Generation
  readonly #client: Redis | Cluster
  readonly #scripts: Scripts
  readonly #prefix: string
  #renewing: Promise<void> | undefined
  #lost = 0

  constructor (client: Redis | Cluster, scripts: Scripts, prefix: string) {
    this.#client = client
    this.#scripts = scripts
    this.#prefix = prefix
    this.current = new Generation(scripts, '')
  }

  /** Makes sure that the server has the scripts, at the beginning of a connection. */
  async open (): Promise<void> {
    const published = await this.#whenLoaded()
    this.current = new Generation(this.#scripts, published ?? '')
    const isAlone = await this.#isAlone()
    if (await this.#isLoaded(this.current)) return
    // Nobody uses the first generation where nobody is connected: it may be loaded, and loaded again after a restart.
    if (published === undefined && isAlone) await this.#load(this.current)
    else await this.#makeNext()
  }

  /** A script of this generation was missing. Resolves when `current` is another one. */
  async renew (lost: Generation): Promise<void> {
    while (this.current === lost) await (this.#renewing ??= this.#renew().finally(() => { this.#renewing = undefined }))
  }

  /** A script was run. */
  found (): void {
    this.#lost = 0
  }

  async #renew (): Promise<void> {
    if (++this.#lost > MAX_LOST) {
      this.#lost = 0
      throw new StoreError('STORE_UNREACHABLE', 'the server loses the scripts of the store as soon as they are loaded')
    }
    const published = await this.#published()
    if (published === undefined || published === this.current.name) await this.#makeNext()
    else this.current = new Generation(this.#scripts, published)
  }

  async #makeNext (): Promise<void> {
    const next = new Generation(this.#scripts, randomUUID())
    await this.#load(next)
    await this.#client.set(this.#key, next.name, 'EX', PUBLISHED)
    this.current = next
  }

  async #load ({ scripts }: Generation): Promise<void> {
    await this.#ask(node => Promise.all(Object.values(scripts).map(({ text }) => node.script('LOAD', text))))
  }

  async #isLoaded ({ scripts }: Generation): Promise<boolean> {
    const hashes = Object.values(scripts).map(({ sha }) => sha)
    const found = await this.#ask(node => node.script('EXISTS', ...hashes) as Promise<number[]>)
    return found.every(flags => flags.every(flag => flag === 1))
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

  get #key (): string {
    return `${this.#prefix}:scripts`
  }
}

function marked (text: string, generation: string): Script {
  const own = `${text}\n-- ${generation}`
  return { text: own, sha: createHash('sha1').update(own).digest('hex') }
}
