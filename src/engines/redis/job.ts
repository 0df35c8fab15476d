// One command to a server: a call, or consecutive calls on one collection that share it.
import type { ScriptName } from './scripts.js'

/** Maximum number of calls per command, which blocks the server while it runs, and of bytes of their arguments. */
const MAX_PARTS = 32
const MAX_BYTES = 64 * 2 ** 10

/** A call: a command of its own, or a part of one. */
export interface Part {
  readonly job: Job
  readonly args: string[]
  readonly size: number
  resolve (result: unknown): void
  reject (error: Error): void
}

/** One command. */
export class Job {
  /**
   * queued: more parts may be added. A sent job may be sent again, if the server did not have the script.
   */
  state: 'queued' | 'sent' | 'settled' = 'queued'
  parts: Part[] = []
  size = 0

  /** `script`: undefined for plain reads. `head`: the arguments before those of its parts, if it may have several. */
  constructor (readonly script: ScriptName | undefined, readonly base: string, readonly head: string[] | undefined) {}

  /** Whether a part may be added. */
  takes (script: ScriptName | undefined, base: string, size: number): boolean {
    return this.state === 'queued' && this.head !== undefined && this.script === script && this.base === base &&
      this.parts.length < (script === 'read' ? 1 : MAX_PARTS) && this.size + size <= MAX_BYTES
  }

  get args (): string[] {
    const all = [...this.head ?? []]
    for (const { args } of this.parts) all.push(...args)
    return all
  }

  put (args: string[], size: number, resolve: Part['resolve'], reject: Part['reject']): Part {
    const part = { job: this, args, size, resolve, reject }
    this.parts.push(part)
    this.size += size
    return part
  }

  resolve (result: unknown): void {
    if (this.script === undefined) {
      const [tracked, ...found] = result as [string | null, ...Array<string | null>]
      let at = 0
      for (const part of this.parts) {
        const [record, lock, text] = found.slice(at, at += part.args.length)
        part.resolve([record, lock, tracked, text])
      }
    } else if (this.parts.length > 1) {
      for (const [i, part] of this.parts.entries()) part.resolve((result as unknown[])[i])
    } else {
      this.parts[0]!.resolve(result)
    }
  }

  reject (error: Error): void {
    for (const part of this.parts) part.reject(error)
  }
}
