// Starts programs for the checks, and asks them.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ROOT } from '../checks.mjs'

export { freePort } from '../../dist/test/support/ports.js'

/** The files in a section of the guide, by the names in their first lines. */
export async function blocksOf (section) {
  const guide = await readFile(join(ROOT, 'docs/store-process.md'), 'utf8')
  const text = guide.slice(guide.indexOf(`\n## ${section}\n`)).slice(1)
  const blocks = text.slice(0, text.indexOf('\n## ')).matchAll(/^```\w+\n\/\/ (\S+)\n(.*?)^```$/gms)
  return Array.from(blocks, ([, name, content]) => [name, content])
}

/** Resolves with the JSON of the answer, if there is some. Rejects with statuses of failures. */
export async function post (port, path) {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST', headers: { connection: 'close' }, signal: AbortSignal.timeout(10_000)
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${response.status} ${text}`)
  return text === '' ? undefined : JSON.parse(text)
}

/** Runs `use` while a program runs in its own process group; rejects with its output if `use` does. */
export async function running (folder, env, command, use) {
  const child = spawn(command[0], command.slice(1), { cwd: folder, env: { ...process.env, ...env }, detached: true })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => { output += String(chunk) })
  const closed = once(child, 'close')
  try {
    return await Promise.race([use(), closed.then(() => { throw new Error('it has ended') })])
  } catch (error) {
    throw new Error(`${error.stack}\n${command.join(' ')}: ${output}`)
  } finally {
    try {
      process.kill(-child.pid, 'SIGTERM')
    } catch {} // it has ended
    await Promise.race([closed, delay(5000, undefined, { ref: false })])
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {}
  }
}

/** Runs `use` with the URL of a store in a process of its own. */
export async function withStore (folder, use) {
  const socket = join(folder, 'socket')
  const command = ['node_modules/.bin/strong-store', 'serve', '--socket', socket]
  return await running(folder, {}, command, () => use(`unix:${socket}`))
}

/** Asks until the program listens. */
export async function postWhenReady (port, path) {
  for (let left = 600; ; left--) {
    try {
      return await post(port, path)
    } catch (error) {
      if (error.cause?.code !== 'ECONNREFUSED' || left === 0) throw error
      await delay(100)
    }
  }
}
