// The command line: finds the command, reads its flags, and runs it.
import { argumentsOf, helpOf, type Command, type Io } from './command.js'
import { EXIT, exitOf, invalid } from './exit.js'
import { del, get, keys, set } from './keys.js'
import { suggestion } from './nearest.js'
import { check, collections, locks, stats } from './reports.js'
import { serve } from './serve.js'
import { exportCommand, importCommand } from './transfer.js'
import { settingsOf } from './settings.js'
import { packageVersion } from './version.js'
import { watch } from './watch.js'

const COMMANDS: Record<string, Command> = {
  serve, get, set, del, keys, watch, locks, collections, stats, check, export: exportCommand, import: importCommand
}

/** Resolves with the exit code. */
export async function main (argv: string[], io: Io = process): Promise<number> {
  try {
    return await run(argv, io)
  } catch (error) {
    const { code, message } = exitOf(error)
    io.stderr.write(`strong-store: ${message}\n`)
    return code
  }
}

async function run ([name, ...argv]: string[], io: Io): Promise<number> {
  const print = (text: string): number => {
    io.stdout.write(text + '\n')
    return EXIT.OK
  }
  if (name === 'help' && argv.length === 1) return print(help(argv[0]!))
  if (name === undefined || name === '--help' || name === 'help') {
    print(usage())
    return name === undefined ? EXIT.USAGE : EXIT.OK
  }
  if (name === '--version') return print(packageVersion())
  const command = commandOf(name)
  const settings = settingsOf(argv, command.flags, io.env)
  if (settings.isOn('help')) return print(help(name))
  if (settings.isOn('version')) return print(packageVersion())
  const { least, most } = argumentsOf(command)
  if (settings.args.length < least || settings.args.length > most) {
    if (settings.args.join() === 'help') return print(help(name))
    const expected = command.usage === '' ? 'no arguments' : command.usage
    throw invalid(`${name} takes ${expected}, got ${settings.args.length}; see strong-store ${name} --help`)
  }
  return await command.run(settings, io)
}

function commandOf (name: string): Command {
  if (Object.hasOwn(COMMANDS, name)) return COMMANDS[name]!
  const hint = suggestion(name, Object.keys(COMMANDS)) || '; see strong-store --help'
  throw invalid(`unknown command ${JSON.stringify(name)}${hint}`)
}

function help (name: string): string {
  return helpOf(name, commandOf(name))
}

function usage (): string {
  const rows = Object.entries(COMMANDS).map(([name, { usage, summary }]) => {
    return [`${name} ${usage}`, summary.split('. ')[0]!.replace(/\.$/, '')] as const
  })
  const width = Math.max(...rows.map(([command]) => command.length))
  return [
    'Usage: strong-store COMMAND [flags]', '',
    ...rows.map(([command, summary]) => `  ${command.padEnd(width)}  ${summary}`), '',
    'See strong-store COMMAND --help for details.'
  ].join('\n')
}
