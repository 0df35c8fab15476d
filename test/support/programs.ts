// Starts programs in the way a user does.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

export interface Program {
  child: ChildProcess
  /** Its temporary folder. */
  folder: string
  /** The next line printed by it or its workers. Rejects with their output if it exits instead. */
  nextLine (): Promise<string>
  /** Exit code and signal, once it and its workers have closed their output. */
  ended: Promise<[number | null, string | null]>
  /** Sends a signal to it and its workers, like a terminal. */
  signal (name: NodeJS.Signals): void
}

interface StartOptions {
  args?: string[]
  env?: NodeJS.ProcessEnv
}

/** Starts a compiled program by its path in dist/. It is killed with all its workers at the end of the test. */
export function start (t: Test, name: string, { args = [], env = {} }: StartOptions = {}): Program {
  const folder = mkdtempSync(join(tmpdir(), 'program-'))
  // Drops the loaders of the test runner.
  const command = [
    '-u', 'NODE_OPTIONS', process.execPath, fileURLToPath(new URL(`../../${name}`, import.meta.url)), ...args
  ]
  const child = spawn('env', command, {
    env: { ...process.env, TMPDIR: folder, ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true
  })
  const lines = createInterface(child.stdout!)[Symbol.asyncIterator]()
  let errors = ''
  child.stderr!.on('data', chunk => { errors += String(chunk) })
  const signal = (name: NodeJS.Signals): void => {
    try {
      process.kill(-child.pid!, name)
    } catch {} // all of them have exited
  }
  t.teardown(() => {
    signal('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  return {
    child,
    folder,
    async nextLine () {
      const { value, done } = await lines.next()
      if (done === true) throw new Error(`${name} has exited: ${errors}`)
      return value
    },
    ended: once(child, 'close') as Promise<[number | null, string | null]>,
    signal
  }
}
