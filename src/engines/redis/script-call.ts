// A call of a script: its name, and its arguments as the server gets them, in the order of this table.
import type { ScriptName } from './scripts.js'

/** The names of the arguments, as in the first line of each script. `asked` and `changed` are JSON. */
export const ARGUMENTS = {
  cancel: ['who', 'key', 'token'],
  clear: ['who', 'prefix', 'nowait', 'life'],
  configure: ['changed'],
  describe: [],
  fetch: ['version'],
  held: ['after', 'limit'],
  leave: ['asked'],
  list: ['after', 'limit', 'isLocked'],
  publish: ['who', 'text', 'life'],
  queue: ['key'],
  scan: ['after', 'limit', 'prefix', 'isDump'],
  size: [],
  subscribe: ['who', 'token', 'count', 'cursor', 'how', 'life'],
  sweep: ['channel', 'life'],
  tend: ['asked'],
  watch: ['who', 'asked', 'how', 'revision', 'name', 'life']
} as const satisfies Partial<Record<ScriptName, readonly string[]>>

/** Those of each call that `call`, `read` or `write` makes, after the channel and life of the process. */
export const CALL_ARGUMENTS = ['op', 'key', 'number', 'options', 'text'] as const

type Named = typeof ARGUMENTS

export interface ScriptCall {
  readonly script: ScriptName
  readonly args: string[]
}

export function scriptCall<S extends keyof Named> (
  script: S, named: Record<Named[S][number], string>
): ScriptCall {
  const names: ReadonlyArray<Named[S][number]> = ARGUMENTS[script]
  return { script, args: names.map(name => named[name]) }
}
