// Runs test files, several at a time, each in a process of its own. It does what `tap run` does, except for coverage:
// the hooks that tap installs in every process to measure that double the CPU time of most files.
// Usage: node dist/test/run.js [FOLDER or FILE below dist/test ...]
import { readdirSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const TESTS = fileURLToPath(new URL('.', import.meta.url))
const JOBS = 4
const TIMEOUT_SECONDS = 300
/** They have commands of their own. */
const SEPARATE = /^(?:faults|page)\//
/** They take longest, so they start first. */
const LONG = /^(?:project|cli)\//

const paths = process.argv.slice(2)
const chosen = paths.length > 0 ? paths.flatMap(filesOf) : filesOf('.').filter(file => !SEPARATE.test(file))
const files = [...chosen.filter(file => LONG.test(file)), ...chosen.filter(file => !LONG.test(file))]

function filesOf (path: string): string[] {
  if (statSync(join(TESTS, path)).isFile()) return [path]
  return (readdirSync(join(TESTS, path), { recursive: true }) as string[])
    .filter(name => name.endsWith('.test.js')).map(name => join(path, name)).sort()
}

if (process.stdout.isTTY) {
  const output = new PassThrough()
  t.pipe(output)
  summarize(output).catch(t.threw)
}
t.setTimeout(0)
t.jobs = JOBS
t.plan(files.length)
for (const file of files) { // tap starts the next one when one has ended
  const path = join(TESTS, file)
  const command = [
    '-u', 'NODE_OPTIONS', `TAP_TIMEOUT=${TIMEOUT_SECONDS}`, process.execPath, '--enable-source-maps', path
  ]
  const name = relative(ROOT, path)
  t.spawn('env', command, { buffered: true, timeout: TIMEOUT_SECONDS * 1000, cwd: ROOT, name, at: null }).catch(t.threw)
}

/** Prints a line for each file, and all that those which fail have printed. */
async function summarize (tap: PassThrough): Promise<void> {
  let details: string[] = []
  for await (const line of createInterface(tap)) {
    details.push(line)
    if (!/^(?:not ok|ok|# [^S])/.test(line)) continue
    console.log(line.startsWith('not ok') ? details.join('\n') : line)
    details = []
  }
}
