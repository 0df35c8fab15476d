// The flags of a command: from the command line, else the environment, else the file of --config.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { EXIT, Exit, invalid } from './exit.js'
import { suggestion } from './nearest.js'

export interface Flag {
  /** Placeholder of the value in the help text; a flag without it is a switch. */
  value?: string
  help: string
  /** Only on the command line and in the file: other commands may have a flag of this name. */
  isLocal?: boolean
}

export type Flags = Record<string, Flag>

export interface Settings {
  /** Positional arguments. */
  args: string[]
  get (flag: string): string | undefined
  isOn (flag: string): boolean
  /** Exits with USAGE. */
  number (flag: string): number | undefined
}

/** Flags without environment variables. */
export function local (flags: Flags): Flags {
  return Object.fromEntries(Object.entries(flags).map(([name, flag]) => [name, { ...flag, isLocal: true }]))
}

export const CONFIG: Flags = {
  config: { value: 'FILE', help: 'JSON object with the values of other flags, by their names' }
}

const ANY: Flags = { help: { help: 'print this' }, version: { help: 'print the version of the package' } }

/** The environment variable of a flag. */
export function variableOf (flag: string): string {
  return `STRONG_STORE_${flag.toUpperCase().replaceAll('-', '_')}`
}

/** Put before negative numbers, which are values: no flag is a digit. It cannot occur in an argument. */
const MARK = '\0'

/** Exits with USAGE. */
export function settingsOf (argv: string[], flags: Flags, env: NodeJS.ProcessEnv): Settings {
  const all = { ...flags, ...ANY }
  let parsed: { values: Record<string, string | boolean | undefined>, positionals: string[] }
  try {
    const options = Object.fromEntries(
      Object.entries(all).map(([name, { value }]) => [
        name, { type: value === undefined ? 'boolean' : 'string' } as const
      ])
    )
    const args = argv.map(arg => /^-\.?\d/.test(arg) ? MARK + arg : arg)
    parsed = parseArgs({ args, options, allowPositionals: true })
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException
    const [, flag] = code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION' ? /^Unknown option '(\S+)'/.exec(message) ?? [] : []
    if (flag === undefined) throw new Exit(EXIT.USAGE, message, { cause: error })
    const hint =
      suggestion(
        flag, Object.keys(all).map(name => `--${name}`)
      ) || `; an argument that begins with - follows --, like: -- ${flag}`
    throw invalid(`unknown flag ${flag}${hint}`)
  }
  const positionals = parsed.positionals.map(unmarked)
  const values = Object.fromEntries(Object.entries(parsed.values).map(([flag, value]) => {
    return [flag, typeof value === 'string' ? unmarked(value) : value]
  }))
  const isAsked = values.help === true || values.version === true // then no other flag is checked
  for (const flag of isAsked ? [] : Object.keys(flags)) values[flag] ??= ofVariable(flag, flags[flag]!, env)
  if (typeof values.config === 'string') {
    for (const [flag, value] of ofFile(values.config, flags)) values[flag] ??= value
  }
  return {
    args: positionals,
    get: flag => values[flag] as string | undefined,
    isOn: flag => values[flag] === true,
    number (flag) {
      const value = values[flag] as string | undefined
      if (value === undefined) return undefined
      if (value.trim() === '' || !Number.isFinite(Number(value))) {
        throw invalid(`invalid --${flag}: expected a number, got ${JSON.stringify(value)}`)
      }
      return Number(value)
    }
  }
}

function unmarked (arg: string): string {
  return arg.startsWith(MARK) ? arg.slice(MARK.length) : arg
}

/** An empty variable counts as unset. */
function ofVariable (flag: string, { value, isLocal }: Flag, env: NodeJS.ProcessEnv): string | boolean | undefined {
  const name = variableOf(flag)
  const text = env[name]
  if (isLocal === true || text === undefined || text === '') return undefined
  if (value !== undefined) return text
  if (!/^(?:true|false|1|0)$/.test(text)) {
    throw invalid(`invalid ${name}: expected true or false, got ${JSON.stringify(text)}`)
  }
  return text === 'true' || text === '1'
}

function ofFile (file: string, flags: Flags): Array<[string, string | boolean]> {
  let content: unknown
  try {
    content = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) throw invalid(`invalid ${file}: ${error.message}`)
    throw error
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw invalid(`invalid ${file}: expected a JSON object`)
  }
  return Object.entries(content).map(([flag, value]: [string, unknown]) => {
    const known = Object.hasOwn(flags, flag) && flag !== 'config' ? flags[flag] : undefined
    if (known === undefined) {
      throw invalid(`invalid ${file}: unknown flag ${JSON.stringify(flag)}; expected one of ${Object.keys(flags).filter(name => name !== 'config').join(', ')}`)
    }
    if (
      known.value === undefined ? typeof value !== 'boolean' : typeof value !== 'string' && typeof value !== 'number'
    ) {
      throw invalid(
        `invalid ${file}: ${flag} must be ${known.value === undefined ? 'true or false' : 'a string or a number'}, got ${JSON.stringify(value)}`
      )
    }
    return [flag, typeof value === 'number' ? String(value) : value as string | boolean]
  })
}
