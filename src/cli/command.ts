// The definition of a command, and its help text.
import { variableOf, type Flags, type Settings } from './settings.js'

/** What a command reads and writes: the process, or streams of its caller. */
export interface Io {
  env: NodeJS.ProcessEnv
  stdin: NodeJS.ReadStream
  stdout: NodeJS.WriteStream
  stderr: NodeJS.WriteStream
}

export interface Command {
  /** The arguments in the help text; optional ones in brackets. */
  usage: string
  summary: string
  /** Additional help text. */
  details?: string
  flags: Flags
  /** Resolves with the exit code, or rejects: see `exitOf`. */
  run (settings: Settings, io: Io): Promise<number>
}

export function argumentsOf ({ usage }: Command): { least: number, most: number } {
  const names = usage.split(' ').filter(name => name !== '')
  return { least: names.filter(name => !name.startsWith('[')).length, most: names.length }
}

export function helpOf (name: string, { usage, summary, details, flags }: Command): string {
  const rows = Object.entries(flags).map(([flag, { value, help, isLocal }]) => [
    `  --${flag}${value === undefined ? '' : ` ${value}`}`, help, isLocal === true ? '' : variableOf(flag)
  ])
  const widths = [0, 1].map(i => Math.max(...rows.map(row => row[i]!.length)))
  return [
    `Usage: strong-store ${[name, usage].filter(part => part !== '').join(' ')} [flags]`,
    '',
    summary,
    ...(details === undefined ? [] : ['', details]),
    '',
    'Flags, and the environment variables of some:',
    '',
    ...rows.map(row =>
      row
        .map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell))
        .join('  ')
        .trimEnd()
    )
  ].join('\n')
}
