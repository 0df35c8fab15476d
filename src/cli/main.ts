// The command line: finds the command, reads its flags, and runs it.
import { argumentsOf, helpOf, type Command } from './command.js'
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
export async function main (argv: string[]): Promise<number> {
  try {
    return await run(argv)
  } catch (error) {
    const { code, message } = exitOf(error)
    process.stderr.write(`strong-store: ${message}\n`)
    return code
  }
}

async function run ([name, ...argv]: string[]): Promise<number> {
  if (name === 'help' && argv.length === 1) return help(argv[0]!)
  if (name === undefined || name === '--help' || name === 'help') {
    process.stdout.write(usage() + '\n')
    return name === undefined ? EXIT.USAGE : EXIT.OK
  }
  if (name === '--version') {
    process.stdout.write(packageVersion() + '\n')
    return EXIT.OK
  }
  const command = commandOf(name)
  const settings = settingsOf(argv, command.flags, process.env)
  if (settings.isOn('help')) return help(name)
  if (settings.isOn('version')) {
    process.stdout.write(packageVersion() + '\n')
    return EXIT.OK
  }
  const { least, most } = argumentsOf(command)
  if (settings.args.length < least || settings.args.length > most) {
    if (settings.args.join() === 'help') return help(name)
    throw invalid(`${name} takes ${command.usage === '' ? 'no arguments' : command.usage}, got ${settings.args.length}; see strong-store ${name} --help`)
  }
  return await command.run(settings)
}

function commandOf (name: string): Command {
  if (Object.hasOwn(COMMANDS, name)) return COMMANDS[name]!
  throw invalid(`unknown command ${JSON.stringify(name)}${suggestion(name, Object.keys(COMMANDS)) || '; see strong-store --help'}`)
}

function help (name: string): number {
  process.stdout.write(helpOf(name, commandOf(name)) + '\n')
  return EXIT.OK
}

function usage (): string {
  const width = Math.max(...Object.entries(COMMANDS).map(([name, { usage }]) => `${name} ${usage}`.length))
  return [
    'Usage: strong-store COMMAND [flags]', '',
    ...Object.entries(COMMANDS).map(([name, { usage, summary }]) => `  ${`${name} ${usage}`.padEnd(width)}  ${summary.split('. ')[0]!.replace(/\.$/, '')}`), '',
    'See strong-store COMMAND --help for details.'
  ].join('\n')
}
