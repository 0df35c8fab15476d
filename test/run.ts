// Runs test files in several processes at a time. It does what `tap run` does, except that some files share a process,
// and for coverage: the hooks that tap installs in every process to measure that double the CPU time of most files.
// Usage: node dist/test/run.js [FOLDER or FILE below dist/test ...]
import { readdirSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const TESTS = fileURLToPath(new URL('.', import.meta.url))
/** More than cores: many tests wait for real processes and timers. */
const JOBS = 6
/** For each file. */
const TIMEOUT_SECONDS = 300
/** They have commands of their own. */
const SEPARATE = /^(?:faults\/|page\/|project\/package\.)/
/** They take longest, so they start first, in this order. */
const LONG = ['project', 'cli', 'engines', 'routes']
/**
 * Those of one folder share a process, since each of their own would take half a second of CPU to start. The others
 * replace timers, measure the heap, or use the store of their process.
 */
const SHARED = [
  /^(?:core|engines\/http|web)\//,
  /^api\/(?!calls)/,
  /^engines\/memory\/(?:contract|copies|keyspace|linked-list|sweeper|table|watches)\./,
  /^engines\/socket\/(?:connection|frame-reader|protocol|server|socket-directory)\./,
  /^routes\/(?!auth-throttle|cluster|events|history)/
]

const paths = process.argv.slice(2)
const chosen = paths.length > 0 ? paths.flatMap(filesOf) : filesOf('.').filter(file => !SEPARATE.test(file))
const files = [...LONG.flatMap(folder => chosen.filter(file => file.startsWith(`${folder}/`))), ...chosen]
/** What runs in each process, by name. */
const runs = new Map<string, Set<string>>()
for (const file of files) {
  const name = SHARED.some(pattern => pattern.test(file)) ? dirname(file) : file
  runs.set(name, (runs.get(name) ?? new Set()).add(file))
}

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
t.plan(runs.size)
for (const [run, files] of runs) { // tap starts the next one when one has ended
  const seconds = TIMEOUT_SECONDS * files.size
  const command = [
    '-u', 'NODE_OPTIONS', `TAP_TIMEOUT=${seconds}`, process.execPath, '--enable-source-maps',
    ...files.size === 1 ? [] : [join(TESTS, 'together.js')], ...Array.from(files, file => join(TESTS, file))
  ]
  const name = relative(ROOT, join(TESTS, run))
  t.spawn('env', command, { buffered: true, timeout: seconds * 1000, cwd: ROOT, name, at: null }).catch(t.threw)
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
