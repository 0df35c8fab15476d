// Runs the command line, and stores started by `serve`.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { Io } from '../../src/cli/command.js'
import { main } from '../../src/cli/main.js'
import type { Owner } from '../faults/attack.js'

export const BIN = fileURLToPath(new URL('../../src/cli/bin.js', import.meta.url))

/** Arguments of `env` that remove the loaders of the test runner. */
export const PLAIN = ['-u', 'NODE_OPTIONS']

export interface Output {
  code: number | null
  out: string
  err: string
}

export interface RunOptions {
  env?: NodeJS.ProcessEnv
  input?: string
  uid?: number
  /** The program and its first arguments, in place of this Node.js and the compiled command. */
  command?: string[]
}

/** The environment without variables of strong-store. */
export function cleanEnv (env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('STRONG_STORE_'))),
    ...env
  }
}

/** Runs a command in this process, which takes a tenth of the time of a process of its own. */
export async function command (
  args: string[], { env, input = '' }: Pick<RunOptions, 'env' | 'input'> = {}
): Promise<Output> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const printed = Promise.all([text(stdout), text(stderr)])
  const code = await main(args, { env: cleanEnv(env), stdin: Readable.from([input]), stdout, stderr } as unknown as Io)
  stdout.end()
  stderr.end()
  const [out, err] = await printed
  return { code, out, err }
}

/** Runs a command in a process of its own until it exits. */
export async function cli (
  args: string[], { env, input, uid, command = [process.execPath, BIN] }: RunOptions = {}
): Promise<Output> {
  const child = spawn('env', [...PLAIN, ...command, ...args], {
    env: cleanEnv(env), ...(uid === undefined ? {} : { uid, gid: uid })
  })
  child.stdin.on('error', () => {}).end(input)
  const [out, err, [code]] = await Promise.all([
    text(child.stdout), text(child.stderr), once(child, 'close') as Promise<[number | null]>
  ])
  return { code, out, err }
}

export interface Serving {
  pid: number
  url: string
  path: string
  /** Resolves with exit code and signal. */
  exited: Promise<[number | null, string | null]>
  kill (signal?: NodeJS.Signals): void
  /** Its output so far. */
  said (): string
}

/** Starts `serve` in its own process group; resolves when it is ready. Rejects with its output if it exits instead. */
export async function serve (
  t: Pick<Owner, 'teardown'>, args: string[], { env, command = [process.execPath, BIN] }: RunOptions = {}
): Promise<Serving> {
  const child = spawn('env', [...PLAIN, ...command, 'serve', ...args, '--log', 'json'], {
    env: cleanEnv(env), stdio: ['ignore', 'ignore', 'pipe'], detached: true
  })
  t.teardown(() => { child.kill('SIGKILL') })
  let said = ''
  const exited = once(child, 'exit') as Promise<[number | null, string | null]>
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.on('data', chunk => {
      said += String(chunk)
      const ready = said.split('\n').find(line => line.includes('"event":"ready"') && line.endsWith('}'))
      if (ready !== undefined) resolve((JSON.parse(ready) as { url: string }).url)
    })
    child.on('close', () => { reject(new Error(`serve has exited: ${said}`)) })
  })
  return {
    pid: child.pid!,
    url,
    path: url.slice('unix:'.length),
    exited,
    kill: (signal = 'SIGTERM') => {
      child.kill(signal)
    },
    said: () => said
  }
}

/** A directory for sockets, with a short name. */
export function directory (t: Pick<Owner, 'teardown'>): string {
  const path = mkdtempSync(join(tmpdir(), 'serve-'))
  t.teardown(() => { rmSync(path, { recursive: true, force: true }) })
  return path
}
