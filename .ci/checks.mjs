// Checks of the packed package in projects of their own. They need the npm registry.
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** The checks mostly wait for the registry. */
const CONCURRENCY = 2
const TIMEOUT_MS = 300_000
/** How npm fails where the registry cannot be reached, or lacks a package. */
const UNAVAILABLE = /npm error code (?:E404|ETARGET|ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|ENOTCACHED|E5\d\d)\b/

class Unavailable extends Error {}

/** A folder for the projects, removed in the end. */
export const base = await mkdtemp(join(tmpdir(), 'checks-'))
const checks = []

export function check (name, fn) {
  checks.push({ name, fn })
}

function run (cwd, file, ...args) {
  const { NODE_OPTIONS, CI, ...env } = process.env
  return new Promise(resolve => {
    execFile(file, args, { cwd, env, timeout: TIMEOUT_MS, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code ?? error.signal, output: stdout + stderr })
    })
  })
}

export async function mustRun (...command) {
  const { code, output } = await run(...command)
  if (code === 0) return output
  const message = `${command.slice(1).join(' ')} exited with ${code}: ${output}`
  throw UNAVAILABLE.test(output) ? new Unavailable(message) : new Error(message)
}

/** A folder with the package and the packages that a check needs. */
export async function project (name, packages, extra = {}) {
  const folder = join(base, name)
  await mkdir(folder)
  // Later ones depend on a package that is an ES module, which Jest cannot load.
  const overrides = packages.includes('fastify@5') ? { overrides: { 'light-my-request': '6.6.0' } } : {}
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, ...overrides, ...extra }))
  const options = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund']
  await mustRun(folder, 'npm', 'install', ...options, tarball, ...packages)
  return folder
}

const [{ filename }] = JSON.parse(await mustRun(base, 'npm', 'pack', '--ignore-scripts', '--json', ROOT))
export const tarball = join(base, filename)

/** Runs the checks whose names contain the argument. Prints a line for each, the failures again, and the counts. */
export async function runChecks (title) {
  let passed = 0
  const failures = []
  const skipped = []
  const only = process.argv[2] ?? ''
  const queue = checks.filter(({ name }) => name.includes(only)).values()
  const work = async () => {
    for (const { name, fn } of queue) {
      try {
        await fn()
        passed++
        console.log(`ok ${name}`)
      } catch (error) {
        (error instanceof Unavailable ? skipped : failures).push(name)
        console.log(`not ok ${name}\n  ${error.message.trim().replaceAll('\n', '\n  ')}`)
      }
    }
  }
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, work))
  } finally {
    await rm(base, { recursive: true, force: true })
  }
  for (const name of skipped) console.log(`left out: ${name}: the registry does not provide what it needs`)
  for (const name of failures) console.log(`failed: ${title} with ${name}`)
  console.log(`${title}: ${passed} passed, ${failures.length} failed`)
  process.exitCode = failures.length > 0 || passed + skipped.length === 0 ? 1 : 0
}
