// A generation of the scripts: the same scripts under unique names. See script-cache.ts.
import type { Cluster, Redis } from 'ioredis'
import { makeLibrary, makeScripts, type Library, type ScriptName, type Scripts } from './scripts.js'

export interface Generation {
  /** '' for the first. */
  readonly name: string
  run (client: Redis | Cluster, script: ScriptName, base: string, args: string[]): Promise<unknown>
  isLoaded (node: Redis): Promise<boolean>
  load (node: Redis): Promise<void>
}

/** Whether an error says that the server does not have a script. */
export function isMissing ({ message }: Error): boolean {
  return /^NOSCRIPT|^ERR Function not found/.test(message)
}

export class FunctionGeneration implements Generation {
  static readonly id = `functions:${makeLibrary().name.slice(-8)}`
  readonly #library: Library

  constructor (readonly name: string) {
    this.#library = makeLibrary(name)
  }

  run (client: Redis | Cluster, script: ScriptName, base: string, args: string[]): Promise<unknown> {
    return client.fcall(this.#library.functions[script], 1, base, ...args)
  }

  async isLoaded (node: Redis): Promise<boolean> {
    return (await node.call('FUNCTION', 'LIST', 'LIBRARYNAME', this.#library.name) as unknown[]).length > 0
  }

  async load (node: Redis): Promise<void> {
    await node.call('FUNCTION', 'LOAD', this.#library.code).catch((error: Error) => {
      if (!error.message.includes('already exists')) throw error
    })
  }
}

export class ScriptGeneration implements Generation {
  static readonly id = `scripts:${makeLibrary().name.slice(-8)}`
  readonly #scripts: Scripts

  constructor (readonly name: string) {
    this.#scripts = makeScripts(name)
  }

  run (client: Redis | Cluster, script: ScriptName, base: string, args: string[]): Promise<unknown> {
    return client.evalsha(this.#scripts[script].sha, 1, base, script, ...args)
  }

  async isLoaded (node: Redis): Promise<boolean> {
    const hashes = new Set(Object.values(this.#scripts).map(({ sha }) => sha))
    return (await node.script('EXISTS', ...hashes) as number[]).every(flag => flag === 1)
  }

  async load (node: Redis): Promise<void> {
    const texts = new Set(Object.values(this.#scripts).map(({ text }) => text))
    await Promise.all(Array.from(texts, text => node.script('LOAD', text)))
  }
}
